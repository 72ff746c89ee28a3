//! `stillframe probe`: what is known about a file.
//!
//! Owns the report. Never decodes a picture: a probe is a batch without points.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;

use super::{Global, exit, points, report};
use crate::engine::media::source::warm_up;
use crate::model::delivery::{Deliver, Gone, Message};
use crate::model::job::{Ended, Grant, VideoBatch};
use crate::model::limits::FRAME_PIXELS_MAX;
use crate::model::media::MediaFacts;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The video
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Keeps the facts.
#[derive(Default)]
struct Facts(Mutex<Option<MediaFacts>>);

impl Deliver for Facts {
    fn deliver(&self, message: Message) -> Result<(), Gone> {
        if let (Message::Planned(planned), Ok(mut facts)) = (message, self.0.lock()) {
            *facts = Some(planned.media);
        }
        Ok(())
    }
}

/// Runs the command; returns its exit code.
pub fn run(_global: &Global, args: Args) -> u8 {
    warm_up();
    let facts = Facts::default();
    let ended = points::open(&args.file).map(|source| {
        let batch =
            VideoBatch { jobs: vec![], stream: None, frame_pixels_max: FRAME_PIXELS_MAX, offer: Vec::new() };
        crate::engine::run::run(&batch, source, Grant { threads: 1, bytes: 0 }, &facts).0
    });
    let failure = match ended {
        Ok(Ended::Failed(failure)) | Err(failure) => Some(failure),
        Ok(_) => None,
    };
    if let Some(failure) = failure {
        return points::fault(&args.file, &failure);
    }
    let Ok(Some(facts)) = facts.0.into_inner() else { return exit::FAULT };
    let media = report::media(&facts);
    if args.json {
        say!("{}", json!({"file": args.file.display().to_string(), "media": media}));
    } else {
        say!("{}", args.file.display());
        for (key, value) in media.as_object().into_iter().flatten() {
            say!("  {key:<15} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    exit::DONE
}
