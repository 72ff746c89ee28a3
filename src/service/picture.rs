//! One point of an ended job as JSON, wherever it is told: GetJobDetail, the event, `jobs show`. *Pure.*
//!
//! Owns its keys: those of a picture of `grab --json`, with the object key as its file. Never shows the picture itself.

use serde_json::{Map, Value, json};

use crate::model::ids::{JobId, VideoId};
use crate::model::naming::{Class, object_key};
use crate::service::store::rows::PointRow;

/// The object of one point: a status and the true time, and where the picture lies if it has an image of its own.
pub fn told(video: &VideoId, job: &JobId, point: &PointRow) -> Value {
    let mut told = Map::new();
    let mut tell = |key: &str, value: Value| {
        told.insert(key.to_owned(), value);
    };
    tell("asked_ms", point.asked_ms.into());
    tell("status", point.status.name().into());
    if let Some(ordinal) = point.ordinal {
        tell("ordinal", ordinal.into());
        tell("file", object_key(video, Class::Normal, job, ordinal).into());
    }
    if let Some(shown) = &point.shown {
        tell("shown_ms", shown.shown_ms.into());
        tell("pts", json!(shown.pts));
        tell("width", shown.width.into());
        tell("height", shown.height.into());
        tell("key_frame", shown.key_frame.into());
        tell("backend", shown.backend.name().into());
        if let Some(md5) = &shown.frame_md5 {
            tell("frame_md5", md5.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
        }
    }
    if let Some(bytes) = point.bytes {
        tell("bytes", bytes.into());
    }
    if let Some(reason) = &point.reason {
        tell("reason", reason.as_str().into());
    }
    Value::Object(told)
}
