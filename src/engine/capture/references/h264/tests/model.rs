//! A second model of the decoder, told from the first by its build: a flat list, and marks on it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::super::resets;
use crate::model::coded::{H264Change, H264Lists, H264Mark, H264Order, H264Picture};

/// A picture in the second model: references are told by marks on a flat list.
#[derive(Clone, Debug)]
pub struct Picture {
    frame_num: i64,
    order: i64,
    /// Insertion, the later the greater.
    age: u64,
    long: Option<u32>,
    /// All that its pixels were made from.
    pixels: u64,
    /// All that its vectors were made from.
    vectors: u64,
    lost: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub pictures: Vec<Picture>,
    last_frame_num: i64,
    high: i64,
    low: Option<i64>,
    clock: u64,
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Model {
    pub fn new() -> Model {
        Model { last_frame_num: -1, high: 1 << 16, ..Model::default() }
    }

    fn short(&self) -> Vec<&Picture> {
        let mut short: Vec<&Picture> = self.pictures.iter().filter(|p| p.long.is_none()).collect();
        short.sort_by_key(|p| std::cmp::Reverse(p.age));
        short
    }

    fn long(&self) -> Vec<&Picture> {
        let mut long: Vec<&Picture> = self.pictures.iter().filter(|p| p.long.is_some()).collect();
        long.sort_by_key(|p| p.long);
        long
    }

    fn drop_short(&mut self, frame_num: i64) {
        let found = self.short().into_iter().find(|p| p.frame_num == frame_num).map(|p| p.age);
        self.pictures.retain(|p| Some(p.age) != found);
    }

    fn take_in(&mut self, mut new: Picture, marks: Option<&[H264Mark]>, max: usize, modulus: i64) {
        if marks.is_none() && self.pictures.len() >= max {
            let oldest = self.short().last().map(|p| p.frame_num);
            oldest.into_iter().for_each(|n| self.drop_short(n));
        }
        for mark in marks.unwrap_or_default() {
            let short_of = |d: u32| (new.frame_num - i64::from(d) - 1).rem_euclid(modulus);
            match *mark {
                H264Mark::ShortUnused(d) => self.drop_short(short_of(d)),
                H264Mark::LongUnused(n) => self.pictures.retain(|p| p.long != Some(n)),
                H264Mark::LongMax(n) => self.pictures.retain(|p| p.long.is_none_or(|l| l < n)),
                H264Mark::ShortToLong(d, n) => {
                    let age = self.short().into_iter().find(|p| p.frame_num == short_of(d)).map(|p| p.age);
                    if age.is_some() {
                        self.pictures.retain(|p| p.long != Some(n));
                    }
                    self.pictures.iter_mut().filter(|p| Some(p.age) == age).for_each(|p| p.long = Some(n));
                }
                H264Mark::Reset => {
                    self.pictures.clear();
                    new.frame_num = 0;
                }
                H264Mark::Long(n) => {
                    self.pictures.retain(|p| p.long != Some(n));
                    new.long = Some(n);
                }
            }
        }
        let now = new.frame_num;
        if new.long.is_none() {
            self.drop_short(now);
        }
        self.pictures.push(new);
        if self.pictures.len() > max.max(1) {
            let oldest = self.short().last().map(|p| p.frame_num);
            oldest.into_iter().for_each(|n| self.drop_short(n));
        }
        // One that moved up into the place of a dropped one is not looked at.
        let mut passed = false;
        for (frame_num, lost) in self.short().into_iter().map(|p| (p.frame_num, p.lost)).collect::<Vec<_>>() {
            let is_far = lost && (now - frame_num).rem_euclid(modulus) > max as i64;
            if !passed && is_far {
                self.drop_short(frame_num);
            }
            passed = !passed && is_far;
        }
    }

    fn fill(&mut self, frame_num: i64, max: i64, modulus: i64) {
        let ahead = |last: i64| if last > frame_num { frame_num + modulus - last } else { frame_num - last };
        if ahead(self.last_frame_num) > max {
            self.last_frame_num = (frame_num - max - 1).rem_euclid(modulus);
        }
        while frame_num != self.last_frame_num && frame_num != (self.last_frame_num + 1) % modulus {
            self.last_frame_num = (self.last_frame_num + 1) % modulus;
            self.clock += 1;
            let before = self.short().first().map(|p| (p.pixels, p.order + 2));
            // Nobody knows what the vectors of one that was not sent are.
            let vectors = hash(("lost", self.clock));
            let (pixels, order) = before.unwrap_or((vectors, 0));
            let frame_num = self.last_frame_num;
            let lost = Picture { frame_num, order, age: self.clock, long: None, pixels, vectors, lost: true };
            self.take_in(lost, None, max as usize, modulus);
        }
    }

    fn lists(&self, lists: &H264Lists, now: (i64, i64), modulus: i64) -> [Vec<Picture>; 2] {
        let (frame_num, order) = now;
        let cloned = |list: Vec<&Picture>| list.into_iter().cloned().collect::<Vec<Picture>>();
        let mut both = [[cloned(self.short()), cloned(self.long())].concat(), Vec::new()];
        if lists.both {
            let mut before: Vec<Picture> =
                cloned(self.short()).into_iter().filter(|p| p.order <= order).collect();
            before.sort_by_key(|p| (-p.order, p.age));
            before.dedup_by_key(|p| p.order);
            let mut after: Vec<Picture> =
                cloned(self.short()).into_iter().filter(|p| p.order > order).collect();
            after.sort_by_key(|p| (p.order, u64::MAX - p.age));
            after.dedup_by_key(|p| p.order);
            let long = cloned(self.long());
            both = [[before.clone(), after.clone(), long.clone()].concat(), [after, before, long].concat()];
            let looks = |list: &[Picture]| list.iter().map(|p| p.pixels).collect::<Vec<_>>();
            if both[1].len() > 1 && looks(&both[0]) == looks(&both[1]) {
                both[1].swap(0, 1);
            }
        }
        for (list, wanted) in both.iter_mut().zip([0, 1]) {
            let mut predicted = frame_num;
            for (at, change) in lists.changes[wanted].iter().enumerate() {
                let found = match *change {
                    H264Change::Long(n) => self.long().into_iter().find(|p| p.long == Some(n)),
                    H264Change::Back(d) | H264Change::On(d) => {
                        let by = i64::from(d) + 1;
                        predicted += if matches!(change, H264Change::On(_)) { by } else { -by };
                        predicted = predicted.rem_euclid(modulus);
                        self.short().into_iter().rev().find(|p| p.frame_num == predicted)
                    }
                };
                let Some(found) = found else { continue };
                let old = list.iter().skip(at).position(|p| p.age == found.age);
                list.insert(at, found.clone());
                if let Some(old) = old {
                    list.remove(at + 1 + old);
                }
            }
            list.truncate(usize::from(lists.active[wanted]));
        }
        both
    }

    /// What the picture's pixels are made from.
    pub fn decode(&mut self, number: usize, picture: &H264Picture, all_temporal: bool) -> u64 {
        let modulus = 1i64 << picture.sequence.frame_num_bits;
        let max = picture.sequence.references_max;
        if picture.idr {
            *self = Model { last_frame_num: 0, clock: self.clock, ..Model::new() };
        }
        let frame_num = i64::from(picture.frame_num);
        self.fill(frame_num, i64::from(max), modulus);
        let H264Order::Lsb { bits } = picture.sequence.order else { unreachable!() };
        let (wrap, low) = (1i64 << bits, i64::from(picture.order_lsb));
        let last = *self.low.get_or_insert(low);
        let high = match low - last {
            step if step <= -wrap / 2 => self.high + wrap,
            step if step > wrap / 2 => self.high - wrap,
            _ => self.high,
        };
        let order = high + low;
        let mut made: Vec<u64> = vec![number as u64, hash(order)];
        for lists in &picture.lists {
            let both = self.lists(lists, (frame_num, order), modulus);
            made.extend(both.iter().flatten().map(|p| hash((p.pixels, p.long.is_some()))));
            made.extend(both[1].first().map(|p| p.vectors));
            if lists.implicit || all_temporal {
                made.extend(both.iter().flatten().map(|p| hash((p.order, p.frame_num))));
            }
        }
        let pixels = hash(&made);
        let mut after = frame_num;
        if picture.reference {
            self.clock += 1;
            let vectors = hash((pixels, "vectors"));
            let new = Picture { frame_num, order, age: self.clock, long: None, pixels, vectors, lost: false };
            self.take_in(new, picture.marking.as_deref(), max as usize, modulus);
            (self.high, self.low) = (high, Some(low));
            if resets(picture) && !picture.idr {
                after = 0;
            }
        }
        self.last_frame_num = after;
        pixels
    }
}
