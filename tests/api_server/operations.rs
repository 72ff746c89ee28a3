//! What each operation answers.

use std::sync::atomic::Ordering;

use serde_json::json;
use stillframe::model::ids::{ClaimToken, Incarnation, JobId, VideoId};
use stillframe::model::media::Backend;
use stillframe::model::naming::{Class, object_key};
use stillframe::model::snapshot::{ImageKind, PointStatus, Shown};
use stillframe::model::spec::Points;
use stillframe::service::store::rows::{FinishedJob, PointRow, SheetRow, Video, VideoStatus};

use super::{ALICE, Api, BASE, NOW};

const SPRITE: (&str, &str) =
    ("SpriteSnapshotConfig", r#"{"CellWidth":160,"CellHeight":90,"Columns":4,"Lines":3}"#);

async fn submit(api: &Api, video: &str, pairs: &[(&str, &str)]) -> String {
    let mut all = vec![("VideoId", video)];
    all.extend_from_slice(pairs);
    let answer = api.call("SubmitSnapshotJob", &all).await.ok();
    answer["SnapshotJob"]["JobId"].as_str().unwrap().to_owned()
}

// Ends a queued job with three points, two of them with a picture, and one sheet.
async fn finish(api: &Api, video: &str, job: &str) {
    let (video, job) = (VideoId::from(video), JobId::from(job));
    let (token, incarnation) = (ClaimToken::from(job.0.as_str()), Incarnation::from("i"));
    api.store.start_incarnation(&incarnation, NOW).await.unwrap();
    api.store.claim(ALICE, &video, &token, &incarnation, NOW).await.unwrap().unwrap();
    let mut moves = Vec::new();
    for (kind, class, ordinal) in [
        (ImageKind::Picture { asked: 0 }, Class::Normal, 1),
        (ImageKind::Picture { asked: 2 }, Class::Normal, 2),
        (ImageKind::Sheet { number: 0 }, Class::Sprite, 1),
    ] {
        let bytes = format!("{kind:?} of {job}").into_bytes();
        let temp = api.objects.put_temp(&video, &job, kind, bytes).await.unwrap();
        moves.push((temp, object_key(&video, class, &job, ordinal)));
    }
    api.objects.publish(&video, &job, moves).await.unwrap();
    let point = |asked: u32, status: PointStatus, ordinal: Option<u32>| PointRow {
        asked,
        asked_ms: i64::from(asked) * 1000,
        status,
        reason: None,
        shown: ordinal.map(|_| Shown {
            status,
            shown_ms: i64::from(asked) * 1000,
            pts: 7,
            width: 640,
            height: 360,
            key_frame: true,
            backend: Backend::Cpu,
            frame_md5: None,
        }),
        ordinal,
        bytes: ordinal.map(|_| 99),
    };
    let finished = FinishedJob {
        id: job,
        token,
        ended_ms: NOW + 2000,
        failure: None,
        points: vec![
            point(0, PointStatus::Ok, Some(1)),
            point(1, PointStatus::Failed, None),
            point(2, PointStatus::LastFrame, Some(2)),
        ],
        sheets: vec![SheetRow { number: 1, width: 640, height: 270, bytes: 99 }],
        pictures: 2,
        fallbacks: Vec::new(),
        event: None,
    };
    assert!(api.store.finish(finished).await.unwrap());
}

#[tokio::test]
async fn files_below_a_root_are_registered_once() {
    let mut api = Api::start().await;
    let (url, spaced) = (api.file("a.mp4"), api.file("b c.mp4").replace(' ', "%20"));
    let metadatas = json!([
        {"FileURL": url, "Title": "t", "Tags": "x,y", "CateId": 7, "Description": "d"},
        {"FileURL": "file:///etc/passwd", "Title": "t"},
        {"FileURL": "http://h/a.mp4", "Title": "t"},
        {"FileURL": spaced, "Title": "t"},
    ])
    .to_string();
    let pairs = [
        ("RegisterMetadatas", metadatas.as_str()),
        ("TemplateGroupId", "VOD_NO_TRANSCODE"),
        ("UserData", r#"{"Extend":"e"}"#),
    ];
    let first = api.call("RegisterMedia", &pairs).await.ok();
    assert_eq!(first["FailedFileURLs"], json!(["file:///etc/passwd", "http://h/a.mp4"]));
    let list = first["RegisteredMediaList"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["FileURL"], &list[0]["NewRegister"]), (2, &json!(url), &json!(true)));
    assert_eq!(list[1]["FileURL"], json!(spaced));
    let id = list[0]["MediaId"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");

    let probe = api.probes.recv().await.unwrap();
    assert!(probe.video.id.0 == id && probe.done.is_none());

    let second = api.call("RegisterMedia", &pairs).await.ok();
    let again = &second["RegisteredMediaList"][0];
    assert_eq!((&again["MediaId"], &again["NewRegister"]), (&json!(id), &json!(false)));

    // The other account's video of the same file is another one.
    let key = ("otherid", "othersecret");
    let others = api.call_as(key, "RegisterMedia", &pairs).await.ok();
    assert_ne!(others["RegisteredMediaList"][0]["MediaId"], json!(id));
    assert_eq!(others["RegisteredMediaList"][0]["NewRegister"], json!(true));
    api.call_as(key, "GetVideoInfo", &[("VideoId", id)]).await.is_error(404, "InvalidVideo.NotFound");
}

#[tokio::test]
async fn bad_registrations_are_refused() {
    let api = Api::start().await;
    api.call("RegisterMedia", &[]).await.is_error(400, "MissingParameter");
    let check = async |pairs: &[(&str, &str)]| {
        api.call("RegisterMedia", pairs).await.is_error(400, "InvalidParameter")
    };
    check(&[("RegisterMetadatas", "x")]).await;
    check(&[("RegisterMetadatas", r#"[{"FileURL":"file:///a"}]"#)]).await;
    check(&[("RegisterMetadatas", r#"[{"FileURL":"file:///a","Title":"t"}]"#), ("UserData", "x")]).await;
}

#[tokio::test]
async fn a_video_tells_its_duration_once_it_was_probed() {
    let mut api = Api::start().await;
    let id = api.register("a.mp4").await;
    drop(api.probes.recv().await);
    let mut probes = std::mem::replace(&mut api.probes, tokio::sync::mpsc::channel(1).1);
    let prober = async {
        let probe = probes.recv().await.unwrap();
        assert_eq!(probe.video.id.0, id);
        api.store.set_video_facts(&probe.video.id, Some(10_500), 1234, NOW + 9000).await.unwrap();
        probe.done.unwrap().send(()).unwrap();
    };
    // The request waits for the probe, so both must run.
    let pairs = [("VideoId", id.as_str())];
    let (answer, ()) = tokio::join!(api.call("GetVideoInfo", &pairs), prober);
    let shown = answer.ok();
    assert_eq!(
        shown["Video"],
        json!({"VideoId": id, "Title": "a title", "Status": "Normal", "AuditStatus": "Normal", "Size": 1234,
            "Duration": 10.5, "CreationTime": "2026-01-02T03:04:05Z", "ModificationTime": "2026-01-02T03:04:14Z",
            "AppId": "app-1000000", "DownloadSwitch": "on", "StorageClass": "Standard",
            "Snapshots": {"Snapshot": []}})
    );
    // Known now: nobody is asked again.
    api.call("GetVideoInfo", &[("VideoId", &id)]).await.ok();
    assert!(probes.try_recv().is_err());
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_the_duration_out() {
    let mut api = Api::start().await;
    let id = api.register("a.mp4").await;
    // Nobody probes: every request for one is dropped, and its `done` with it.
    api.probes.close();
    let shown = api.call("GetVideoInfo", &[("VideoId", &id)]).await.ok();
    assert_eq!(shown["Video"].get("Duration"), None);
    api.call("GetVideoInfo", &[]).await.is_error(400, "MissingParameter");
    api.call("GetVideoInfo", &[("VideoId", "nothing")]).await.is_error(404, "InvalidVideo.NotFound");
    api.call("GetVideoInfo", &[("ReferenceId", "nothing")]).await.is_error(404, "InvalidVideo.NotFound");
}

#[tokio::test]
async fn a_job_goes_from_submission_to_pictures() {
    let api = Api::start().await;
    let video = api.register("a.mp4").await;
    let notified = api.submitted.notified();
    let user_data = ("UserData", r#"{"Extend":{"order":"A-17"}}"#);
    let pairs = [("Count", "3"), ("Interval", "0"), ("Width", "640"), SPRITE, user_data];
    let job = submit(&api, &video, &pairs).await;
    notified.await;
    let row = api.store.job(Some(ALICE), &JobId(job.clone())).await.unwrap().unwrap();
    assert_eq!(row.spec.points, Points::Even { offset_ms: 0, count: 3 });
    assert_eq!(row.user_data.as_deref(), Some(user_data.1));
    assert_eq!(row.request_id.len(), 36);

    let ask = [("JobId", job.as_str()), ("JobType", "Snapshot")];
    let running = api.call("GetJobDetail", &ask).await.ok();
    assert_eq!(running["JobType"], "snapshot");
    let detail = &running["SnapshotJobDetail"];
    assert_eq!(
        (&detail["Status"], detail.get("CompleteTime"), detail.get("Stillframe")),
        (&json!("Processing"), None, None)
    );
    let list = [("VideoId", video.as_str()), ("SnapshotType", "NormalSnapshot")];
    api.call("ListSnapshots", &list).await.is_error(404, "NoSuchResource");

    finish(&api, &video, &job).await;
    let ended = api.call("GetJobDetail", &ask).await.ok();
    let detail = &ended["SnapshotJobDetail"];
    assert_eq!(
        (&detail["Status"], &detail["CompleteTime"]),
        (&json!("Success"), &json!("2026-01-02T03:04:07Z"))
    );
    assert_eq!(detail["UserId"], json!(1_000_000_000_000_001_i64));
    let told = &detail["Stillframe"];
    assert_eq!(
        (&told["asked"], &told["delivered"], &told["past_end"], &told["failed"]),
        (&json!(3), &json!(2), &json!(0), &json!(1))
    );
    assert_eq!(told["pictures"][2]["status"], "last_frame");

    let listed = api.call("ListSnapshots", &list).await.ok();
    let (regular, url) = (
        format!("{BASE}/{video}/snapshots/normal/{job}-{{SnapshotCount}}.jpg"),
        format!("{BASE}/{video}/snapshots/normal/{job}-00001.jpg"),
    );
    let media = &listed["MediaSnapshot"];
    assert_eq!(
        (&media["Total"], &media["Regular"], &media["JobId"]),
        (&json!(2), &json!(regular), &json!(job))
    );
    assert_eq!(media["Snapshots"]["Snapshot"][0], json!({"Index": 1, "Url": url}));
    let second = [list[0], list[1], ("PageNo", "2"), ("PageSize", "1")];
    let page = api.call("ListSnapshots", &second).await.ok();
    let items = page["MediaSnapshot"]["Snapshots"]["Snapshot"].as_array().unwrap().clone();
    assert_eq!((items.len(), &items[0]["Index"]), (1, &json!(2)));
    let sprites = [list[0], ("SnapshotType", "SpriteSnapshot")];
    assert_eq!(api.call("ListSnapshots", &sprites).await.ok()["MediaSnapshot"]["Total"], 1);

    let picture = api
        .raw(&format!("GET {} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", &url[BASE.len()..]))
        .await;
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(picture.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(picture.text(), format!("Picture {{ asked: 0 }} of {job}"));
}

#[tokio::test]
async fn lists_and_details_refuse_what_is_not_there() {
    let api = Api::start().await;
    let video = api.register("a.mp4").await;
    let list = async |pairs: &[(&str, &str)], status, code| {
        api.call("ListSnapshots", pairs).await.is_error(status, code);
    };
    list(&[], 400, "MissingParameter").await;
    list(&[("VideoId", "nothing")], 404, "InvalidVideo.NotFound").await;
    let id = ("VideoId", video.as_str());
    list(&[id], 404, "NoSuchResource").await; // the default type is Cover
    for kind in ["CoverSnapshot", "SpriteOriginSnapshot", "WebVttSnapshot", "SpriteSnapshot"] {
        list(&[id, ("SnapshotType", kind)], 404, "NoSuchResource").await;
    }
    list(&[id, ("SnapshotType", "normalsnapshot")], 400, "InvalidParameter").await;
    for (name, value) in
        [("PageNo", "0"), ("PageNo", "x"), ("PageSize", "0"), ("PageSize", "101"), ("AuthTimeout", "2592001")]
    {
        list(&[id, (name, value)], 400, "InvalidParameter").await;
    }
    let detail = async |pairs: &[(&str, &str)], status, code| {
        api.call("GetJobDetail", pairs).await.is_error(status, code);
    };
    let job = submit(&api, &video, &[]).await;
    detail(&[("JobType", "snapshot")], 400, "MissingParameter").await;
    detail(&[("JobId", &job)], 400, "MissingParameter").await;
    detail(&[("JobId", &job), ("JobType", "x")], 400, "InvalidParameter").await;
    detail(&[("JobId", &job), ("JobType", "transcode")], 404, "NoSuchResource").await;
    detail(&[("JobId", "nothing"), ("JobType", "snapshot")], 404, "NoSuchResource").await;
    let key = ("otherid", "othersecret");
    let others = api.call_as(key, "GetJobDetail", &[("JobId", &job), ("JobType", "snapshot")]).await;
    others.is_error(404, "NoSuchResource");
}

#[tokio::test]
async fn submissions_are_refused_with_the_right_code() {
    let api = Api::start().await;
    let video = api.register("a.mp4").await;
    let id = ("VideoId", video.as_str());
    let refused = async |pairs: &[(&str, &str)], status, code| {
        api.call("SubmitSnapshotJob", pairs).await.is_error(status, code);
    };
    refused(&[], 400, "MissingParameter").await;
    refused(&[("VideoId", "nothing")], 404, "InvalidVideo.NotFound").await;
    refused(&[("ReferenceId", "nothing")], 404, "InvalidVideo.NotFound").await;
    refused(&[id, ("SnapshotTemplateId", "t")], 400, "UnsupportedOperation").await;
    refused(&[id, ("Count", "0")], 400, "InvalidParameter").await;
    refused(&[id, ("Width", "7")], 400, "InvalidParameter").await;
    refused(&[id, ("UserData", "x")], 400, "InvalidParameter").await;
    refused(&[id, ("SpriteSnapshotConfig", "x")], 400, "InvalidParameter").await;
    let key = ("otherid", "othersecret");
    api.call_as(key, "SubmitSnapshotJob", &[id]).await.is_error(404, "InvalidVideo.NotFound");
    api.disk.store(true, Ordering::Relaxed);
    refused(&[id], 503, "ServiceUnavailable").await;
    api.disk.store(false, Ordering::Relaxed);
    assert!(api.store.jobs(None, 10).await.unwrap().is_empty());
    submit(&api, &video, &[]).await;
    assert_eq!(api.store.jobs(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_state_of_the_video_decides() {
    let api = Api::start().await;
    for (status, allowed) in [
        (VideoStatus::Uploading, false),
        (VideoStatus::UploadSucc, true),
        (VideoStatus::Normal, true),
        (VideoStatus::Blocked, true),
    ] {
        let id = format!("{status:?}").to_lowercase();
        let reference = format!("reference-{id}");
        let video = Video {
            reference_id: Some(reference.clone()),
            title: "t".into(),
            duration_ms: Some(1),
            status,
            ..Video::new(VideoId(id.clone()), ALICE, format!("file:///{id}"), format!("/{id}"), 1, NOW)
        };
        api.store.register_video(video).await.unwrap();
        for name in [("VideoId", id.as_str()), ("ReferenceId", reference.as_str())] {
            let answer = api.call("SubmitSnapshotJob", &[name]).await;
            if allowed {
                answer.ok();
            } else {
                answer.is_error(400, "Forbidden.IllegalStatus");
            }
        }
        let shown = api.call("GetVideoInfo", &[("ReferenceId", &reference)]).await.ok();
        assert_eq!(shown["Video"]["Status"], format!("{status:?}"));
        let list = api.call("ListSnapshots", &[("VideoId", &id)]).await;
        list.is_error(
            if allowed { 404 } else { 400 },
            if allowed { "NoSuchResource" } else { "Forbidden.IllegalStatus" },
        );
    }
}

#[tokio::test]
async fn callback_settings_are_kept_and_forgotten() {
    let api = Api::start().await;
    api.call("GetMessageCallback", &[]).await.is_error(404, "NoSuchResource");
    let pairs = [
        ("CallbackType", "HTTP"),
        ("CallbackURL", "https://www.example.com/your/callback"),
        ("EventTypeList", "SnapshotComplete"),
        ("AuthSwitch", "on"),
        ("AuthKey", "Test123"),
    ];
    api.call("SetMessageCallback", &pairs).await.ok();
    let shown = api.call("GetMessageCallback", &[]).await.ok();
    assert_eq!(
        shown["MessageCallback"],
        json!({"AppId": "app-1000000", "CallbackType": "HTTP", "EventTypeList": "SnapshotComplete",
            "CallbackURL": "https://www.example.com/your/callback", "AuthSwitch": "on", "AuthKey": "Test123"})
    );
    api.call_as(("otherid", "othersecret"), "GetMessageCallback", &[]).await.is_error(404, "NoSuchResource");
    api.call("SetMessageCallback", &[("CallbackType", "MNS")]).await.is_error(400, "InvalidParameter");
    api.call("DeleteMessageCallback", &[]).await.ok();
    api.call("DeleteMessageCallback", &[]).await.ok();
    api.call("GetMessageCallback", &[]).await.is_error(404, "NoSuchResource");
}
