//! FFmpeg's own H.264 decoder, as far as references go: what it keeps, and which pictures its lists name. *Pure.*
//!
//! Owns the counting of pictures, the marking of references, the lists, and the stand-ins for reference pictures
//! that were not sent. Follows FFmpeg (5.1 and later) where that departs from the standard: what is compared is
//! what will be decoded. Never sees a field.

mod marking;

use crate::model::coded::{H264Change, H264Lists, H264Order, H264Picture, H264Sequence};

/// The number of a stand-in: no picture of the run.
pub const STAND_IN: u32 = u32::MAX;
/// An IDR picture starts here, so that earlier pictures in output order are not below zero.
const ORDER_AT_IDR: i64 = 1 << 16;

/// A reference picture that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    /// Its place in the run, or `STAND_IN`.
    number: u32,
    /// Whose pixels they are: a stand-in has those of the reference before it.
    pixels: u32,
    frame_num: i64,
    order: i64,
    /// A stand-in that the stream does not provide for.
    invalid: bool,
    /// A stand-in for what nothing stood before.
    gray: bool,
}

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    held: Held,
    long: bool,
    /// frame_num, or the place among the long-term references.
    name: i64,
}

/// What decoding a picture depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Picture order counts of both fields.
    order: [i64; 2],
    /// All entries of all lists: the picture whose pixels they are, and whether it is a long-term reference. Where
    /// counts or vectors are read too no stand-in will do.
    entries: Vec<(u32, bool)>,
    /// Every entry is a picture of the run, or looks like one.
    pub sound: bool,
    /// Every entry is something, if only a stand-in: it can be decoded, whatever comes out.
    pub decodes: bool,
}

impl View {
    /// The pictures that it may refer to.
    pub fn refers(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|(number, _)| *number)
    }
}

/// The decoder, flushed.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Stand-ins are told from the pictures that they look like.
    strict: bool,
    /// The latest first.
    short: Vec<Held>,
    long: [Option<Held>; 16],
    previous_frame_num: i64,
    previous_offset: i64,
    previous_high: i64,
    previous_low: i64,
}

impl Decoder {
    /// As it is at the beginning of a run. `strict`: some picture of it scales vectors by picture order counts, and
    /// these are then read of everything.
    pub fn new(strict: bool) -> Decoder {
        Decoder {
            strict,
            short: Vec::with_capacity(17),
            long: [None; 16],
            previous_frame_num: -1,
            previous_offset: 0,
            previous_high: ORDER_AT_IDR,
            previous_low: -1,
        }
    }

    /// Numbers of the pictures that it holds; stand-ins are left out.
    pub fn holds(&self) -> impl Iterator<Item = u32> {
        let all = self.short.iter().chain(self.long.iter().flatten());
        all.map(|held| held.number).filter(|number| *number != STAND_IN)
    }

    /// Decodes the picture that is `number` in the run.
    pub fn decode(&mut self, number: u32, picture: &H264Picture) -> View {
        let sequence = &*picture.sequence;
        if picture.idr {
            let restarted = Decoder::new(self.strict);
            *self = Decoder { previous_frame_num: 0, ..restarted };
        }
        self.fill_gap(i64::from(picture.frame_num), sequence);
        let place = self.place(picture);
        let order = place.order;
        let current = Held {
            number,
            pixels: number,
            frame_num: i64::from(picture.frame_num),
            order: order[0].min(order[1]),
            invalid: false,
            gray: false,
        };
        let mut view = View { order, entries: Vec::new(), sound: true, decodes: true };
        for lists in &picture.lists {
            self.list(lists, &current, sequence, &mut view);
        }
        let mut frame_num = current.frame_num;
        if picture.reference {
            if self.mark(current, picture.marking.as_deref(), sequence) {
                frame_num = 0;
            }
            (self.previous_high, self.previous_low) = (place.high, place.low);
        }
        self.previous_offset = place.offset;
        self.previous_frame_num = frame_num;
        view
    }

