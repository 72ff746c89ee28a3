//! ListSnapshots: the images of a video's latest successful job (API contract, 3.1).
//!
//! Owns paging and the choice of the job. Never looks into the object store: the rows say what is there.

use serde_json::{Value, json};

use crate::model::ids::VideoId;
use crate::model::naming::{Class, object_format, object_key};
use crate::service::store::rows::{SnapshotKind, VideoRef};

use super::error::ApiError;
use super::rpc::{Answer, Call, fields};
use super::{spec, time, videos};

/// Longest life of a URL, seconds; shorter wishes are raised to an hour, and URLs are not signed yet.
const AUTH_TIMEOUT_S_MAX: i64 = 2_592_000;
const PAGE_SIZE_MAX: i64 = 100;

/// Lists one page.
pub async fn list_snapshots(call: &Call<'_>) -> Answer {
    let video = VideoRef::Id(VideoId::from(call.mandatory("VideoId")?));
    let asked = call.params.get("SnapshotType").unwrap_or("CoverSnapshot");
    let kind = match asked {
        "NormalSnapshot" => Some((SnapshotKind::Normal, Class::Normal)),
        "SpriteSnapshot" => Some((SnapshotKind::Sprite, Class::Sprite)),
        "CoverSnapshot" | "SpriteOriginSnapshot" | "WebVttSnapshot" => None,
        _ => return Err(ApiError::invalid_parameter("SnapshotType", "no such type")),
    };
    let page_no = spec::number(call.params, "PageNo", 1, i64::from(u32::MAX))?.unwrap_or(1);
    let page_size = spec::number(call.params, "PageSize", 1, PAGE_SIZE_MAX)?.unwrap_or(20);
    spec::number(call.params, "AuthTimeout", 0, AUTH_TIMEOUT_S_MAX)?;

    let video = videos::find(call, &video).await?;
    videos::check_status(&video)?;
    let Some((kind, class)) = kind else { return Err(ApiError::no_such_resource(asked)) };
    let job = call.context.store.latest_job(&video.id, kind).await?;
    let job = job.ok_or_else(|| ApiError::no_such_resource(asked))?;
    let total = match kind {
        SnapshotKind::Normal => job.pictures,
        SnapshotKind::Sprite => job.sheets,
    };
    let base = &call.context.base_url;
    let listed: Vec<Value> = page(total, page_no, page_size)
        .map(|ordinal| {
            let url = format!("{base}/{}", object_key(&video.id, class, &job.id, ordinal));
            json!({ "Index": ordinal, "Url": url })
        })
        .collect();
    Ok(fields(json!({
        "MediaSnapshot": {
            "JobId": job.id.0,
            "CreationTime": time::print(job.created_ms),
            "Total": total,
            "Regular": format!("{base}/{}", object_format(&video.id, class, &job.id)),
            "Snapshots": { "Snapshot": listed },
        }
    })))
}

// Ordinals of a page, from 1; empty past the last page.
fn page(total: u32, page_no: i64, page_size: i64) -> std::ops::Range<u32> {
    let first = (page_no - 1).saturating_mul(page_size).saturating_add(1);
    let end = first.saturating_add(page_size);
    // Beyond u32 is beyond the last ordinal.
    let within = |ordinal: i64| u32::try_from(ordinal).unwrap_or(u32::MAX).min(total.saturating_add(1));
    within(first)..within(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pages_begin_at_one() {
        assert_eq!(page(12, 1, 20), 1..13);
        assert_eq!(page(12, 1, 5), 1..6);
        assert_eq!(page(12, 3, 5), 11..13);
        assert!(page(12, 4, 5).is_empty());
        assert!(page(0, 1, 20).is_empty());
        assert!(page(12, i64::from(u32::MAX), 100).is_empty());
    }

    proptest! {
        #[test]
        fn pages_follow_each_other_without_gaps(total in 0u32..500, size in 1i64..=100) {
            let all: Vec<u32> = (1..).map(|no| page(total, no, size)).take_while(|p| !p.is_empty()).flatten().collect();
            prop_assert_eq!(all, (1..=total).collect::<Vec<u32>>());
        }
    }
}
