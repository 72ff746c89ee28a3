//! Which references FFmpeg's H.264 decoder keeps after each picture. *Pure.*
//!
//! Owns the memory management control operations and the sliding window, missteps on impossible ones included.
//! Never builds a list.

use super::{Decoder, Held};
use crate::model::coded::{H264Mark, H264Sequence};

impl Decoder {
    /// Marks references and takes `current` in (ff_h264_execute_ref_pic_marking). True when everything was reset.
    pub(super) fn mark(
        &mut self,
        mut current: Held,
        marks: Option<&[H264Mark]>,
        sequence: &H264Sequence,
    ) -> bool {
        let modulus = 1i64 << sequence.frame_num_bits;
        let references_max = sequence.references_max.max(0) as usize;
        let (mut reset, mut is_long) = (false, false);
        let Some(marks) = marks else {
            if !self.short.is_empty() && self.count() >= references_max {
                let oldest = self.short[self.short.len() - 1].frame_num;
                self.drop_short(oldest);
            }
            self.take_in(current, references_max, modulus);
            return false;
        };
        let base = current.frame_num;
        let short_of = |difference: u32| (base - i64::from(difference) - 1).rem_euclid(modulus);
        for mark in marks {
            match *mark {
                H264Mark::ShortUnused(difference) => {
                    self.drop_short(short_of(difference));
                }
                H264Mark::LongUnused(name) => self.drop_long(name),
                H264Mark::ShortToLong(difference, name) => {
                    if let Some(held) = self.drop_short(short_of(difference)) {
                        self.keep_long(name, held);
                    }
                }
                H264Mark::LongMax(above) => (above..16).for_each(|name| self.drop_long(name)),
                H264Mark::Reset => {
                    self.short.clear();
                    self.long = [None; 16];
                    current.frame_num = 0;
                    reset = true;
                }
                H264Mark::Long(name) => {
                    for held in &mut self.long {
                        held.take_if(|held| held.number == current.number);
                    }
                    self.keep_long(name, current);
                    is_long = true;
                }
            }
        }
        if is_long {
            self.trim(current, references_max, modulus);
        } else {
            self.take_in(current, references_max, modulus);
        }
        reset
    }

    fn take_in(&mut self, current: Held, references_max: usize, modulus: i64) {
        self.drop_short(current.frame_num);
        self.short.insert(0, current);
        self.trim(current, references_max, modulus);
    }

    /// Drops one too many, and stand-ins out of reach.
    fn trim(&mut self, current: Held, references_max: usize, modulus: i64) {
        if self.count() > references_max.max(1) {
            match self.short.last() {
                Some(oldest) => {
                    let frame_num = oldest.frame_num;
                    self.drop_short(frame_num);
                }
                None => {
                    if let Some(first) = self.long.iter_mut().find(|held| held.is_some()) {
                        *first = None;
                    }
                }
            }
        }
        let mut at = 0;
        while let Some(held) = self.short.get(at).copied() {
            let age = (current.frame_num - held.frame_num).rem_euclid(modulus);
            if held.invalid && age > references_max as i64 {
                self.drop_short(held.frame_num);
            }
            // The one that moved up is passed over, as FFmpeg does.
            at += 1;
        }
    }

    fn count(&self) -> usize {
        self.short.len() + self.long.iter().flatten().count()
    }

    fn drop_short(&mut self, frame_num: i64) -> Option<Held> {
        let place = self.short.iter().position(|held| held.frame_num == frame_num)?;
        Some(self.short.remove(place))
    }

    fn drop_long(&mut self, name: u32) {
        if let Some(held) = self.long.get_mut(name as usize) {
            *held = None;
        }
    }

    fn keep_long(&mut self, name: u32, held: Held) {
        if let Some(place) = self.long.get_mut(name as usize) {
            *place = Some(held);
        }
    }
}