    /// Stand-ins for the reference pictures whose frame_num never came (h264_field_start).
    fn fill_gap(&mut self, frame_num: i64, sequence: &H264Sequence) {
        let modulus = 1i64 << sequence.frame_num_bits;
        let references_max = i64::from(sequence.references_max);
        if frame_num != self.previous_frame_num {
            let wrapped = if self.previous_frame_num > frame_num { modulus } else { 0 };
            if frame_num - (self.previous_frame_num - wrapped) > references_max {
                // No more of them than are held. A sum below zero wraps.
                let before = frame_num - references_max - 1;
                self.previous_frame_num = if before < 0 { before + modulus } else { before };
            }
        }
        while frame_num != self.previous_frame_num && frame_num != (self.previous_frame_num + 1) % modulus {
            let before = self.short.first().copied();
            self.previous_frame_num = (self.previous_frame_num + 1) % modulus;
            let stand_in = Held {
                number: STAND_IN,
                pixels: STAND_IN,
                frame_num: self.previous_frame_num,
                order: 0,
                invalid: !sequence.gaps_allowed,
                gray: true,
            };
            self.mark(stand_in, None, sequence);
            if let (Some(made), Some(before)) = (self.short.first_mut(), before) {
                (made.pixels, made.order, made.gray) = (before.pixels, before.order + 2, before.gray);
            }
        }
    }

    /// The picture order count (ff_h264_init_poc).
    fn place(&mut self, picture: &H264Picture) -> Place {
        let sequence = &*picture.sequence;
        let frame_num = i64::from(picture.frame_num);
        let mut place = Place {
            order: [0; 2],
            high: self.previous_high,
            low: i64::from(picture.order_lsb),
            offset: self.previous_offset,
        };
        if frame_num < self.previous_frame_num {
            place.offset += 1 << sequence.frame_num_bits;
        }
        let counted = place.offset + frame_num;
        match &sequence.order {
            H264Order::Lsb { bits } => {
                let modulus = 1i64 << bits;
                if self.previous_low < 0 {
                    self.previous_low = place.low;
                }
                let step = place.low - self.previous_low;
                if -step >= modulus / 2 {
                    place.high += modulus;
                } else if step > modulus / 2 {
                    place.high -= modulus;
                }
                let top = place.high + place.low;
                place.order = [top, top + i64::from(picture.order_bottom)];
            }
            H264Order::Cycle { offsets, non_reference, bottom } => {
                let passed = if offsets.is_empty() { 0 } else { counted };
                let passed = passed - i64::from(!picture.reference && passed > 0);
                let sum = |part: &[i32]| part.iter().map(|offset| i64::from(*offset)).sum::<i64>();
                let length = offsets.len() as i64;
                let expected = if passed > 0 {
                    let (cycles, rest) = ((passed - 1) / length, (passed - 1) % length);
                    cycles * sum(offsets) + sum(&offsets[..=rest as usize])
                } else {
                    0
                };
                let expected = expected + if picture.reference { 0 } else { i64::from(*non_reference) };
                let top = expected + i64::from(picture.order_delta[0]);
                place.order = [top, top + i64::from(*bottom) + i64::from(picture.order_delta[1])];
            }
            H264Order::Decode => place.order = [2 * counted - i64::from(!picture.reference); 2],
        }
        place
    }

