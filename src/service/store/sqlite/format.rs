//! The row formats: how a spec and a list of ids look inside a column.
//!
//! Owns the JSON of `jobs.spec` and the conversions both ways. *Pure.* Never drops a field. A row written by any release must parse:
//! fields are only ever added, each with a default.

use serde::{Deserialize, Serialize};

use crate::model::device::Refusal;
use crate::model::job::{FailCode, Failure, Fallback, Stage};
use crate::model::media::Backend;
use crate::model::spec::{AskedSize, FrameType, Points, SnapshotSpec, SpriteSpec};

#[derive(Serialize, Deserialize)]
struct SpecRow {
    points: PointsRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    quality: u8,
    #[serde(default)]
    frame_type: FrameTypeRow,
    #[serde(default)]
    tolerance_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sprite: Option<SpriteRow>,
    #[serde(default = "kept")]
    keep_pictures: bool,
    #[serde(default)]
    frame_md5: bool,
}

fn kept() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum PointsRow {
    List { at_ms: Vec<i64> },
    Every { offset_ms: i64, count: u32, interval_ms: i64 },
    Even { offset_ms: i64, count: u32 },
    ToEnd { offset_ms: i64, interval_ms: i64, most: u32 },
    None,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FrameTypeRow {
    #[default]
    Normal,
    Intra,
}

#[derive(Serialize, Deserialize)]
struct SpriteRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cell_width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cell_height: Option<u32>,
    columns: u32,
    lines: u32,
    padding: u32,
    margin: u32,
    color: [u8; 3],
}

/// The text of `jobs.spec`.
///
/// # Errors
/// None in practice: every field is a number, a list or a word.
pub(super) fn spec_text(spec: &SnapshotSpec) -> Result<String, serde_json::Error> {
    let points = match &spec.points {
        Points::List(at_ms) => PointsRow::List { at_ms: at_ms.clone() },
        &Points::Every { offset_ms, count, interval_ms } => {
            PointsRow::Every { offset_ms, count, interval_ms }
        }
        &Points::Even { offset_ms, count } => PointsRow::Even { offset_ms, count },
        &Points::ToEnd { offset_ms, interval_ms, most } => PointsRow::ToEnd { offset_ms, interval_ms, most },
        Points::None => PointsRow::None,
    };
    serde_json::to_string(&SpecRow {
        points,
        width: spec.size.width,
        height: spec.size.height,
        quality: spec.quality,
        frame_type: match spec.frame_type {
            FrameType::Normal => FrameTypeRow::Normal,
            FrameType::Intra => FrameTypeRow::Intra,
        },
        tolerance_ms: spec.tolerance_ms,
        sprite: spec.sprite.as_ref().map(|sprite| SpriteRow {
            cell_width: sprite.cell.width,
            cell_height: sprite.cell.height,
            columns: sprite.columns,
            lines: sprite.lines,
            padding: sprite.padding,
            margin: sprite.margin,
            color: sprite.color,
        }),
        keep_pictures: spec.keep_pictures,
        frame_md5: spec.frame_md5,
    })
}

/// The spec behind a text of `jobs.spec`.
///
/// # Errors
/// When the text is not one that any release wrote.
pub(super) fn spec_of(text: &str) -> Result<SnapshotSpec, serde_json::Error> {
    let row: SpecRow = serde_json::from_str(text)?;
    Ok(SnapshotSpec {
        points: match row.points {
            PointsRow::List { at_ms } => Points::List(at_ms),
            PointsRow::Every { offset_ms, count, interval_ms } => {
                Points::Every { offset_ms, count, interval_ms }
            }
            PointsRow::Even { offset_ms, count } => Points::Even { offset_ms, count },
            PointsRow::ToEnd { offset_ms, interval_ms, most } => {
                Points::ToEnd { offset_ms, interval_ms, most }
            }
            PointsRow::None => Points::None,
        },
        size: AskedSize { width: row.width, height: row.height },
        quality: row.quality,
        frame_type: match row.frame_type {
            FrameTypeRow::Normal => FrameType::Normal,
            FrameTypeRow::Intra => FrameType::Intra,
        },
        tolerance_ms: row.tolerance_ms,
        sprite: row.sprite.map(|sprite| SpriteSpec {
            cell: AskedSize { width: sprite.cell_width, height: sprite.cell_height },
            columns: sprite.columns,
            lines: sprite.lines,
            padding: sprite.padding,
            margin: sprite.margin,
            color: sprite.color,
        }),
        keep_pictures: row.keep_pictures,
        frame_md5: row.frame_md5,
    })
}

/// A failure from its three columns. A word of a newer release reads as an internal failure with its text kept.
pub(super) fn failure_of(code: &str, stage: &str, text: String) -> Failure {
    let code = FailCode::parse(code).unwrap_or(FailCode::Internal);
    let stage = Stage::ALL.into_iter().find(|s| s.name() == stage).unwrap_or(Stage::Publish);
    Failure { code, stage, text }
}

/// The inverse of `Backend::name`.
pub(super) fn backend_of(word: &str) -> Option<Backend> {
    Backend::parse(word)
}

#[derive(Serialize, Deserialize)]
struct FallbackRow<'a> {
    from: &'a str,
    reason: &'a str,
    points: u32,
}

/// The text of `jobs.fallbacks`; none where no device gave up.
pub(super) fn fallbacks_text(fallbacks: &[Fallback]) -> Option<String> {
    let row = |fallback: &Fallback| FallbackRow {
        from: fallback.from.name(),
        reason: fallback.reason.name(),
        points: fallback.points,
    };
    // Words and numbers always are JSON.
    let text = || serde_json::to_string(&fallbacks.iter().map(row).collect::<Vec<_>>()).ok();
    if fallbacks.is_empty() { None } else { text() }
}

