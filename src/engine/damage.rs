//! What damage in a run spoils: the frame that has it, and whatever may refer to that frame. *Pure.*
//!
//! Owns the line behind which nothing is whole, and which frame must wait until it is known. Never decodes.
//! A decoder tells of damage with the damaged frame, which may come out later than frames that refer to it.
//!
//! ```text
//!   decoded   0 I   1 P*   2 b   3 P          P* is damaged: so are 2 and 3, which refer to it
//!   comes out 0     2      1     3            2 waits for 1, which says so
//! ```

use std::collections::BTreeSet;

use crate::model::media::{Need, PacketHead};

/// A frame comes out after fewer than so many packets that were sent after it, or never: 16 pictures of two fields.
const REORDER_MAX: usize = 33;

/// What is known of the damage in a run. Places count its packets in decode order.
#[derive(Debug)]
pub struct Damage {
    /// The first place whose damage may spread.
    from: Option<usize>,
    /// Places that were sent and have not come out.
    inside: BTreeSet<usize>,
    /// Every packet must give a frame.
    strict: bool,
}

impl Damage {
    /// None so far. `strict` says that a packet without a frame is damage.
    pub fn none(strict: bool) -> Damage {
        Damage { from: None, inside: BTreeSet::new(), strict }
    }

    /// A packet was given to the decoder.
    pub fn sent(&mut self, place: usize, head: &PacketHead) {
        // A second field comes out with the first, a hidden picture not at all.
        if head.header.field.is_picture() && !head.header.hidden {
            self.inside.insert(place);
        }
    }

    /// A frame came out. Returns whether others will not come any more, though they should.
    pub fn came(&mut self, place: usize, heads: &[PacketHead]) -> bool {
        self.inside.remove(&place);
        self.lose(place.saturating_sub(REORDER_MAX), heads)
    }

    /// Everything came out. Returns as `came` does.
    pub fn ended(&mut self, heads: &[PacketHead]) -> bool {
        self.lose(heads.len(), heads)
    }

    /// What is still inside before `place` is lost.
    fn lose(&mut self, place: usize, heads: &[PacketHead]) -> bool {
        let left = self.inside.split_off(&place);
        let lost = std::mem::replace(&mut self.inside, left);
        for place in lost.iter().filter(|_| self.strict) {
            self.from = self.from.into_iter().chain(spreads(*place, &heads[*place])).min();
        }
        self.strict && !lost.is_empty()
    }

    /// There is damage at a place. It spreads unless nothing refers to that picture.
    pub fn at(&mut self, place: usize, head: &PacketHead) {
        self.from = self.from.into_iter().chain(spreads(place, head)).min();
    }

    /// Is a frame damaged because of others?
    pub fn spoils(&self, place: usize) -> bool {
        self.from.is_some_and(|from| place > from)
    }

    /// May a frame that it refers to still turn out to be damaged?
    pub fn may_spoil(&self, place: usize, heads: &[PacketHead]) -> bool {
        let shown = |place: usize| heads.get(place).and_then(|head| head.pts);
        self.inside.range(..place).any(|earlier| self.strict || shown(*earlier) > shown(place))
    }
}

/// The place, if damage there is damage elsewhere.
fn spreads(place: usize, head: &PacketHead) -> Option<usize> {
    (head.header.need != Need::Target).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::coded::Coded;
    use crate::model::media::{Field, FrameHeader, Start};

    fn head(pts: i64, need: Need) -> PacketHead {
        let header = FrameHeader {
            start: Start::No,
            key: false,
            hidden: false,
            need,
            field: Field::Frame,
            resilient: false,
        };
        PacketHead { pts: Some(pts), dts: None, duration: 1, size: 1, header, coded: Coded::Unknown }
    }

    #[test]
    fn damage_spreads_to_what_is_decoded_later() {
        let mut damage = Damage::none(false);
        assert!(!damage.spoils(9));
        damage.at(3, &head(0, Need::Target));
        assert!(!damage.spoils(9), "nothing refers to it");
        damage.at(5, &head(0, Need::Always));
        damage.at(7, &head(0, Need::Always));
        assert!(!damage.spoils(4) && !damage.spoils(5) && damage.spoils(6));
    }

    #[test]
    fn a_frame_waits_for_those_shown_after_it_and_decoded_before() {
        let heads = [0, 2, 1, 3].map(|pts| head(pts, Need::Always));
        let mut damage = Damage::none(false);
        for (place, head) in heads.iter().enumerate() {
            damage.sent(place, head);
        }
        assert!(!damage.came(0, &heads) && !damage.came(2, &heads));
        assert!(damage.may_spoil(2, &heads));
        assert!(!damage.came(1, &heads));
        assert!(!damage.may_spoil(2, &heads) && !damage.may_spoil(3, &heads));
        assert!(!damage.ended(&heads), "a packet may give no frame");
    }

    #[test]
    fn a_frame_that_never_comes_is_damage_where_every_packet_gives_one() {
        let heads: Vec<PacketHead> = (0..40).map(|pts| head(pts, Need::Always)).collect();
        let mut damage = Damage::none(true);
        heads.iter().enumerate().for_each(|(place, head)| damage.sent(place, head));
        let late = 3 + REORDER_MAX;
        for place in (0..=late).filter(|place| *place != 3) {
            assert!(!damage.came(place, &heads));
            assert_eq!(damage.may_spoil(place, &heads), place > 3);
        }
        assert!(damage.came(late + 1, &heads));
        assert!(damage.spoils(4) && !damage.spoils(3) && !damage.may_spoil(4, &heads));
        assert!(damage.ended(&heads), "nor did those at the end");
        assert!(!damage.ended(&heads));
    }

    #[test]
    fn nobody_waits_for_what_is_not_shown() {
        let mut heads = [5, 6, 0].map(|pts| head(pts, Need::Always));
        heads[0].header.hidden = true;
        heads[1].header.field = Field::Second;
        let mut damage = Damage::none(true);
        heads.iter().enumerate().for_each(|(place, head)| damage.sent(place, head));
        assert!(!damage.may_spoil(2, &heads));
    }
}