    /// The lists of a slice (ff_h264_build_ref_list), entered into `view`.
    fn list(&self, lists: &H264Lists, current: &Held, sequence: &H264Sequence, view: &mut View) {
        let mut initial = if lists.both {
            [self.by_order(current.order, true), self.by_order(current.order, false)]
        } else {
            let short =
                self.short.iter().map(|held| Entry { held: *held, long: false, name: held.frame_num });
            [short.chain(self.long_entries()).collect(), Vec::new()]
        };
        let [first, second] = &mut initial;
        if lists.both
            && second.len() > 1
            && first.iter().map(|e| e.held.pixels).eq(second.iter().map(|e| e.held.pixels))
        {
            second.swap(0, 1);
        }
        for (list, (entries, changes)) in initial.into_iter().zip(&lists.changes).enumerate() {
            let active = usize::from(lists.active[list]);
            if active == 0 {
                continue;
            }
            let entered = self.enter(entries, active, changes, current.frame_num, sequence, view);
            for (at, entry) in entered.into_iter().enumerate() {
                // Vectors of the first picture of the second list are read.
                let strict = self.strict || lists.implicit || (list == 1 && at == 0);
                let picture = if strict { entry.held.number } else { entry.held.pixels };
                view.sound &= picture != STAND_IN;
                view.entries.push((picture, entry.long));
            }
        }
    }

    /// The active entries of a list that begins as `entries`.
    fn enter(
        &self,
        entries: Vec<Entry>,
        active: usize,
        changes: &[H264Change],
        frame_num: i64,
        sequence: &H264Sequence,
        view: &mut View,
    ) -> Vec<Entry> {
        let mut list: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        list.resize(list.len().max(active), None);
        // Later decoders exchange gray entries here.
        view.sound &= !list[..active].iter().flatten().any(|entry| entry.held.gray);
        let default = list[0];
        let mut predicted = frame_num;
        for (place, change) in changes.iter().enumerate() {
            let named = self.named(*change, &mut predicted, 1 << sequence.frame_num_bits);
            if let Some(entry) = named {
                let is_it = |other: &Option<Entry>| {
                    other.is_some_and(|other| (other.long, other.name) == (entry.long, entry.name))
                };
                let last = (place..active - 1).find(|at| is_it(&list[*at])).unwrap_or(active - 1);
                list[place..=last].rotate_right(1);
            }
            list[place] = named;
        }
        let whole: Option<Vec<Entry>> = list[..active].iter().map(|entry| entry.or(default)).collect();
        if whole.is_none() {
            (view.sound, view.decodes) = (false, false);
        }
        whole.unwrap_or_default()
    }

    /// The picture that a step of list modification names.
    fn named(&self, change: H264Change, predicted: &mut i64, modulus: i64) -> Option<Entry> {
        let difference = match change {
            H264Change::Back(difference) => -(i64::from(difference) + 1),
            H264Change::On(difference) => i64::from(difference) + 1,
            H264Change::Long(name) => {
                let held = self.long.get(name as usize).copied().flatten()?;
                return Some(Entry { held, long: true, name: i64::from(name) });
            }
        };
        *predicted = (*predicted + difference).rem_euclid(modulus);
        let held = self.short.iter().rev().find(|held| held.frame_num == *predicted)?;
        Some(Entry { held: *held, long: false, name: *predicted })
    }

    fn long_entries(&self) -> impl Iterator<Item = Entry> {
        let all = self.long.iter().enumerate();
        all.filter_map(|(i, held)| held.map(|held| Entry { held, long: true, name: i as i64 }))
    }

    /// The initial list of a B slice: of several pictures of the same count only one enters it (add_sorted).
    fn by_order(&self, order: i64, before_first: bool) -> Vec<Entry> {
        let mut before: Vec<&Held> = self.short.iter().filter(|held| held.order <= order).collect();
        // Of equal ones the last one held.
        before.reverse();
        before.sort_by_key(|held| std::cmp::Reverse(held.order));
        before.dedup_by_key(|held| held.order);
        let mut after: Vec<&Held> = self.short.iter().filter(|held| held.order > order).collect();
        after.sort_by_key(|held| held.order);
        after.dedup_by_key(|held| held.order);
        let sorted =
            if before_first { before.into_iter().chain(after) } else { after.into_iter().chain(before) };
        let short = sorted.map(|held| Entry { held: *held, long: false, name: held.frame_num });
        short.chain(self.long_entries()).collect()
    }
}

/// Where a picture stands in output order, and what the next one counts from.
struct Place {
    order: [i64; 2],
    high: i64,
    low: i64,
    offset: i64,
}
