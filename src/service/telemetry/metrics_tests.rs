//! The list of metrics is what a scrape shows.

use super::*;

fn scrape(events: impl Fn()) -> String {
    let (recorder, scrape) = recorder().expect("every histogram has buckets");
    metrics::with_local_recorder(&recorder, || {
        scrape.describe();
        events();
        scrape.render()
    })
}

fn every_event() {
    http_request("SubmitSnapshotJob", "ok", 0.01);
    http_connections(2);
    auth_failure("SignatureDoesNotMatch");
    throttled();
    job_submitted();
    job_claimed(15);
    job_ended(&JobEnd {
        result: "fail",
        reason: Some(FailCode::Crashed),
        quarantined: true,
        ended_ms: 1,
        duration_ms: 10,
        end_to_end_ms: 25,
        publish: Duration::from_millis(3),
    });
    point_ended(PointStatus::Failed);
    frames_decoded(Backend::Cpu, 12);
    batch_ended(
        &Stats {
            opens: 1,
            seek_runs: 3,
            frames_decoded: 12,
            unfit_runs: [2, 0, 1, 0, 0, 0],
            ..Stats::default()
        },
        4,
    );
    media_rejected(FailCode::Corrupt);
    worker_died(Death::Crash);
    worker_died(Death::Killed);
    fell_back(Backend::Vaapi, Refusal::NoFrame);
    devices(2, 1, 5);
    workers(1, 4, 0);
    claim_lost();
    db_commit(0.001, 7);
    db_busy();
    db_wal(4096);
    disk_free(1 << 40);
    callback_attempt("ok", 0.1);
    callback_ended("delivered");
    jobs(3, 1, Some(2_500));
    callbacks(2, 1, None);
    nonces(9);
    heartbeat("store", 5_000);
}

/// The names of the series in a scrape, without histogram suffixes.
fn names(text: &str) -> std::collections::BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_scrape_shows_exactly_the_list() {
    let listed: std::collections::BTreeSet<String> = METRICS.iter().map(|m| m.name.to_owned()).collect();
    let seen = names(&scrape(every_event));
    let ours: std::collections::BTreeSet<String> =
        seen.iter().filter(|name| name.starts_with("stillframe_")).cloned().collect();
    assert_eq!(ours, listed);
    assert!(seen.contains("process_cpu_seconds_total"), "the process collector is there");
}

#[test]
fn events_never_leave_the_lists_of_label_values() {
    let quiet = scrape(|| {});
    let busy = scrape(every_event);
    let series = |text: &str| -> std::collections::BTreeSet<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, _)| series.to_owned())
            .collect()
    };
    let open: Vec<&str> = METRICS
        .iter()
        .filter(|m| m.labels.iter().any(|label| matches!(label.values, Values::Of(_))))
        .map(|m| m.name)
        .collect();
    for new in series(&busy).difference(&series(&quiet)) {
        let of_open_list = open.iter().any(|name| new.starts_with(name));
        assert!(of_open_list || new.starts_with("process_"), "{new} is not in the list");
    }
}

#[test]
fn names_follow_the_rules_of_the_format() {
    for metric in METRICS {
        let name = metric.name;
        assert!(name.starts_with("stillframe_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}: counters end in _total");
        match metric.unit {
            metrics::Unit::Seconds => assert!(name.ends_with("_seconds"), "{name}"),
            metrics::Unit::Bytes => assert!(name.ends_with("_bytes"), "{name}"),
            _ => {}
        }
        assert!(metric.help.ends_with('.'), "{name}: help is a sentence");
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted(), "{name}: buckets go up");
        }
    }
}

#[test]
fn numbers_come_out_as_they_went_in() {
    let text = scrape(every_event);
    for line in [
        "stillframe_jobs{state=\"queued\"} 3",
        "stillframe_job_oldest_queued_age_seconds 2.5",
        "stillframe_jobs_finished_total{result=\"fail\",reason=\"crashed\"} 1",
        "stillframe_jobs_quarantined_total 1",
        "stillframe_last_success_timestamp_seconds 0",
        "stillframe_worker_restarts_total{cause=\"crash\"} 1",
        "stillframe_worker_restarts_total{cause=\"recycle\"} 5",
        "stillframe_decoder_fallback_total{from=\"vaapi\",reason=\"no_frame\"} 1",
        "stillframe_decoder_fallback_total{from=\"cuda\",reason=\"copy\"} 0",
        "stillframe_gpu_available 2",
        "stillframe_gpu_sessions 1",
        "stillframe_workers{state=\"idle\"} 3",
        "stillframe_video_opens_total 1",
        "stillframe_seek_runs_total 3",
        "stillframe_unfit_runs_total{reason=\"reference_not_there\"} 1",
        "stillframe_decoded_frames_total{backend=\"cpu\"} 12",
        "stillframe_frames_per_point_sum 3",
        "stillframe_job_queue_wait_seconds_bucket{le=\"0.025\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} is not in\n{text}");
    }
}

#[test]
fn unfit_runs_are_told_by_every_reason() {
    let listed = METRICS.iter().find(|m| m.name == "stillframe_unfit_runs_total").map(|m| m.labels);
    let Some([Label { values: Values::These(values), .. }]) = listed else { panic!("one listed label") };
    assert_eq!(*values, Unfit::ALL.map(Unfit::name));
}

#[test]
fn fallbacks_are_told_by_every_reason_and_frames_by_every_backend() {
    let listed = |name: &str| METRICS.iter().find(|m| m.name == name).map(|m| m.labels);
    let Some([from, reason]) = listed("stillframe_decoder_fallback_total") else { panic!("two labels") };
    let (Values::These(from), Values::These(reason)) = (from.values, reason.values) else { panic!("listed") };
    assert_eq!(from, &Backend::ALL.map(Backend::name)[1..]);
    assert_eq!(reason, Refusal::ALL.map(Refusal::name));
    let Some([Label { values: Values::These(backends), .. }]) = listed("stillframe_decoded_frames_total")
    else {
        panic!("one listed label")
    };
    assert_eq!(*backends, Backend::ALL.map(Backend::name));
}

#[test]
fn rejected_media_are_the_codes_that_no_retry_helps() {
    let listed = METRICS.iter().find(|m| m.name == "stillframe_media_rejected_total").map(|m| m.labels);
    let Some([Label { values: Values::These(values), .. }]) = listed else { panic!("one listed label") };
    let codes: Vec<&str> =
        FailCode::ALL.into_iter().filter(|code| !code.may_pass_later()).map(FailCode::name).collect();
    assert_eq!(*values, codes);
}
