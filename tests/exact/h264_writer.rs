//! Writes H.264 streams whose pictures refer to each other in ways that no encoder at hand does.
//!
//! Owns the order of pictures and a model of the references that keeps it valid: long-term references, memory
//! management, gaps and wraps of frame_num, resets, fields. Never writes a bit: `h264_syntax` does.

use crate::common::judge::Dice;

/// What a stream makes use of.
#[derive(Clone, Copy, Default)]
pub struct Style {
    pub name: &'static str,
    pub poc_type: u32,
    /// Bits of frame_num, at least 4.
    pub frame_num_bits: u32,
    /// max_num_ref_frames.
    pub refs: usize,
    /// Pictures from IDR to IDR.
    pub gop: usize,
    /// The most pictures between an anchor and the next.
    pub between: i64,
    pub b: bool,
    pub slices: i64,
    pub long_term: bool,
    pub modified: bool,
    /// Memory management operation 5 now and then.
    pub resets: bool,
    pub gaps: bool,
    /// Pictures may be two fields.
    pub fields: bool,
    pub implicit_weights: bool,
    /// Blocks whose motion the colocated picture tells.
    pub direct: bool,
}

/// One access unit.
pub struct Unit {
    /// Units without start codes.
    pub nals: Vec<Vec<u8>>,
    /// Place in display order.
    pub shown: i64,
    pub key: bool,
}

#[derive(Clone, Copy)]
pub struct Ref {
    pub frame_num: i64,
    pub long: Option<u32>,
    /// False for what a gap fills in.
    pub exists: bool,
}

/// What a picture does to the references.
#[derive(Clone, Copy)]
pub enum Mark {
    ForgetShort(i64),
    ForgetLong(u32),
    Keep { short: i64, long: u32 },
    KeepThis(u32),
    Longest(u32),
    Reset,
}

pub struct Picture {
    pub idr: bool,
    pub reference: bool,
    pub frame_num: i64,
    pub poc: i64,
    pub marks: Vec<Mark>,
    pub long_idr: bool,
}

pub struct Writer {
    pub style: Style,
    pub dice: Dice,
    pub refs: Vec<Ref>,
    last_frame_num: i64,
    pub idr_id: u32,
    poc_base: i64,
    long_limit: u32,
    gap_lately: usize,
}

impl Writer {
    pub fn new(style: Style) -> Writer {
        let dice = Dice::new(style.name);
        Writer {
            style,
            dice,
            refs: vec![],
            last_frame_num: 0,
            idr_id: 0,
            poc_base: 0,
            long_limit: 0,
            gap_lately: 0,
        }
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.dice.below(100) < percent
    }

    /// A stream of about `count` pictures in decode order.
    pub fn write(&mut self, count: usize) -> Vec<Unit> {
        let mut units = Vec::new();
        let (mut shown, mut since_idr) = (0, 0);
        while units.len() < count {
            if units.is_empty() || since_idr >= self.style.gop {
                self.poc_base = shown;
                units.push(self.picture(shown, true, true, false));
                (shown, since_idr) = (shown + 1, 1);
                continue;
            }
            let between = self.dice.below(self.style.between + 1);
            let reset = self.style.resets && self.chance(12);
            let anchor = shown + between;
            if reset {
                // Everything before is shown before, so nothing may stand between.
                units.push(self.picture(shown, false, true, true));
                (shown, since_idr) = (shown + 1, since_idr + 1);
                continue;
            }
            let reference = self.style.between > 0 || self.style.poc_type == 2 || self.chance(75);
            units.push(self.picture(anchor, false, reference, false));
            let mut rest: Vec<i64> = (shown..anchor).collect();
            while !rest.is_empty() {
                let next = rest.swap_remove(self.dice.below(rest.len() as i64) as usize);
                let reference = self.chance(50);
                units.push(self.picture(next, false, reference, false));
            }
            since_idr += 1 + between as usize;
            shown = anchor + 1;
        }
        units
    }

    fn picture(&mut self, shown: i64, idr: bool, reference: bool, reset: bool) -> Unit {
        let limit = 1 << self.style.frame_num_bits;
        let mut frame_num = if idr { 0 } else { (self.last_frame_num + 1) % limit };
        if idr {
            self.refs.clear();
            self.idr_id += 1;
            self.gap_lately = 0;
        } else if self.style.gaps && self.chance(15) {
            for _ in 0..1 + self.dice.below(2) {
                self.slide();
                self.refs.push(Ref { frame_num, long: None, exists: false });
                frame_num = (frame_num + 1) % limit;
            }
        }
        let poc = 2 * (shown - self.poc_base);
        let mut picture = Picture { idr, reference, frame_num, poc, marks: vec![], long_idr: false };
        if reference {
            picture.long_idr = idr && self.style.long_term && self.chance(30);
            picture.marks = if reset { vec![Mark::Reset] } else { self.marks(&picture) };
        }
        let as_fields = self.style.fields && self.chance(60);
        let mut nals = Vec::new();
        if as_fields {
            let count = 2 * self.refs.len();
            self.slices(&picture, Some(false), count, &mut nals);
            if reference {
                self.apply(&picture);
            }
            let count = if reference { 2 * self.refs.len() - 1 } else { count };
            let second = Picture { idr: false, marks: vec![], poc: poc + 1, ..picture };
            self.slices(&second, Some(true), count, &mut nals);
        } else {
            let count = self.refs.len();
            self.slices(&picture, None, count, &mut nals);
            if reference {
                self.apply(&picture);
            }
        }
        if reset {
            self.poc_base = shown;
        }
        if reference {
            self.last_frame_num = if reset { 0 } else { frame_num };
        } else if frame_num != (self.last_frame_num + 1) % limit {
            self.last_frame_num = (frame_num + limit - 1) % limit;
        }
        Unit { nals, shown, key: idr }
    }

