//! Every frame as a target: asked alone and in shuffled sets, through the engine in this process.
//!
//! Owns the choice of instants and the comparison. Never lets chance in: the same file gets the same questions.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stillframe::engine::run::run;
use stillframe::model::delivery::{Deliver, Gone, Message};
use stillframe::model::job::{BatchJob, Ended, Grant, Source, VideoBatch};
use stillframe::model::limits::FRAME_PIXELS_MAX;
use stillframe::model::snapshot::{PointStatus, Shown};
use stillframe::model::spec::{AskedSize, Points, SnapshotSpec};

use crate::common::judge::{Dice, Truth, name};

/// How many frames of a file are asked for.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Frames asked alone, one walk each.
    pub alone: usize,
    /// Frames asked in sets of 5 to 30, one walk a set.
    pub in_sets: usize,
    /// Walks at a time.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    pub frames: usize,
    /// Frames that no whole millisecond before the end shows.
    pub unreachable: usize,
    pub alone: usize,
    pub in_sets: usize,
    /// Pictures of another frame, or called damaged.
    pub wrong: Vec<String>,
    /// Points without a picture.
    pub missing: Vec<String>,
}

/// Above the rows of a table.
pub const HEADINGS: &str =
    "file                                         frames never  alone in sets  wrong  missing seconds";

impl Verdict {
    /// A row of the table.
    pub fn row(&self, name: &str, seconds: f64) -> String {
        let Verdict { frames, unreachable, alone, in_sets, .. } = self;
        let (wrong, missing) = (self.wrong.len(), self.missing.len());
        format!(
            "{name:<44}{frames:>7}{unreachable:>6}{alone:>7}{in_sets:>8}{wrong:>7}{missing:>9}{seconds:>8.1}"
        )
    }

    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.missing.is_empty() && self.alone > 0 && self.in_sets > 0
    }

    /// The first few faults, one a line.
    pub fn faults(&self) -> String {
        let all: Vec<&str> = self.wrong.iter().chain(&self.missing).map(String::as_str).collect();
        let more = if all.len() > 12 { format!("\n  and {} more", all.len() - 12) } else { String::new() };
        format!("  {}{more}", all[..all.len().min(12)].join("\n  "))
    }
}

/// Keeps what is told of each point.
struct Album(Mutex<Vec<Option<Result<Shown, String>>>>);

impl Deliver for Album {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        let (point, told) = match message {
            Message::Shown { point, shown } => (point, Ok(shown)),
            Message::PointFailed { point, failure } => (point, Err(failure.to_string())),
            _ => return Ok(()),
        };
        self.0.lock().expect("whole")[point.asked as usize] = Some(told);
        Ok(())
    }
}

/// One walk.
fn ask(file: &Path, times: &[i64], threads: u32) -> Vec<Result<Shown, String>> {
    let spec = SnapshotSpec {
        size: AskedSize { width: Some(16), height: None },
        frame_md5: true,
        ..SnapshotSpec::of(Points::List(times.to_vec()))
    };
    let job = BatchJob { spec, pictures_done: vec![], sheets_done: vec![], points_failed: vec![] };
    let batch =
        VideoBatch { jobs: vec![job], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: Vec::new() };
    let source = Source::Fd(OwnedFd::from(File::open(file).expect("a file")));
    let album = Album(Mutex::new(vec![None; times.len()]));
    let (ended, _) = run(&batch, source, Grant { threads, bytes: 64 << 20 }, &album);
    let why = if ended == Ended::Done { "nothing was said".to_owned() } else { format!("{ended:?}") };
    let told = album.0.into_inner().expect("whole");
    told.into_iter().map(|one| one.unwrap_or_else(|| Err(why.clone()))).collect()
}

/// A frame of the full decode and an instant that shows it.
#[derive(Clone, Copy)]
struct Question {
    index: usize,
    ms: i64,
}

/// An instant that shows the frame: its first millisecond, its last, or one between.
fn question(truth: &Truth, index: usize, end_ms: i64, dice: &mut Dice) -> Option<Question> {
    let (first, last) = truth.shown(index, end_ms)?;
    let between = first + dice.below(last - first + 1);
    let mut choice = [between, first, last];
    choice.rotate_left(dice.below(3) as usize);
    choice.into_iter().find(|ms| truth.index_at(*ms) == Some(index)).map(|ms| Question { index, ms })
}

fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for i in (1..items.len()).rev() {
        items.swap(i, dice.below(i as i64 + 1) as usize);
    }
}

/// Asks for the file's frames; `end_ms` is its duration as the product sees it.
pub fn judge(file: &Path, truth: &Truth, end_ms: i64, effort: Effort) -> Verdict {
    let mut dice = Dice::new(name(file));
    let mut questions: Vec<Question> =
        (0..truth.frames.len()).filter_map(|index| question(truth, index, end_ms, &mut dice)).collect();
    let unreachable = truth.frames.len() - questions.len();
    shuffle(&mut questions, &mut dice);
    let mut asks: Vec<Vec<Question>> =
        questions.iter().take(effort.alone).map(|question| vec![*question]).collect();
    let alone = asks.len();
    shuffle(&mut questions, &mut dice);
    let mut rest = &questions[..effort.in_sets.min(questions.len())];
    let in_sets = rest.len();
    while !rest.is_empty() {
        // What is left when fewer than five would be goes along.
        let size = (5 + dice.below(26) as usize).min(rest.len());
        let (set, later) = rest.split_at(if rest.len() - size < 5 { rest.len() } else { size });
        asks.push(set.to_vec());
        rest = later;
    }
    let told = share_out(effort.threads, &asks, |number, ask_for| {
        let times: Vec<i64> = ask_for.iter().map(|question| question.ms).collect();
        ask(file, &times, 1 + (number % 2) as u32)
    });
    let mut verdict =
        Verdict { frames: truth.frames.len(), unreachable, alone, in_sets, ..Verdict::default() };
    for (ask_for, told) in asks.iter().zip(told) {
        let how =
            if ask_for.len() == 1 { "alone".to_owned() } else { format!("in a set of {}", ask_for.len()) };
        for (question, told) in ask_for.iter().zip(told) {
            compare(truth, *question, &how, told, &mut verdict);
        }
    }
    verdict
}

fn compare(truth: &Truth, question: Question, how: &str, told: Result<Shown, String>, verdict: &mut Verdict) {
    let Question { index, ms } = question;
    let want = &truth.frames[index];
    let which = format!("{ms} ms {how}, frame {index} with pts {}", want.pts);
    match told {
        Err(why) => verdict.missing.push(format!("{which}: {why}")),
        Ok(shown) => {
            let md5 = shown.frame_md5.unwrap_or_default().map(|byte| format!("{byte:02x}")).concat();
            if md5 != want.md5 {
                let got = truth.frames.iter().position(|frame| frame.md5 == md5);
                verdict.wrong.push(format!("{which}: got frame {got:?}, told {shown:?}"));
            } else if shown.status == PointStatus::Concealed {
                verdict.wrong.push(format!("{which}: right, but called damaged"));
            } else if truth.counting.is_none() && shown.pts != want.pts {
                verdict.wrong.push(format!("{which}: right, but called pts {}", shown.pts));
            }
        }
    }
}

/// Does `work(index, item)` for every item on `threads` threads; the answers come in the items' order.
pub fn share_out<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    let answer = work(number, item);
                    done.lock().expect("whole").push((number, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("whole");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, answer)| answer).collect()
}
