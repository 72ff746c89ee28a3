//! `stillframe jobs`: list, show, requeue, cancel. Works with or without a daemon.
//!
//! Owns how jobs are shown. Never changes a row but by the store's own transitions.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Global, common, exit, say};
use crate::model::ids::JobId;
use crate::model::snapshot::Counts;
use crate::service::picture;
use crate::service::result::{self, Tally};
use crate::service::store::Store;
use crate::service::store::rows::{Job, JobState, PointRow, SheetRow};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print jobs, the newest first
    List {
        /// Only jobs in this state
        #[arg(long, value_parser = parse_state)]
        state: Option<JobState>,
        /// Print at most this many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one job with its points
    Show {
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Queue a failed or cancelled job again, with all its attempts
    Requeue {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Cancel a queued or running job
    Cancel {
        #[arg(value_name = "ID")]
        id: String,
    },
}

fn parse_state(text: &str) -> Result<JobState, String> {
    let known = || JobState::ALL.map(JobState::name).join(", ");
    JobState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| format!("one of: {}", known()))
}

/// Runs the command; returns its exit code.
pub fn run(global: &Global, args: Args) -> u8 {
    common::block_on(async {
        let store = common::store(&common::settings(&common::flags(global))?).await?;
        match args.command {
            Command::List { state, limit, json } => list(&store, state, limit, json).await,
            Command::Show { id, json } => show(&store, &JobId(id), json).await,
            Command::Requeue { id } => {
                let done =
                    store.requeue(&JobId(id.clone()), common::now_ms()).await.map_err(common::fault)?;
                told(done, &format!("job {id} has not failed and was not cancelled"))
            }
            Command::Cancel { id } => {
                let done = store.cancel(&JobId(id.clone()), common::now_ms()).await.map_err(common::fault)?;
                told(done, &format!("job {id} is neither queued nor running"))
            }
        }
    })
}

fn told(done: bool, otherwise: &str) -> Result<u8, u8> {
    if !done {
        say::complain(otherwise);
        return Err(exit::FAULT);
    }
    Ok(exit::DONE)
}

async fn list(store: &Store, state: Option<JobState>, limit: u32, json: bool) -> Result<u8, u8> {
    let jobs = store.jobs(state, limit).await.map_err(common::fault)?;
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    let statuses = store.statuses(&ids).await.map_err(common::fault)?;
    let tally = |job: &Job| {
        let counted = statuses.get(&job.id).into_iter().flatten();
        let all = counted.flat_map(|(status, count)| std::iter::repeat_n(*status, *count as usize));
        Tally::of(&job.spec, all, job.sheets)
    };
    if json {
        common::print_json(&jobs.iter().map(|job| job_json(job, tally(job))).collect());
        return Ok(exit::DONE);
    }
    say!(
        "{:32}  {:9}  {:7}  {:8}  {:32}  {:24}  REASON",
        "JOB",
        "STATE",
        "RESULT",
        "ATTEMPTS",
        "VIDEO",
        "CREATED"
    );
    for job in &jobs {
        let reason = job.failure.as_ref().map_or_else(String::new, |failure| {
            format!("{} ({})", failure.code.name(), failure.stage.name())
        });
        say!(
            "{:32}  {:9}  {:7}  {:<8}  {:32}  {:24}  {reason}",
            job.id.0,
            job.state.name(),
            word(job, tally(job)).unwrap_or("-"),
            job.attempts,
            job.video.0,
            common::instant(job.created_ms),
        );
    }
    Ok(exit::DONE)
}

async fn show(store: &Store, id: &JobId, json: bool) -> Result<u8, u8> {
    let Some(job) = store.job(None, id).await.map_err(common::fault)? else {
        say::complain(format_args!("there is no job {id}"));
        return Err(exit::FAULT);
    };
    let points = store.points(id).await.map_err(common::fault)?;
    let sheets = store.sheets(id).await.map_err(common::fault)?;
    let tally = Tally::of(&job.spec, points.iter().map(|point| point.status), job.sheets);
    if json {
        let mut shown = job_json(&job, tally);
        shown["points"] = points.iter().map(|point| picture::told(&job.video, id, point)).collect();
        shown["sheet_list"] = sheets.iter().map(sheet_json).collect();
        common::print_json(&shown);
    } else {
        print_job(&job, tally, &points, &sheets);
    }
    Ok(exit::DONE)
}

fn print_job(job: &Job, tally: Tally, points: &[PointRow], sheets: &[SheetRow]) {
    say!("job        {}", job.id);
    say!("video      {}", job.video);
    say!("account    {}", job.account);
    say!("request    {}", job.request_id);
    say!("state      {}", job.state.name());
    say!("attempts   {}", job.attempts);
    say!("created    {}", common::instant(job.created_ms));
    if let Some(at) = job.started_ms {
        say!("started    {}", common::instant(at));
    }
    if let Some(at) = job.ended_ms {
        say!("ended      {}", common::instant(at));
    }
    if let Some(failure) = &job.failure {
        say!("failure    {failure}");
    }
    for fallback in &job.fallbacks {
        let (from, reason) = (fallback.from.name(), fallback.reason.name());
        say!("fallback   from {from} to the CPU: {reason}, {} points were missing", fallback.points);
    }
    if let Some(result) = word(job, tally) {
        say!("result     {result}");
        let Counts { asked, delivered, past_end, failed } = tally.points;
        say!("asked      {asked}: {delivered} delivered, {past_end} past the end, {failed} failed");
    }
    say!("pictures   {}", job.pictures);
    match tally.sheets_asked {
        asked if asked > job.sheets => say!("sheets     {} of {asked}", job.sheets),
        _ => say!("sheets     {}", job.sheets),
    }
    if !points.is_empty() {
        say!(
            "\n{:>7}  {:>10}  {:>10}  {:11}  {:>9}  REASON",
            "ORDINAL",
            "ASKED_MS",
            "SHOWN_MS",
            "STATUS",
            "BYTES"
        );
    }
    for point in points {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        say!(
            "{:>7}  {:>10}  {:>10}  {:11}  {:>9}  {}",
            or_dash(point.ordinal.map(|ordinal| ordinal.to_string())),
            point.asked_ms,
            or_dash(point.shown.as_ref().map(|shown| shown.shown_ms.to_string())),
            point.status.name(),
            or_dash(point.bytes.map(|bytes| bytes.to_string())),
            point.reason.as_deref().unwrap_or(""),
        );
    }
    for sheet in sheets {
        say!("sheet {:>3}  {} x {}, {} bytes", sheet.number, sheet.width, sheet.height, sheet.bytes);
    }
}

/// The word for an ended job; none while it waits or runs.
fn word(job: &Job, tally: Tally) -> Option<&'static str> {
    match job.state {
        JobState::Queued | JobState::Running => None,
        JobState::Succeeded => Some(tally.result(false)),
        JobState::Failed | JobState::Cancelled => Some(tally.result(true)),
    }
}

fn job_json(job: &Job, tally: Tally) -> Value {
    let mut told = json!({
        "job_id": job.id.0,
        "video_id": job.video.0,
        "account": job.account.0,
        "request_id": job.request_id,
        "state": job.state.name(),
        "attempts": job.attempts,
        "created": common::instant(job.created_ms),
        "started": job.started_ms.map(common::instant),
        "ended": job.ended_ms.map(common::instant),
        "failure": job.failure.as_ref().map(|failure| json!({
            "code": failure.code.name(), "stage": failure.stage.name(), "text": failure.text,
        })),
        "pictures": job.pictures,
        "sheets": job.sheets,
    });
    if let (Some(word), Value::Object(told)) = (word(job, tally), &mut told) {
        told.insert("result".into(), word.into());
        told.extend(tally.counts());
    }
    if !job.fallbacks.is_empty() {
        told["fallbacks"] = job.fallbacks.iter().map(result::fallback).collect();
    }
    told
}

fn sheet_json(sheet: &SheetRow) -> Value {
    json!({ "number": sheet.number, "width": sheet.width, "height": sheet.height, "bytes": sheet.bytes })
}
