//! The syntax of H.264, as far as the writer of streams needs it (CAVLC, 64x64).
//!
//! Owns bits, parameter sets, slice headers with explicit list modification, and macroblocks. Never predicts a pixel:
//! each picture has noise of its own and copies of others, so that a missing reference shows.

use crate::h264_writer::{Mark, Picture, Ref, Writer};

pub const SIDE: u32 = 64;
const MBS: u32 = SIDE / 16;

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    left: u32,
}

impl Bits {
    fn u(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.left == 0 {
                self.bytes.push(0);
                self.left = 8;
            }
            self.left -= 1;
            *self.bytes.last_mut().expect("a byte") |= ((value >> bit & 1) as u8) << self.left;
        }
    }

    fn ue(&mut self, value: u32) {
        let length = 31 - (value + 1).leading_zeros();
        self.u(length, 0);
        self.u(length + 1, value + 1);
    }

    fn se(&mut self, value: i64) {
        self.ue(if value > 0 { 2 * value - 1 } else { -2 * value } as u32);
    }

    fn nal(mut self, header: u8) -> Vec<u8> {
        self.u(1, 1);
        let mut out = vec![header];
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros >= 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            out.push(byte);
        }
        out
    }
}

impl Writer {
    /// Sequence and picture parameter sets.
    pub fn parameter_sets(&self) -> (Vec<u8>, Vec<u8>) {
        let style = self.style;
        let mut sps = Bits::default();
        for byte in [77, 0, 40] {
            sps.u(8, byte);
        }
        sps.ue(0);
        sps.ue(style.frame_num_bits - 4);
        sps.ue(style.poc_type);
        match style.poc_type {
            0 => sps.ue(2),
            1 => {
                sps.u(1, 0);
                sps.se(-3);
                sps.se(0);
                sps.ue(0);
            }
            _ => {}
        }
        sps.ue(style.refs as u32);
        sps.u(1, u32::from(style.gaps));
        sps.ue(MBS - 1);
        sps.ue(if style.fields { MBS / 2 } else { MBS } - 1);
        sps.u(1, u32::from(!style.fields));
        if style.fields {
            sps.u(1, 0);
        }
        // direct_8x8_inference, no cropping, VUI: only the restrictions, which tell how deep pictures are reordered.
        for (count, value) in
            [(1, 1), (1, 0), (1, 1), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0)]
        {
            sps.u(count, value);
        }
        sps.u(1, 1);
        sps.u(1, 1);
        let reorder = if style.between > 0 { 8 } else { 0 };
        for value in [0, 0, 10, 10, reorder, 16] {
            sps.ue(value);
        }
        let mut pps = Bits::default();
        pps.ue(0);
        pps.ue(0);
        pps.u(2, 0);
        for value in [0, 0, 0] {
            pps.ue(value);
        }
        pps.u(1, 0);
        pps.u(2, if style.implicit_weights { 2 } else { 0 });
        for _ in 0..3 {
            pps.se(0);
        }
        pps.u(3, 0);
        (sps.nal(0x67), pps.nal(0x68))
    }

    /// The slices of a frame, or of one field (`Some(bottom)`), with `count` references to choose from.
    pub fn slices(&mut self, picture: &Picture, field: Option<bool>, count: usize, nals: &mut Vec<Vec<u8>>) {
        let total = MBS * MBS / if field.is_some() { 2 } else { 1 };
        let slices = 1 + self.dice.below(self.style.slices) as u32;
        for slice in 0..slices {
            let (from, to) = (total * slice / slices, total * (slice + 1) / slices);
            let kind = match (picture.idr || count == 0, self.style.b && self.chance(60), self.chance(4)) {
                (true, ..) | (.., true) => 2,
                (_, true, _) => 1,
                _ => 0,
            };
            let mut bits = Bits::default();
            let active = self.header(&mut bits, picture, field, (from, kind), count);
            self.macroblocks(&mut bits, from..to, kind, active);
            let unit = if picture.idr { 5 } else { 1 };
            nals.push(bits.nal(if picture.reference { 0x60 } else { 0 } | unit));
        }
    }

    fn header(
        &mut self,
        bits: &mut Bits,
        picture: &Picture,
        field: Option<bool>,
        (from, kind): (u32, u32),
        count: usize,
    ) -> [u32; 2] {
        bits.ue(from);
        bits.ue(kind);
        bits.ue(0);
        bits.u(self.style.frame_num_bits, picture.frame_num as u32);
        if self.style.fields {
            bits.u(1, u32::from(field.is_some()));
            if let Some(bottom) = field {
                bits.u(1, u32::from(bottom));
            }
        }
        if picture.idr {
            bits.ue(self.idr_id % 2);
        }
        match self.style.poc_type {
            0 => bits.u(6, (picture.poc & 63) as u32),
            1 => {
                // What is not referred to is expected three earlier.
                let expected = if picture.reference { 0 } else { -3 };
                bits.se(picture.poc - expected);
            }
            _ => {}
        }
        if kind == 1 {
            bits.u(1, 1);
        }
        let mut active = [0, 0];
        if kind != 2 {
            bits.u(1, 1);
            let usable = if self.style.gaps { self.refs.iter().filter(|r| r.exists).count() } else { count };
            for one in &mut active[..=kind as usize] {
                *one = 1 + self.dice.below(usable as i64) as u32;
                bits.ue(*one - 1);
            }
            for one in &active[..=kind as usize] {
                self.modification(bits, picture.frame_num, *one, field.is_some());
            }
        }
        if picture.reference {
            self.marking(bits, picture);
        }
        bits.se(0);
        active
    }

    /// ref_pic_list_modification of one list; where gaps are, every entry is named.
    fn modification(&mut self, bits: &mut Bits, now: i64, active: u32, field: bool) {
        let named = match (self.style.gaps, self.style.modified && !field && self.chance(60)) {
            (true, _) => active,
            (false, true) => 1 + self.dice.below(i64::from(active)) as u32,
            (false, false) => return bits.u(1, 0),
        };
        bits.u(1, 1);
        let limit = 1i64 << self.style.frame_num_bits;
        let mut predicted = now;
        let mut choice: Vec<Ref> = self.refs.iter().copied().filter(|r| r.exists).collect();
        for _ in 0..named {
            let one = choice.swap_remove(self.dice.below(choice.len() as i64) as usize);
            if let Some(long) = one.long {
                bits.ue(2);
                bits.ue(long);
                continue;
            }
            let number = self.wrap(one.frame_num, now);
            let difference = (number - predicted).rem_euclid(limit);
            // A difference of nothing is one of all.
            let (operation, by) = match difference {
                0 => (1, limit),
                up if up < limit / 2 => (1, up),
                up => (0, limit - up),
            };
            bits.ue(operation);
            bits.ue((by - 1) as u32);
            predicted = number;
        }
        bits.ue(3);
    }

    fn marking(&mut self, bits: &mut Bits, picture: &Picture) {
        if picture.idr {
            bits.u(1, 0);
            return bits.u(1, u32::from(picture.long_idr));
        }
        bits.u(1, u32::from(!picture.marks.is_empty()));
        if picture.marks.is_empty() {
            return;
        }
        for mark in &picture.marks {
            match *mark {
                Mark::ForgetShort(difference) => [1, difference as u32 - 1].map(|v| bits.ue(v)),
                Mark::ForgetLong(long) => [2, long].map(|v| bits.ue(v)),
                Mark::Keep { short, long } => {
                    bits.ue(3);
                    [short as u32 - 1, long].map(|v| bits.ue(v))
                }
                Mark::Longest(longest) => [4, longest].map(|v| bits.ue(v)),
                Mark::KeepThis(long) => [6, long].map(|v| bits.ue(v)),
                Mark::Reset => {
                    bits.ue(5);
                    continue;
                }
            };
        }
        bits.ue(0);
    }

    fn macroblocks(&mut self, bits: &mut Bits, range: std::ops::Range<u32>, kind: u32, active: [u32; 2]) {
        let noisy = self.dice.below(i64::from(range.end - range.start)) as u32 + range.start;
        let mut skipped = 0;
        for mb in range {
            let pcm = kind == 2 || mb == noisy;
            let direct = kind == 0 || self.style.direct;
            if kind != 2 && !pcm && direct && self.chance(15) {
                skipped += 1;
                continue;
            }
            if kind != 2 {
                bits.ue(std::mem::take(&mut skipped));
            }
            if pcm {
                bits.ue([30, 48, 25][kind as usize]);
                let padding = bits.left % 8;
                bits.u(padding, 0);
                for _ in 0..384 {
                    let value = self.dice.below(256) as u32;
                    bits.u(8, value);
                }
                continue;
            }
            // P: the whole block by list 0. B: by list 0, list 1, both, or as neighbours and the colocated say.
            let choice = match (kind, direct) {
                (0, _) => 0,
                (_, true) => self.dice.below(4) as u32,
                (_, false) => 1 + self.dice.below(3) as u32,
            };
            bits.ue(choice);
            let lists: &[usize] = match (kind, choice) {
                (0, _) | (_, 1) => &[0],
                (_, 2) => &[1],
                (_, 3) => &[0, 1],
                _ => &[],
            };
            for list in lists {
                let most = active[*list] - 1;
                let index = self.dice.below(i64::from(active[*list])) as u32;
                match most {
                    0 => {}
                    1 => bits.u(1, 1 - index),
                    _ => bits.ue(index),
                }
            }
            for _ in 0..2 * lists.len() {
                let difference = self.dice.below(9) - 4;
                bits.se(difference);
            }
            bits.ue(0);
        }
        if skipped > 0 {
            bits.ue(skipped);
        }
    }
}
