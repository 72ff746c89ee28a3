//! Parameters of SubmitSnapshotJob read into a snapshot spec. *Pure.*
//!
//! Owns the reading of 2.1 to 2.4 of the API contract and of its ambiguities 1 to 19. Never knows a duration:
//! what lies past the end is dropped by the engine.

use crate::model::limits::{SIDE_MAX, SIDE_MIN, SPECIFIED_TIMES_MAX};
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec};
use crate::service::settings::CaptureSettings;

use super::error::ApiError;
use super::params::Params;
use super::{json, sprite, user_data};

// A thousand years in ms and in s; sums with a thousand intervals stay far inside an i64.
const OFFSET_MS_MAX: i64 = 31_557_600_000_000;
const INTERVAL_S_MAX: i64 = 31_557_600_000;

/// Reads what to capture.
///
/// # Errors
/// `InvalidParameter` that names the first wrong parameter.
pub fn parse(params: &Params, capture: &CaptureSettings) -> Result<SnapshotSpec, ApiError> {
    let size = AskedSize { width: side(params, "Width")?, height: side(params, "Height")? };
    let points = points(params, capture)?;
    let (sprite, keep_pictures) = match params.get("SpriteSnapshotConfig") {
        None => (None, true),
        Some(text) => {
            let (sprite, keep) = sprite::parse(text, size, capture.sheet_pixels_max)
                .map_err(|e| ApiError::invalid_parameter("SpriteSnapshotConfig", e))?;
            (Some(sprite), keep)
        }
    };
    if let Some(text) = params.get("UserData") {
        user_data::check(text).map_err(|e| ApiError::invalid_parameter("UserData", e))?;
    }
    Ok(SnapshotSpec {
        points,
        size,
        quality: capture.jpeg_quality,
        frame_type: FrameType::Normal,
        tolerance_ms: 0,
        sprite,
        keep_pictures,
        frame_md5: false,
    })
}

fn points(params: &Params, capture: &CaptureSettings) -> Result<Points, ApiError> {
    // The list wins; Count, Interval and SpecifiedOffsetTime beside it are not even read (ambiguity 8).
    if let Some(times) = specified_times(params)? {
        return Ok(Points::List(times));
    }
    let offset_ms = number(params, "SpecifiedOffsetTime", 0, OFFSET_MS_MAX)?.unwrap_or(0);
    let count = number(params, "Count", 1, i64::from(capture.count_max))?;
    let interval_s = number(params, "Interval", 0, INTERVAL_S_MAX)?;
    let interval_ms = interval_s.unwrap_or(1) * 1000;
    // Within count_max, so within u32.
    let asked = u32::try_from(count.unwrap_or(1)).unwrap_or(capture.count_max);
    if count.is_none() && interval_s.is_some_and(|i| i > 0) && capture.interval_without_count_to_end {
        return Ok(Points::ToEnd { offset_ms, interval_ms, most: capture.count_max });
    }
    if interval_ms == 0 && asked > 1 {
        return Ok(Points::Even { offset_ms, count: asked });
    }
    Ok(Points::Every { offset_ms, count: asked, interval_ms })
}

/// `SpecifiedOffsetTimes` in its three encodings (API contract, 2.2); an empty list is an absent one.
fn specified_times(params: &Params) -> Result<Option<Vec<i64>>, ApiError> {
    const NAME: &str = "SpecifiedOffsetTimes";
    let wrong = |why: &str| ApiError::invalid_parameter(NAME, why);
    let numbered = numbered_items(params, NAME)?;
    let times = match (params.get(NAME), numbered.is_empty()) {
        (None, true) => return Ok(None),
        (Some(_), false) => return Err(wrong("given in two encodings")),
        (None, false) => {
            let whole = numbered.iter().map(|text| json::whole_text(text)).collect::<Option<Vec<i64>>>();
            whole.ok_or_else(|| wrong("an item is no whole number"))?
        }
        (Some(text), true) => {
            let value = json::parse(text).map_err(|e| wrong(&e))?;
            let items = value.as_array().ok_or_else(|| wrong("not an array"))?;
            let whole = items.iter().map(json::whole).collect::<Option<Vec<i64>>>();
            whole.ok_or_else(|| wrong("an item is no whole number"))?
        }
    };
    if times.len() > SPECIFIED_TIMES_MAX {
        return Err(wrong("too many items"));
    }
    if times.iter().any(|t| !(0..=OFFSET_MS_MAX).contains(t)) {
        return Err(wrong("an item is out of range"));
    }
    Ok((!times.is_empty()).then_some(times))
}

// `Name.1`, `Name.2`...: numbered from 1 without gaps, in the order of their numbers.
fn numbered_items<'a>(params: &'a Params, name: &str) -> Result<Vec<&'a str>, ApiError> {
    let mut items = Vec::new();
    for (key, value) in &params.values {
        let Some(number) = key.strip_prefix(name).and_then(|k| k.strip_prefix('.')) else { continue };
        let number = number.parse::<usize>().ok().filter(|n| *n > 0 && n.to_string() == number);
        let number = number.ok_or_else(|| ApiError::invalid_parameter(name, "an item has no number"))?;
        items.push((number, value.as_str()));
    }
    items.sort_unstable_by_key(|(number, _)| *number);
    if items.iter().zip(1..).any(|((number, _), expected)| *number != expected) {
        return Err(ApiError::invalid_parameter(name, "items are not numbered from 1 without gaps"));
    }
    Ok(items.into_iter().map(|(_, value)| value).collect())
}

fn side(params: &Params, name: &str) -> Result<Option<u32>, ApiError> {
    let side = number(params, name, i64::from(SIDE_MIN), i64::from(SIDE_MAX))?;
    Ok(side.and_then(|n| u32::try_from(n).ok()))
}

/// A whole number within bounds; none when the parameter is not there.
///
/// # Errors
/// `InvalidParameter` that names it.
pub fn number(params: &Params, name: &str, least: i64, most: i64) -> Result<Option<i64>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let number = json::whole_text(text).filter(|n| (least..=most).contains(n));
    number.map(Some).ok_or_else(|| {
        ApiError::invalid_parameter(name, format!("not a whole number from {least} to {most}"))
    })
}

#[cfg(test)]
mod tests;
