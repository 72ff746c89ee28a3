//! The body of a SnapshotComplete event. *Pure.*
//!
//! Owns its JSON (API contract, 4.1) in both forms that receivers know: `SnapshotInfos`, and the older copies at
//! the top level. Never sends it, and never renders it twice.

use serde::Serialize;
use serde_json::Value;

use crate::model::event::{Outcome, SnapshotComplete};
use crate::model::ids::{JobId, VideoId};
use crate::model::job::{FailCode, Failure};
use crate::model::naming::{Class, object_format};
use crate::service::picture;
use crate::service::result::{self, Tally};
use crate::service::store::rows::PointRow;

/// The event's name in `EventTypeList` and in its body.
pub const EVENT_TYPE: &str = "SnapshotComplete";

/// Most bytes of a failure's own text in `ErrorMessage`.
const REASON_BYTES_MAX: usize = 512;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    event_type: &'a str,
    event_time: String,
    sub_type: &'a str,
    status: &'a str,
    video_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extend: Option<&'a str>,
    job_id: &'a str,
    /// The older form: the first series, not as an entry.
    #[serde(flatten)]
    first: Option<Series>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_infos: Option<Vec<Info<'a>>>,
    /// What the API has no words for; receivers pass over keys that they do not know.
    stillframe: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info<'a> {
    status: &'a str,
    snapshot_type: &'a str,
    job_id: &'a str,
    #[serde(flatten)]
    series: Series,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    snapshot_count: u32,
    snapshot_format: String,
    snapshot_regular: String,
}

/// Renders the event; `points` are the rows of all its points, `base_url` is the public base URL without a trailing slash.
///
/// # Errors
/// None that plain data can cause; serde's signature has one.
pub fn render(
    event: &SnapshotComplete,
    points: &[PointRow],
    base_url: &str,
) -> Result<String, serde_json::Error> {
    let (infos, failure) = match &event.outcome {
        Outcome::Success { pictures, sheets } => (Some(infos(event, base_url, *pictures, *sheets)), None),
        Outcome::Fail(Failure { code, stage: _, text }) => {
            (None, Some((error_code(*code), error_message(*code, text))))
        }
    };
    let (sheets, failed) = match &event.outcome {
        Outcome::Success { sheets, .. } => (*sheets, None),
        Outcome::Fail(failure) => (0, Some(result::failure(failure))),
    };
    let tally = Tally { points: event.points, sheets_asked: event.sheets_asked, sheets };
    let pictures = points.iter().map(|point| picture::told(&event.video, &event.job, point)).collect();
    let (error_code, error_message) = failure.unzip();
    serde_json::to_string(&Body {
        event_type: EVENT_TYPE,
        event_time: utc(event.ended_ms),
        sub_type: "SpecifiedTime",
        status: if infos.is_some() { "success" } else { "fail" },
        video_id: &event.video.0,
        error_code,
        error_message,
        extend: event.extend.as_deref(),
        job_id: &event.job.0,
        first: infos.as_ref().and_then(|infos| infos.first()).map(|info| info.series.clone()),
        snapshot_infos: infos,
        stillframe: tally.told(failed, pictures, &event.fallbacks),
    })
}

fn infos<'a>(event: &'a SnapshotComplete, base_url: &str, pictures: u32, sheets: u32) -> Vec<Info<'a>> {
    let all = [(Class::Normal, "NormalSnapshot", pictures), (Class::Sprite, "SpriteSnapshot", sheets)];
    let on_offer = all.into_iter().filter(|(_, _, count)| *count > 0);
    on_offer
        .map(|(class, snapshot_type, count)| Info {
            status: "success",
            snapshot_type,
            job_id: &event.job.0,
            series: series(&event.video, class, &event.job, count, base_url),
        })
        .collect()
}

fn series(video: &VideoId, class: Class, job: &JobId, count: u32, base_url: &str) -> Series {
    let format = object_format(video, class, job);
    // Always http, as the API has it, whatever the base says.
    let host =
        base_url.strip_prefix("https://").or_else(|| base_url.strip_prefix("http://")).unwrap_or(base_url);
    let regular = format!("http://{}/{format}", host.trim_end_matches('/'));
    Series { snapshot_count: count, snapshot_format: format, snapshot_regular: regular }
}

/// The API's code for a failed job: the file is missing, the file is bad, or it was us.
pub fn error_code(code: FailCode) -> &'static str {
    match code {
        FailCode::NotFound | FailCode::NotAFile => "InvalidParameter.ResourceNotFound",
        FailCode::Empty
        | FailCode::NotMedia
        | FailCode::Incomplete
        | FailCode::NoVideo
        | FailCode::Unsupported
        | FailCode::TooLarge
        | FailCode::Corrupt
        | FailCode::PastEnd
        | FailCode::Replaced => "InvalidParameter.ResourceContentBad",
        FailCode::Io | FailCode::Crashed | FailCode::Timeout | FailCode::Internal => "InternalError",
    }
}

// The API's own sentence, then what we know. Our own faults keep their text to the log.
fn error_message(code: FailCode, text: &str) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match error_code(code) {
        "InternalError" => {
            format!("The request processing has failed due to some unknown error ({})", code.name())
        }
        "InvalidParameter.ResourceNotFound" => {
            format!("The resource operated InputFile cannot be found: {}", &text[..end])
        }
        _ => format!("The resource operated InputFile is bad: {}", &text[..end]),
    }
}

fn utc(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests;