    /// What to do to the references after this picture; nothing is the sliding window.
    fn marks(&mut self, picture: &Picture) -> Vec<Mark> {
        let mut marks = Vec::new();
        if picture.idr || !self.style.long_term || !self.chance(45) {
            return marks;
        }
        let pic_num = |frame_num: i64| picture.frame_num - frame_num;
        let wrapped: Vec<(usize, i64)> = self.shorts(picture.frame_num);
        let mut after = self.refs.clone();
        let index = self.dice.below(2) as u32;
        if self.long_limit <= index {
            marks.push(Mark::Longest(index + 1));
            self.long_limit = index + 1;
        }
        let holder = after.iter().position(|r| r.long == Some(index));
        match self.dice.below(4) {
            0 if !wrapped.is_empty() => {
                let (at, wrap) = wrapped[self.dice.below(wrapped.len() as i64) as usize];
                marks.push(Mark::Keep { short: pic_num(wrap), long: index });
                after[at].long = Some(index);
                if let Some(holder) = holder {
                    after.remove(holder);
                }
            }
            1 => {
                if let Some(holder) = holder {
                    after.remove(holder);
                }
                marks.push(Mark::KeepThis(index));
            }
            2 if holder.is_some() && after.len() > 1 => {
                marks.push(Mark::ForgetLong(index));
                after.remove(holder.expect("just seen"));
            }
            _ if wrapped.len() > 1 => {
                let (at, wrap) = wrapped[self.dice.below(wrapped.len() as i64) as usize];
                marks.push(Mark::ForgetShort(pic_num(wrap)));
                after.remove(at);
            }
            _ => {}
        }
        // With operations there is no window that slides.
        while after.len() >= self.style.refs {
            let short = (0..after.len()).filter(|i| after[*i].long.is_none()).min_by_key(|i| {
                let number = after[*i].frame_num;
                if number > picture.frame_num { number - (1 << self.style.frame_num_bits) } else { number }
            });
            let at = short.unwrap_or(0);
            marks.push(match after[at].long {
                Some(long) => Mark::ForgetLong(long),
                None => Mark::ForgetShort(pic_num(self.wrap(after[at].frame_num, picture.frame_num))),
            });
            after.remove(at);
        }
        if marks.iter().all(|mark| matches!(mark, Mark::Longest(_))) {
            // Operations that forget nothing leave room all the same.
            marks.push(Mark::KeepThis(index));
            after.retain(|r| r.long != Some(index));
        }
        marks
    }

    pub fn wrap(&self, frame_num: i64, now: i64) -> i64 {
        if frame_num > now { frame_num - (1 << self.style.frame_num_bits) } else { frame_num }
    }

    /// Short-term references that exist: place and FrameNumWrap.
    fn shorts(&self, now: i64) -> Vec<(usize, i64)> {
        let short = |(_, r): &(usize, &Ref)| r.long.is_none() && r.exists;
        self.refs.iter().enumerate().filter(short).map(|(i, r)| (i, self.wrap(r.frame_num, now))).collect()
    }

    fn slide(&mut self) {
        if self.refs.len() >= self.style.refs {
            // They are kept in decode order.
            let oldest = self.refs.iter().position(|r| r.long.is_none()).expect("a short-term reference");
            self.refs.remove(oldest);
        }
    }

    fn apply(&mut self, picture: &Picture) {
        let now = picture.frame_num;
        let mut this = Ref { frame_num: now, long: picture.long_idr.then_some(0), exists: true };
        if picture.idr {
            self.long_limit = u32::from(picture.long_idr);
        }
        if picture.marks.is_empty() {
            self.slide();
        }
        for mark in &picture.marks {
            let place = |refs: &[Ref], writer: &Writer, difference: i64| {
                let wanted = now - difference;
                refs.iter().position(|r| r.long.is_none() && writer.wrap(r.frame_num, now) == wanted)
            };
            match *mark {
                Mark::ForgetShort(difference) => {
                    let at = place(&self.refs, self, difference).expect("a reference");
                    self.refs.remove(at);
                }
                Mark::ForgetLong(long) => self.refs.retain(|r| r.long != Some(long)),
                Mark::Keep { short, long } => {
                    self.refs.retain(|r| r.long != Some(long));
                    let at = place(&self.refs, self, short).expect("a reference");
                    self.refs[at].long = Some(long);
                }
                Mark::KeepThis(long) => {
                    self.refs.retain(|r| r.long != Some(long));
                    this.long = Some(long);
                }
                Mark::Longest(_) => {}
                Mark::Reset => {
                    self.refs.clear();
                    self.long_limit = 0;
                    this.frame_num = 0;
                }
            }
        }
        self.refs.push(this);
    }
}
