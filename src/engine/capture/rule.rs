//! Which packets of a run may be needed, by their kind alone. *Pure.*
//!
//! Owns the rules of what nothing refers to, codec by codec (PERFORMANCE 3.4). Never looks at who refers to whom:
//! `references` does.

use crate::model::media::{Field, Need, PacketHead, Start};

/// For each head, whether it is sent. `heads[0]` is the run's start; `targets` are ascending indices into
/// `heads`. Nothing after the last target (and its second field) is sent.
pub fn may_be_needed(heads: &[PacketHead], targets: &[usize]) -> Vec<bool> {
    let mut sent = vec![false; heads.len()];
    let Some(&last) = targets.last() else { return sent };
    let is_target = |i: usize| targets.binary_search(&i).is_ok();
    // The highest temporal layer among the targets at or after each packet.
    let mut layer_after = vec![0u8; last + 1];
    let mut highest = 0;
    for i in (0..=last).rev() {
        if let (Need::Layer { temporal_id, .. }, true) = (heads[i].header.need, is_target(i)) {
            highest = highest.max(temporal_id);
        }
        layer_after[i] = highest;
    }
    for i in 0..=last {
        let header = &heads[i].header;
        sent[i] = i == 0
            || header.key
            || header.start != Start::No
            || is_target(i)
            || match header.need {
                Need::Always => true,
                Need::Target => false,
                Need::Layer { temporal_id, sub_layer_non_reference } => {
                    // At its own level a sub-layer non-reference picture serves nobody; above it, it may.
                    temporal_id < layer_after[i]
                        || (temporal_id == layer_after[i] && !sub_layer_non_reference)
                }
                Need::TargetIfNextIsResilient => !heads.get(i + 1).is_some_and(|next| next.header.resilient),
            };
    }
    keep_pairs_together(heads, &mut sent, last);
    sent
}

/// Both fields of a picture or neither.
fn keep_pairs_together(heads: &[PacketHead], sent: &mut [bool], last: usize) {
    for i in 0..=last {
        let is_pair = heads[i].header.field == Field::First
            && heads.get(i + 1).is_some_and(|next| next.header.field == Field::Second);
        if is_pair {
            let both = sent[i] || sent[i + 1];
            (sent[i], sent[i + 1]) = (both, both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::coded::Coded;
    use crate::model::media::FrameHeader;
    use proptest::prelude::*;

    fn head(need: Need) -> PacketHead {
        PacketHead {
            pts: Some(0),
            dts: None,
            duration: 0,
            size: 0,
            coded: Coded::Unknown,
            header: FrameHeader {
                start: Start::No,
                key: false,
                hidden: false,
                need,
                field: Field::Frame,
                resilient: false,
            },
        }
    }

    fn start() -> PacketHead {
        let mut head = head(Need::Always);
        head.header.start = Start::Clean;
        head
    }

    #[test]
    fn non_reference_pictures_are_sent_only_as_targets() {
        let heads = [start(), head(Need::Target), head(Need::Always), head(Need::Target), head(Need::Always)];
        assert_eq!(may_be_needed(&heads, &[3]), [true, false, true, true, false]);
        assert_eq!(may_be_needed(&heads, &[1, 2]), [true, true, true, false, false]);
    }

    #[test]
    fn a_lower_layer_is_kept_for_a_higher_target() {
        let layer = |temporal_id, slnr| head(Need::Layer { temporal_id, sub_layer_non_reference: slnr });
        let heads =
            [start(), layer(0, true), layer(1, false), layer(1, true), layer(2, true), layer(0, false)];
        // Target in layer 2: everything below it stays, non-reference of lower layers included.
        assert_eq!(may_be_needed(&heads, &[4]), [true, true, true, true, true, false]);
        // Target in layer 0: layers above go, and so does layer 0's own non-reference picture.
        assert_eq!(may_be_needed(&heads, &[5]), [true, false, false, false, false, true]);
    }

    #[test]
    fn fields_of_one_picture_stay_together() {
        let mut heads = [start(), head(Need::Target), head(Need::Always), head(Need::Always)];
        heads[1].header.field = Field::First;
        heads[2].header.field = Field::Second;
        assert_eq!(may_be_needed(&heads, &[3]), [true, true, true, true]);
        assert_eq!(may_be_needed(&heads, &[1]), [true, true, true, false]);
    }

    #[test]
    fn vp9_drops_only_in_front_of_a_resilient_frame() {
        let mut heads = [
            start(),
            head(Need::TargetIfNextIsResilient),
            head(Need::TargetIfNextIsResilient),
            head(Need::Always),
        ];
        heads[3].header.resilient = true;
        assert_eq!(may_be_needed(&heads, &[3]), [true, true, false, true]);
    }

    proptest! {
        #[test]
        fn a_run_always_holds_its_start_and_its_targets(
            needs in prop::collection::vec(0u8..3, 1..60), picks in prop::collection::btree_set(0usize..60, 1..8),
        ) {
            let heads: Vec<_> = needs.iter().enumerate().map(|(i, n)| match (i, n) {
                (0, _) => start(),
                (_, 0) => head(Need::Always),
                (_, 1) => head(Need::Target),
                _ => head(Need::Layer { temporal_id: (i % 3) as u8, sub_layer_non_reference: i % 2 == 0 }),
            }).collect();
            let targets: Vec<usize> = picks.into_iter().filter(|i| *i < heads.len()).collect();
            prop_assume!(!targets.is_empty());
            let sent = may_be_needed(&heads, &targets);
            let last = *targets.last().unwrap();
            prop_assert!(sent[0] && targets.iter().all(|t| sent[*t]));
            prop_assert!(sent[last + 1..].iter().all(|s| !s));
            prop_assert!((0..=last).all(|i| sent[i] || heads[i].header.need != Need::Always));
        }
    }
}
