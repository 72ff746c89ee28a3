//! Published images: whole or not there, and nothing outside the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stillframe::model::ids::{JobId, VideoId};
use stillframe::model::naming::{Class, object_key};
use stillframe::model::snapshot::ImageKind;
use stillframe::service::objects::{ObjectStore, TempObject};
use stillframe::service::publish::sweep::sweep;

struct Bench {
    // Removes the folder at the end.
    folder: tempfile::TempDir,
    objects: ObjectStore,
    video: VideoId,
    job: JobId,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = ObjectStore::local(folder.path().join("deep/objects")).expect("a store");
        Bench { folder, objects, video: "v1".into(), job: "j-1".into() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("deep/objects")
    }

    fn key(&self, class: Class, ordinal: u32) -> String {
        object_key(&self.video, class, &self.job, ordinal)
    }

    async fn put(&self, kind: ImageKind, bytes: &[u8]) -> TempObject {
        self.objects.put_temp(&self.video, &self.job, kind, bytes.to_vec()).await.expect("written")
    }

    async fn pictures(&self, asked: &[u32]) -> Vec<(TempObject, String)> {
        let mut moves = Vec::new();
        for (asked, ordinal) in asked.iter().zip(1..) {
            let temp =
                self.put(ImageKind::Picture { asked: *asked }, format!("picture {asked}").as_bytes()).await;
            moves.push((temp, self.key(Class::Normal, ordinal)));
        }
        moves
    }

    async fn publish(&self, moves: Vec<(TempObject, String)>) {
        self.objects.publish(&self.video, &self.job, moves).await.expect("published");
    }

    async fn read(&self, key: &str) -> Option<String> {
        let object = self.objects.read(key).await.expect("readable");
        object.map(|object| String::from_utf8(object.bytes.to_vec()).expect("text"))
    }

    fn names(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(path.strip_prefix(root).expect("below").display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.root(), &self.root(), &mut found);
        found.sort();
        found
    }
}

#[tokio::test]
async fn an_image_has_no_name_before_it_is_published() {
    let bench = Bench::new();
    let mut moves = bench.pictures(&[4, 7]).await;
    let sheet = bench.put(ImageKind::Sheet { number: 0 }, b"sheet").await;
    moves.push((sheet, bench.key(Class::Sprite, 1)));
    assert_eq!(bench.read("v1/snapshots/normal/j-1-00001.jpg").await, None);
    assert_eq!(
        bench.names(),
        [
            "v1/snapshots/normal/.j-1-p4.tmp",
            "v1/snapshots/normal/.j-1-p7.tmp",
            "v1/snapshots/sprite/.j-1-s0.tmp"
        ]
    );
    bench.publish(moves.clone()).await;
    assert_eq!(bench.read("v1/snapshots/normal/j-1-00002.jpg").await.as_deref(), Some("picture 7"));
    assert_eq!(bench.read("v1/snapshots/sprite/j-1-00001.jpg").await.as_deref(), Some("sheet"));
    assert_eq!(bench.names().len(), 3);
    // Once more, as after a crash between the last rename and the commit.
    bench.publish(moves).await;
    assert_eq!(bench.read("v1/snapshots/normal/j-1-00001.jpg").await.as_deref(), Some("picture 4"));
}

#[tokio::test]
async fn a_shorter_rerun_leaves_nothing_of_the_longer_one() {
    let bench = Bench::new();
    let other = object_key(&bench.video, Class::Normal, &"j".into(), 3);
    bench.publish(bench.pictures(&[0, 1, 2, 3]).await).await;
    fs::write(bench.root().join(&other), "another job's").expect("written");
    bench.publish(bench.pictures(&[1, 3]).await).await;
    assert_eq!(bench.read(&bench.key(Class::Normal, 2)).await.as_deref(), Some("picture 3"));
    assert_eq!(bench.read(&bench.key(Class::Normal, 3)).await, None);
    assert_eq!(bench.read(&bench.key(Class::Normal, 4)).await, None);
    bench.objects.withdraw(&bench.video, &bench.job).await.expect("withdrawn");
    assert_eq!(bench.names(), [other]);
}

#[tokio::test]
async fn a_move_that_cannot_be_made_is_an_error() {
    let bench = Bench::new();
    let moves = bench.pictures(&[0]).await;
    fs::remove_file(&moves[0].0.path).expect("removed");
    assert!(bench.objects.publish(&bench.video, &bench.job, moves).await.is_err(), "neither temp nor key");
    let temp = bench.put(ImageKind::Picture { asked: 0 }, b"x").await;
    for key in ["v2/snapshots/normal/j-1-00001.jpg", "v1/snapshots/normal/j-2-00001.jpg", "../x.jpg", ""] {
        let moves = vec![(temp.clone(), key.to_owned())];
        assert!(bench.objects.publish(&bench.video, &bench.job, moves).await.is_err(), "{key}");
    }
}