/// The fallbacks behind a text of `jobs.fallbacks`. What a newer release has other words for is passed over: it is
/// no reason to lose sight of the job.
pub(super) fn fallbacks_of(text: Option<&str>) -> Vec<Fallback> {
    let rows: Vec<FallbackRow<'_>> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let known = rows.into_iter().filter_map(|row| {
        let (from, reason) = (Backend::parse(row.from)?, Refusal::parse(row.reason)?);
        Some(Fallback { from, reason, points: row.points })
    });
    known.collect()
}

/// Sixteen bytes as lower-case hex.
pub(super) fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// The inverse of `hex`.
pub(super) fn unhex(text: &str) -> Option<[u8; 16]> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes))?
}

/// Texts as the JSON array that `json_each` takes.
pub(super) fn json_list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(texts).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size() -> impl Strategy<Value = AskedSize> {
        (any::<Option<u32>>(), any::<Option<u32>>()).prop_map(|(width, height)| AskedSize { width, height })
    }

    fn points() -> impl Strategy<Value = Points> {
        prop_oneof![
            prop::collection::vec(any::<i64>(), 0..31).prop_map(Points::List),
            any::<(i64, u32, i64)>().prop_map(|(offset_ms, count, interval_ms)| Points::Every {
                offset_ms,
                count,
                interval_ms
            }),
            any::<(i64, u32)>().prop_map(|(offset_ms, count)| Points::Even { offset_ms, count }),
            any::<(i64, i64, u32)>().prop_map(|(offset_ms, interval_ms, most)| Points::ToEnd {
                offset_ms,
                interval_ms,
                most
            }),
            Just(Points::None),
        ]
    }

    fn sprite() -> impl Strategy<Value = SpriteSpec> {
        (size(), any::<[u32; 4]>(), any::<[u8; 3]>()).prop_map(
            |(cell, [columns, lines, padding, margin], color)| SpriteSpec {
                cell,
                columns,
                lines,
                padding,
                margin,
                color,
            },
        )
    }

    proptest! {
        #[test]
        fn every_spec_survives_its_row(
            points in points(), size in size(), quality in any::<u8>(), intra in any::<bool>(),
            sprite in prop::option::of(sprite()), keep_pictures in any::<bool>(), frame_md5 in any::<bool>(),
            tolerance_ms in any::<u32>(),
        ) {
            let frame_type = if intra { FrameType::Intra } else { FrameType::Normal };
            let spec = SnapshotSpec { points, size, quality, frame_type, tolerance_ms, sprite, keep_pictures, frame_md5 };
            let text = spec_text(&spec).expect("a spec has a text");
            prop_assert_eq!(spec_of(&text).expect("the text parses"), spec);
        }

        #[test]
        fn a_digest_survives_its_row(bytes in any::<[u8; 16]>()) {
            prop_assert_eq!(unhex(&hex(bytes)), Some(bytes));
        }
    }

    #[test]
    fn the_first_release_s_rows_parse() {
        let spec = spec_of(r#"{"points":{"kind":"list","at_ms":[0,1500]},"quality":85}"#).expect("parses");
        assert_eq!(spec.points, Points::List(vec![0, 1500]));
        assert_eq!(spec.size, AskedSize::default());
        assert_eq!(spec.frame_type, FrameType::Normal);
        assert!(spec.sprite.is_none() && spec.keep_pictures && !spec.frame_md5);
        let full = r#"{"points":{"kind":"to_end","offset_ms":1,"interval_ms":2,"most":3},"width":640,"quality":1,
            "frame_type":"intra","sprite":{"columns":3,"lines":4,"padding":5,"margin":6,"color":[1,2,3]},
            "keep_pictures":false,"frame_md5":true,"a_field_of_a_later_release":{}}"#;
        let spec = spec_of(full).expect("parses");
        assert_eq!(spec.points, Points::ToEnd { offset_ms: 1, interval_ms: 2, most: 3 });
        assert_eq!(spec.sprite.map(|s| (s.columns, s.color)), Some((3, [1, 2, 3])));
    }

    #[test]
    fn every_failure_survives_its_columns() {
        for code in FailCode::ALL {
            for stage in Stage::ALL {
                let failure = failure_of(code.name(), stage.name(), "why".to_owned());
                assert_eq!(failure, Failure::new(code, stage, "why"));
            }
        }
        assert_eq!(failure_of("melted", "orbit", "kept".to_owned()).code, FailCode::Internal);
    }

    #[test]
    fn fallbacks_come_back_and_unknown_words_are_passed_over() {
        let all: Vec<Fallback> = [Backend::Cuda, Backend::Vaapi]
            .into_iter()
            .flat_map(|from| Refusal::ALL.map(|reason| Fallback { from, reason, points: u32::MAX }))
            .collect();
        assert_eq!(fallbacks_of(fallbacks_text(&all).as_deref()), all);
        assert_eq!(fallbacks_text(&[]), None);
        let mixed = r#"[{"from":"tpu","reason":"copy","points":1},{"from":"cuda","reason":"hang","points":2,"new":0}]"#;
        let known = Fallback { from: Backend::Cuda, reason: Refusal::Hang, points: 2 };
        assert_eq!(fallbacks_of(Some(mixed)), [known]);
        assert_eq!(fallbacks_of(None), []);
    }
}
