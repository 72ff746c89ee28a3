//! `stillframe import`: registers files; prints a VideoId each. Works with or without a daemon.
//!
//! Owns the step from a path to a registered URL. Never opens the video and never leaves the media roots.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Global, common, exit, keys, say};
use crate::model::ids::{AccountId, VideoId};
use crate::service::objects::MediaRoots;
use crate::service::settings::Flags;
use crate::service::store::Store;
use crate::service::store::rows::Video;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Video files below a media root
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The account that will own them: the only one there is, else 1000000000000001
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    account: Option<i64>,
    /// A folder below which files may be registered; repeatable
    #[arg(long = "media-root", value_name = "DIR")]
    media_roots: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    common::block_on(async {
        let flags = Flags { media_roots: args.media_roots.clone(), ..common::flags(global) };
        let settings = common::settings(&flags)?;
        if settings.media_roots.is_empty() {
            say::complain("no media root is set: use --media-root or [media] roots");
            return Err(exit::CONFIG);
        }
        let roots = MediaRoots::new(&settings.media_roots).map_err(|error| {
            say::complain(&error);
            exit::CONFIG
        })?;
        let store = common::make_store(&settings).await?;
        let account = owner(&store, args.account).await?;
        let mut imported = Vec::new();
        for path in &args.paths {
            match import(&store, &roots, account, path).await {
                Ok((id, new)) => {
                    if !args.json {
                        say!("{id}");
                    }
                    imported.push(json!({ "video_id": id.0, "path": path, "new": new }));
                }
                Err(problem) => say::complain(problem),
            }
        }
        let code = match imported.len() {
            0 => exit::FAULT,
            some if some < args.paths.len() => exit::PARTIAL,
            _ => exit::DONE,
        };
        if args.json {
            common::print_json(&imported.into());
        }
        Ok(code)
    })
}

/// The account that was named, else the one that `keys new` would take.
async fn owner(store: &Store, named: Option<i64>) -> Result<AccountId, u8> {
    if let Some(account) = named {
        return Ok(AccountId(account));
    }
    let keys = store.keys().await.map_err(common::fault)?;
    if keys.is_empty() {
        return Ok(keys::DEFAULT_ACCOUNT);
    }
    keys::only_account(&keys).ok_or_else(|| {
        say::complain("there are keys of several accounts: say --account N");
        exit::USAGE
    })
}

async fn import(
    store: &Store,
    roots: &MediaRoots,
    account: AccountId,
    path: &Path,
) -> Result<(VideoId, bool), String> {
    let about = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    // Links are followed here, by whoever runs the command, so that one file has one URL.
    let whole = path.canonicalize().map_err(|error| about(&error))?;
    let url = url::Url::from_file_path(&whole).map_err(|()| about(&"no absolute path"))?;
    // Its text names the path.
    let resolved = roots.resolve(url.as_str()).map_err(|failure| failure.text)?;
    let size = std::fs::metadata(&resolved).map_err(|error| about(&error))?.len();
    let title = resolved.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now_ms = common::now_ms();
    let video = Video {
        title,
        ..Video::new(
            VideoId(uuid::Uuid::new_v4().simple().to_string()),
            account,
            url.into(),
            resolved.to_str().ok_or_else(|| about(&"the path is no UTF-8"))?.to_owned(),
            i64::try_from(size).unwrap_or(i64::MAX),
            now_ms,
        )
    };
    store.register_video(video).await.map_err(|error| about(&error))
}
