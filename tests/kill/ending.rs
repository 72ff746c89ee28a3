//! What must be true once everything has come to its end.
//!
//! Owns the comparison of rows, files and callbacks. Never waits for anything but the end of what is still queued.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use stillframe::model::naming::{Class, object_key};
use stillframe::service::store::rows::{Job, JobState};

use super::common::daemon::Daemon;
use super::common::receiver::Callback;
use super::common::rows::Rows;
use super::common::{PATIENCE, http, until};
use super::{ASKED, Event, Heard, KILLS, Sort};

/// Checks everything that is left of the killed daemons and of the last one. `took` is how long after its start the
/// last acknowledged job had told its end.
pub fn check(daemon: Daemon, events: &mpsc::Receiver<Event>, mut heard: Heard, took: Duration) {
    let rows = Rows::open(&daemon.data());
    // Jobs that were taken while their caller's line was cut are owed all the same.
    until("the end of the queue", || {
        let counts = rows.counts();
        (counts.queued + counts.running + counts.callbacks_pending == 0).then_some(())
    });
    let jobs = rows.jobs();
    while heard.callbacks.len() < jobs.len() {
        heard.take(events.recv_timeout(PATIENCE).expect("a callback for each job"));
    }
    assert_eq!(rows.counts().callbacks_dead, 0);

    let repeated = callbacks(&rows, &heard);
    let sizes: BTreeMap<String, (u64, &Job)> = jobs.iter().flat_map(|job| images(&rows, job)).collect();
    let objects = daemon.data().join("objects");
    let files: BTreeSet<String> = files(&objects).into_iter().collect();
    assert_eq!(files, sizes.keys().cloned().collect(), "files and rows differ");
    compare(&objects, &sizes, &heard.acknowledged);
    for job in heard.acknowledged.keys() {
        let row = jobs.iter().find(|row| row.id.0 == *job);
        let row = row.unwrap_or_else(|| panic!("job {job} was acknowledged and is lost"));
        assert_eq!((row.state, row.attempts), (JobState::Succeeded, 0), "{row:?}");
    }
    let served = files.first().unwrap();
    let address = daemon.api;
    assert_eq!(http::get(address, &format!("/{served}")).body, std::fs::read(objects.join(served)).unwrap());

    let log = daemon.log();
    let (cut, half_done) = (logged(&log, "jobs_back="), logged(&log, "temps_swept="));
    assert!(cut > 0 && half_done > 0, "no kill met a job at work");
    drop(rows);
    let (status, folder, _) = daemon.stop();
    assert!(status.success(), "{status}");
    let kept = ["lock", "objects", "stillframe.db", "uploads"];
    let left = std::fs::read_dir(folder.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name());
    let strange: Vec<_> = left.filter(|name| !kept.iter().any(|kept| name == kept)).collect();
    assert!(strange.is_empty(), "left behind: {strange:?}");
    eprintln!(
        "{KILLS} kills, {} jobs acknowledged, {} taken, 0 lost, {} images, jobs cut off at work {cut} times ({half_done} with images), {repeated} callbacks came again, the last end {} ms after the last start",
        heard.acknowledged.len(),
        jobs.len(),
        files.len(),
        took.as_millis()
    );
}

/// The sum of a number over all lines of the log.
fn logged(log: &str, field: &str) -> u64 {
    let numbers =
        log.split(field).skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap());
    numbers.map(|number| number.parse::<u64>().unwrap()).sum()
}

/// One event a job, delivered at least once, always with the same bytes; returns how many came again.
fn callbacks(rows: &Rows, heard: &Heard) -> usize {
    let outbox = rows.deliveries();
    assert_eq!(outbox.len(), heard.callbacks.len());
    let mut repeated = 0;
    for row in outbox {
        let came = &heard.callbacks[&row.job.unwrap().0];
        let id = |callback: &Callback| callback.header("x-stillframe-event-id").unwrap().to_owned();
        for callback in came {
            assert_eq!((&callback.body[..], id(callback)), (row.body.as_bytes(), row.event_id.clone()));
        }
        assert_eq!(came[0].json()["Status"], "success");
        repeated += came.len() - 1;
    }
    repeated
}

/// Key, bytes and job of each image that the rows speak of.
fn images<'a>(rows: &Rows, job: &'a Job) -> Vec<(String, (u64, &'a Job))> {
    let key = |class, ordinal| object_key(&job.video, class, &job.id, ordinal);
    let points = rows.points(&job.id);
    let of_points = points.iter().map(|point| {
        let ordinal = point.ordinal.unwrap_or_else(|| panic!("{:?} has no picture: {point:?}", job.id));
        (key(Class::Normal, ordinal), (point.bytes.unwrap(), job))
    });
    let sheets = rows.sheets(&job.id);
    let of_sheets = sheets.iter().map(|sheet| (key(Class::Sprite, sheet.number), (sheet.bytes, job)));
    let all: Vec<_> = of_points.chain(of_sheets).collect();
    assert_eq!(all.len() as u32, job.pictures + job.sheets);
    all
}

/// Every file below a folder, as a path from it.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found
}

/// Each image is whole, of the size that its row says, and the same in all jobs that ask the same.
fn compare(objects: &Path, sizes: &BTreeMap<String, (u64, &Job)>, sorts: &BTreeMap<String, Sort>) {
    let mut known: BTreeMap<(Sort, String), Vec<u8>> = BTreeMap::new();
    for (key, (size, job)) in sizes {
        let bytes = std::fs::read(objects.join(key)).unwrap();
        assert_eq!(bytes.len() as u64, *size, "{key}");
        assert!(bytes.starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9]), "{key} is cut");
        turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB)
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        if let Some(sort) = sorts.get(&job.id.0) {
            let place = key.replace(&job.id.0, "");
            let first = known.entry((*sort, place.clone())).or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{key} differs from other jobs' that ask the same");
        }
    }
    let sorts: BTreeSet<Sort> = known.keys().map(|(sort, _)| *sort).collect();
    assert_eq!(sorts.len(), 2 * ASKED.len(), "not every sort of job was there");
    let sheets = known.keys().filter(|(_, key)| key.contains(Class::Sprite.folder())).count();
    assert_eq!(sheets, 2 * 2, "two sheets for each of two videos");
}