#[tokio::test]
async fn ids_that_could_climb_make_no_file() {
    let bench = Bench::new();
    let picture = ImageKind::Picture { asked: 0 };
    let long = "x".repeat(300);
    for bad in ["..", ".", "", "a/b", "/etc", "a\0b", "é", long.as_str()] {
        let (bad_video, bad_job) = (VideoId::from(bad), JobId::from(bad));
        assert!(bench.objects.put_temp(&bad_video, &bench.job, picture, vec![1]).await.is_err(), "{bad}");
        assert!(bench.objects.put_temp(&bench.video, &bad_job, picture, vec![1]).await.is_err(), "{bad}");
        assert!(bench.objects.withdraw(&bad_video, &bad_job).await.is_err(), "{bad}");
    }
    assert_eq!(bench.names(), [""; 0]);
}

#[tokio::test]
async fn nothing_outside_the_root_is_read() {
    let bench = Bench::new();
    bench.publish(bench.pictures(&[0]).await).await;
    let secret = bench.folder.path().join("secret.jpg");
    fs::write(&secret, "secret").expect("written");
    let folder = bench.root().join("v1/snapshots/normal");
    symlink(&secret, folder.join("j-1-00002.jpg")).expect("a link");
    symlink("j-1-00001.jpg", folder.join("j-1-00003.jpg")).expect("a link");
    symlink(bench.folder.path(), bench.root().join("v2")).expect("a link");
    symlink("v1", bench.root().join("v3")).expect("a link");
    fs::create_dir(folder.join("j-1-00004.jpg")).expect("a folder");
    for key in ["j-1-00002.jpg", "j-1-00003.jpg", "j-1-00004.jpg"] {
        assert!(bench.objects.read(&format!("v1/snapshots/normal/{key}")).await.is_err(), "{key}");
    }
    for video in ["v2", "v3"] {
        assert!(
            bench.objects.read(&format!("{video}/snapshots/normal/j-1-00001.jpg")).await.is_err(),
            "{video}"
        );
    }
    for key in [
        "../secret.jpg",
        "/etc/passwd",
        "v1/snapshots/normal/../../../../secret.jpg",
        "v1/snapshots/normal/.j-1-p0.tmp",
    ] {
        assert!(bench.objects.read(key).await.expect("no key").is_none(), "{key}");
    }
}

#[tokio::test]
async fn a_new_start_finds_and_drops_every_temp_file() {
    let bench = Bench::new();
    bench.publish(bench.pictures(&[0]).await).await;
    bench.pictures(&[5, 6]).await;
    bench.put(ImageKind::Sheet { number: 2 }, b"sheet").await;
    let other = VideoId::from("v2");
    bench
        .objects
        .put_temp(&other, &"j9".into(), ImageKind::Picture { asked: 0 }, vec![1])
        .await
        .expect("written");
    fs::write(bench.root().join("stray"), "not ours").expect("written");
    fs::write(bench.root().join("v1/snapshots/normal/.keep.tmp"), "not ours").expect("written");

    let reopened = ObjectStore::local(bench.root()).expect("a store");
    let temps = reopened.temps().await.expect("listed");
    assert_eq!(temps, [(bench.video.clone(), bench.job.clone()), (other, "j9".into())]);
    assert_eq!(sweep(&reopened).await.expect("swept"), 2);
    assert_eq!(
        bench.names(),
        ["stray", "v1/snapshots/normal/.keep.tmp", "v1/snapshots/normal/j-1-00001.jpg"]
    );
    assert_eq!(sweep(&reopened).await.expect("swept"), 0);
}

#[tokio::test]
async fn discarding_one_job_leaves_the_others() {
    let bench = Bench::new();
    bench.pictures(&[0]).await;
    let longer: JobId = "j-1-p0".into();
    bench
        .objects
        .put_temp(&bench.video, &longer, ImageKind::Picture { asked: 1 }, vec![1])
        .await
        .expect("written");
    bench.objects.discard(&bench.video, &bench.job).await.expect("discarded");
    assert_eq!(bench.names(), ["v1/snapshots/normal/.j-1-p0-p1.tmp"]);
    bench.objects.discard(&"unknown".into(), &bench.job).await.expect("nothing to do");
}

#[tokio::test]
async fn a_failed_write_leaves_no_file() {
    let bench = Bench::new();
    fs::create_dir_all(bench.root().join("v1/snapshots")).expect("a folder");
    fs::write(bench.root().join("v1/snapshots/normal"), "in the way").expect("written");
    let put =
        bench.objects.put_temp(&bench.video, &bench.job, ImageKind::Picture { asked: 0 }, vec![1]).await;
    let error = put.expect_err("a file in the way").to_string();
    assert!(error.starts_with("failed to write ") && error.contains(".j-1-p0.tmp"), "{error}");
    assert_eq!(bench.names(), ["v1/snapshots/normal"]);
    assert!(bench.objects.free_bytes().is_some_and(|free| free > 0));
}
