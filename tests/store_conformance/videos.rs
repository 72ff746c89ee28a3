//! Registered videos and callback settings.

use secrecy::{ExposeSecret, SecretString};
use stillframe::service::store::StoreError;
use stillframe::service::store::rows::{CallbackSettings, Video, VideoRef, VideoStatus};

use super::{ALICE, BOB, NOW, fresh, video, video_id};

#[tokio::test]
async fn the_same_file_of_the_same_account_keeps_its_id() {
    let fresh = fresh().await;
    let store = &fresh.store;
    assert_eq!(store.register_video(video(ALICE, "v")).await.expect("registers"), (video_id("v"), true));
    let mut again = video(ALICE, "other");
    again.file_url = "file:///media/v.mp4".to_owned();
    assert_eq!(store.register_video(again.clone()).await.expect("finds"), (video_id("v"), false));
    again.account = BOB;
    assert_eq!(store.register_video(again).await.expect("registers"), (video_id("other"), true));
}

#[tokio::test]
async fn a_reference_id_belongs_to_one_video_of_an_account() {
    let fresh = fresh().await;
    let store = &fresh.store;
    store.register_video(video(ALICE, "v")).await.expect("registers");
    let mut second = video(ALICE, "second");
    second.reference_id = Some("reference-v".to_owned());
    let taken = store.register_video(second.clone()).await;
    assert!(matches!(taken, Err(StoreError::Taken { ref what }) if what == "reference id"), "{taken:?}");
    second.account = BOB;
    assert!(store.register_video(second).await.expect("registers").1);
    // Videos without one do not collide.
    for id in ["x", "y"] {
        let plain = Video { reference_id: None, ..video(ALICE, id) };
        assert!(store.register_video(plain).await.expect("registers").1);
    }
}

#[tokio::test]
async fn every_field_and_status_survives() {
    let fresh = fresh().await;
    let store = &fresh.store;
    let states = [VideoStatus::Uploading, VideoStatus::UploadSucc, VideoStatus::Normal, VideoStatus::Blocked];
    for (i, status) in states.into_iter().enumerate() {
        let id = format!("full{i}");
        let full = Video {
            description: Some("what it is".to_owned()),
            tags: Some("a,b".to_owned()),
            cate_id: Some(7),
            cover_url: Some("http://example.com/c.jpg".to_owned()),
            template_group_id: Some("VOD_NO_TRANSCODE".to_owned()),
            size: i64::MAX,
            duration_ms: Some(12_345),
            user_data: Some("{\"Extend\":\"\u{4e2d}\"}".to_owned()),
            status,
            modified_ms: NOW + 1,
            ..video(ALICE, &id)
        };
        store.register_video(full.clone()).await.expect("registers");
        let read = store.video(ALICE, &VideoRef::Id(video_id(&id))).await.expect("reads").expect("is there");
        assert_eq!(format!("{read:?}"), format!("{full:?}"));
        let by_reference = VideoRef::Reference(format!("reference-{id}"));
        let read = store.video(ALICE, &by_reference).await.expect("reads").expect("is there");
        assert_eq!(read.id, video_id(&id));
        assert!(store.video(BOB, &by_reference).await.expect("reads").is_none(), "another's video");
        assert!(store.video(BOB, &VideoRef::Id(video_id(&id))).await.expect("reads").is_none());
    }
}

#[tokio::test]
async fn facts_of_a_walk_are_kept_and_an_unknown_duration_wipes_nothing() {
    let fresh = fresh().await;
    let store = &fresh.store;
    store.register_video(video(ALICE, "v")).await.expect("registers");
    let facts = || async {
        let read = store.video(ALICE, &VideoRef::Id(video_id("v"))).await.expect("reads").expect("is there");
        (read.duration_ms, read.size, read.modified_ms)
    };
    store.set_video_facts(&video_id("v"), Some(60_000), 2_000, NOW + 1).await.expect("sets");
    assert_eq!(facts().await, (Some(60_000), 2_000, NOW + 1));
    store.set_video_facts(&video_id("v"), None, 2_000, NOW + 2).await.expect("sets");
    assert_eq!(facts().await, (Some(60_000), 2_000, NOW + 1));
    store.set_video_facts(&video_id("v"), Some(61_000), 3_000, NOW + 3).await.expect("sets");
    assert_eq!(facts().await, (Some(61_000), 3_000, NOW + 3));
}

#[tokio::test]
async fn callback_settings_are_set_changed_and_deleted() {
    let fresh = fresh().await;
    let store = &fresh.store;
    assert!(store.callback_settings(ALICE).await.expect("reads").is_none());
    let mut settings = CallbackSettings {
        app_id: "app-1000000".to_owned(),
        callback_url: "https://example.com/c".to_owned(),
        event_types: "ALL".to_owned(),
        auth_switch: true,
        auth_key: Some(SecretString::from("hush")),
    };
    store.set_callback_settings(ALICE, &settings).await.expect("sets");
    let read = store.callback_settings(ALICE).await.expect("reads").expect("is there");
    assert_eq!(read.auth_key.as_ref().map(|k| k.expose_secret()), Some("hush"));
    assert_eq!((read.event_types.as_str(), read.auth_switch), ("ALL", true));
    settings.auth_key = None;
    settings.auth_switch = false;
    settings.event_types = String::new();
    store.set_callback_settings(ALICE, &settings).await.expect("changes");
    let read = store.callback_settings(ALICE).await.expect("reads").expect("is there");
    assert!(read.auth_key.is_none() && !read.auth_switch && read.event_types.is_empty());
    assert!(store.delete_callback_settings(ALICE).await.expect("deletes"));
    assert!(!store.delete_callback_settings(ALICE).await.expect("finds none"));
}
