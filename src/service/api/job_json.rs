//! A job as GetJobDetail shows it. *Pure.*
//!
//! Owns the API's words for states, the short keys of its configs, and the `Stillframe` object that never lies:
//! per picture a status and the true time. Never shows a path or a failure's text: both are for the log.

use serde_json::{Map, Value, json};

use crate::model::spec::{FrameType, Points, SnapshotSpec, SpriteSpec};
use crate::service::picture;
use crate::service::result::{self, Tally};
use crate::service::store::rows::{Job, JobState, PointRow};

use super::time;

/// The fields of the answer; `points` are those of an ended job.
pub fn detail(job: &Job, points: &[PointRow]) -> Map<String, Value> {
    let (status, ended) = match job.state {
        JobState::Queued | JobState::Running => ("Processing", false),
        JobState::Succeeded => ("Success", true),
        JobState::Failed | JobState::Cancelled => ("Fail", true),
    };
    let mut shown = object(json!({
        "JobId": job.id.0,
        "UserId": job.account.0,
        "VideoId": job.video.0,
        "Status": status,
        "Trigger": "Manual",
        "CreateTime": time::print(job.created_ms),
        "NormalConfig": normal_config(&job.spec),
    }));
    if let Some(sprite) = &job.spec.sprite {
        shown.insert("SpriteConfig".into(), sprite_config(sprite, job.spec.keep_pictures).into());
    }
    if ended {
        if let Some(ended_ms) = job.ended_ms {
            shown.insert("CompleteTime".into(), time::print(ended_ms).into());
        }
        shown.insert("Stillframe".into(), truth(job, points));
    }
    object(json!({ "JobType": "snapshot", "SnapshotJobDetail": shown }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

// JSON text with short keys; every value is a string, as the service writes it.
fn normal_config(spec: &SnapshotSpec) -> String {
    let mut config = Map::new();
    let mut put = |name: &str, value: String| {
        config.insert(name.to_owned(), value.into());
    };
    match &spec.points {
        Points::List(times) => {
            put("num", times.len().to_string());
            // There is no short key for a list; this one is ours.
            put("tms", json!(times).to_string());
        }
        Points::Every { offset_ms, count, interval_ms } => {
            put("tm", offset_ms.to_string());
            put("num", count.to_string());
            put("inl", (interval_ms / 1000).to_string());
        }
        Points::Even { offset_ms, count } => {
            put("tm", offset_ms.to_string());
            put("num", count.to_string());
            put("inl", "0".into());
        }
        Points::ToEnd { offset_ms, interval_ms, most: _ } => {
            put("tm", offset_ms.to_string());
            put("inl", (interval_ms / 1000).to_string());
        }
        Points::None => put("num", "0".into()),
    }
    for (name, side) in [("wd", spec.size.width), ("hg", spec.size.height)] {
        if let Some(side) = side {
            put(name, side.to_string());
        }
    }
    let frame_type = match spec.frame_type {
        FrameType::Normal => "normal",
        FrameType::Intra => "intra",
    };
    put("ft", frame_type.into());
    Value::Object(config).to_string()
}

fn sprite_config(sprite: &SpriteSpec, keep: bool) -> String {
    let mut config = object(json!({
        "cols": sprite.columns.to_string(),
        "lines": sprite.lines.to_string(),
        "pad": sprite.padding.to_string(),
        "mgin": sprite.margin.to_string(),
        "ikcp": keep.to_string(),
    }));
    for (name, side) in [("wd", sprite.cell.width), ("hg", sprite.cell.height)] {
        if let Some(side) = side {
            config.insert(name.into(), side.to_string().into());
        }
    }
    Value::Object(config).to_string()
}

fn truth(job: &Job, points: &[PointRow]) -> Value {
    let tally = Tally::of(&job.spec, points.iter().map(|point| point.status), job.sheets);
    let cancelled = || (job.state == JobState::Cancelled).then(|| json!({ "code": "cancelled" }));
    let failure = job.failure.as_ref().map(result::failure).or_else(cancelled);
    let pictures = points.iter().map(|point| picture::told(&job.video, &job.id, point)).collect();
    tally.told(failure, pictures, &job.fallbacks)
}

#[cfg(test)]
mod tests;
