//! The pictures of one `grab`: what came, and the files.
//!
//! Owns the file names and what is still missing. Never decodes and never prints data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::model::delivery::{Deliver, Gone, Message, Planned};
use crate::model::job::{BatchJob, FailCode, Failure, Stage};
use crate::model::snapshot::{EncodedImage, ImageKind, Shown};
use crate::model::spec::SnapshotSpec;
use crate::service::batch::rest::JobProgress;

/// Takes what the engine delivers and writes the files.
pub struct Album<'a> {
    out: &'a Path,
    pages: Mutex<Pages>,
    bar: ProgressBar,
}

/// What came of a job.
#[derive(Default)]
pub struct Pages {
    pub planned: Option<Planned>,
    pub shown: BTreeMap<u32, Shown>,
    pub failed: BTreeMap<u32, Failure>,
    pub files: BTreeMap<ImageKind, Written>,
    /// Why the walk ended before everything was decided.
    pub ended: Option<Failure>,
}

/// File name; width, height, bytes.
pub type Written = (String, (u32, u32, usize));

impl<'a> Album<'a> {
    /// For pictures that go into `out`, perhaps with a bar on the terminal.
    pub fn new(out: &'a Path, with_bar: bool) -> Album<'a> {
        let bar = if with_bar { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {elapsed}") {
            bar.set_style(style);
        }
        Album { out, pages: Mutex::default(), bar }
    }

    /// Everything that came.
    pub fn close(self) -> Pages {
        self.bar.finish_and_clear();
        self.pages.into_inner().unwrap_or_default()
    }

    fn keep(&self, image: &EncodedImage) -> Result<(), Gone> {
        let name = match image.kind {
            ImageKind::Picture { asked } => format!("{:05}.jpg", asked + 1),
            ImageKind::Sheet { number } => format!("sprite-{:05}.jpg", number + 1),
        };
        if let Err(e) = write(&self.out.join(&name), &image.bytes) {
            let text = format!("cannot write {}: {e}", self.out.join(&name).display());
            say::complain(&text);
            self.with(|pages| {
                pages.ended.get_or_insert(Failure::new(FailCode::Io, Stage::Publish, text)).code
            });
            return Err(Gone);
        }
        let size = (image.width, image.height, image.bytes.len());
        self.with(|pages| pages.files.insert(image.kind, (name, size)));
        Ok(())
    }

    // A frame may be shown twice: the cells of a sheet that was lost come again.
    fn advance(&self) {
        self.with(|pages| self.bar.set_position((pages.shown.len() + pages.failed.len()) as u64));
    }

    /// What is still to come of this job: again a job, and how many points it is for.
    pub fn remainder(&self, spec: &SnapshotSpec) -> (BatchJob, usize) {
        let mut progress = JobProgress::new(spec.clone());
        self.with(|pages| {
            progress.planned = pages.planned.as_ref().and_then(|planned| planned.jobs.first().cloned());
            progress.shown = pages.shown.clone();
            progress.failed = pages.failed.clone();
            for (kind, (_, (width, height, bytes))) in &pages.files {
                match kind {
                    ImageKind::Picture { asked } => drop(progress.pictures.insert(*asked, *bytes as u64)),
                    ImageKind::Sheet { number } => {
                        progress.sheets.insert(*number, (*width, *height, *bytes as u64));
                    }
                }
            }
        });
        (progress.remainder(), progress.missing_points().len())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Pages) -> T) {
        if let Ok(mut pages) = self.pages.lock() {
            change(&mut pages);
        }
    }
}

/// Writes a file. Its folder is made with the first one: a video that gives no picture leaves nothing behind.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match std::fs::write(path, bytes) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, bytes)
        }
        written => written,
    }
}

impl Deliver for Album<'_> {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        match message {
            Message::Planned(planned) => {
                let points =
                    planned.jobs.first().map_or(0, |j| j.points.iter().filter(|p| !p.past_end).count());
                self.bar.set_length(points as u64);
                self.with(|pages| pages.planned = Some(planned));
            }
            Message::Shown { point, shown } => {
                self.with(|pages| {
                    // As in the daemon: the picture that is there keeps what was told with it.
                    if !pages.files.contains_key(&ImageKind::Picture { asked: point.asked }) {
                        pages.shown.insert(point.asked, shown);
                    }
                });
                self.advance();
            }
            Message::PointFailed { point, failure } => {
                self.with(|pages| pages.failed.insert(point.asked, failure));
                self.advance();
            }
            Message::Image(image) => return self.keep(&image),
            Message::Note { warning: true, text } => {
                self.bar.suspend(|| say::complain(text));
            }
            Message::Note { .. } | Message::RunBegins { .. } | Message::RunEnds { .. } => {}
        }
        Ok(())
    }
}
