//! Rows D1 to D12: which stream, and what is no video at all.

use std::path::{Path, PathBuf};

use crate::common::judge::product_view;
use crate::common::{clips, json, stillframe};
use crate::pictures::{first, still};
use crate::tools::{check_footage, clip, grab_at};

/// A grab that is refused as a whole: its code, stage and text.
#[track_caller]
fn refused(file: &Path) -> (String, String, String) {
    let got = grab_at(file, &[0], &[]);
    assert_eq!(got.code, Some(1), "{}", got.report);
    let part = |name: &str| {
        got.report["error"][name].as_str().unwrap_or_else(|| panic!("{}", got.report)).to_owned()
    };
    let whole = format!("stillframe: {}: {}: ", file.display(), part("stage"));
    assert!(got.complaint.contains(&whole), "{}", got.complaint);
    (part("code"), part("stage"), part("text"))
}

fn sine(name: &str, more: &[&str]) -> PathBuf {
    clips::clip(name, &[&["-f", "lavfi", "-i", "sine=duration=2"], more].concat())
}

#[test]
fn d1_audio_only() {
    for name in ["d1.m4a", "d1.mka", "d1.ts"] {
        let (code, stage, _) = refused(&sine(name, &["-c:a", "aac"]));
        assert_eq!((&*code, &*stage), ("no_video", "probe"), "{name}");
    }
    // No retry: the same would come out.
    assert!(!stillframe::model::job::FailCode::NoVideo.may_pass_later());
}

#[test]
fn d2_a_cover_is_no_video_unless_asked_for() {
    #[rustfmt::skip]
    let cover = ["-f", "lavfi", "-i", "color=red:s=320x320:r=1:d=1", "-map", "0", "-map", "1", "-frames:v", "1", "-c:a", "aac",
        "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-disposition:v", "attached_pic"];
    let file = sine("d2.m4a", &cover);
    assert_eq!(refused(&file).0, "no_video");
    let got = grab_at(&file, &[0], &["--stream", "1"]);
    assert_eq!(got.statuses(), ["ok"], "{}", got.report);
    let image = got.image(0);
    assert_eq!(image.size(), (320, 320));
    image.insist((160, 160), [255, 0, 0], 8);
}

#[test]
fn d4_of_two_videos_the_default_one() {
    #[rustfmt::skip]
    let two = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=1", "-f", "lavfi", "-i", "testsrc2=s=192x108:r=10:d=1",
        "-map", "0:v", "-map", "1:v", "-c:v", "libx264", "-disposition:v:0", "0", "-disposition:v:1", "default"];
    for name in ["d4.mkv", "d4.mp4"] {
        let file = clips::clip(name, &two);
        for (more, stream, size) in [(&[][..], 1, (192, 108)), (&["--stream", "0"], 0, (320, 240))] {
            let got = grab_at(&file, &[500], more);
            assert_eq!(
                (&got.report["media"]["stream"], got.image(0).size()),
                (&stream.into(), size),
                "{name}"
            );
            got.insist_exact(&crate::common::judge::truth(&file, stream));
        }
    }
    check_footage(&["h264_nasa_two_streams.mp4"]);
}

#[test]
fn d5_no_moov() {
    let whole = clip("d5.mp4", "2", &["-c:v", "libx264"]);
    let bytes = std::fs::read(whole).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("half.mp4");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (code, stage, text) = refused(&file);
    assert_eq!((&*code, &*stage), ("incomplete", "open"));
    assert!(text.contains("moov"), "{text}");
}

#[test]
fn d8_what_is_no_file_or_no_video() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.mp4"), b"").unwrap();
    std::fs::write(at("text.mp4"), "A text that is no video.\n".repeat(50)).unwrap();
    std::fs::create_dir(at("directory.mp4")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo.mp4"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let codes = [
        ("empty.mp4", "empty"),
        ("text.mp4", "not_media"),
        ("directory.mp4", "not_a_file"),
        ("fifo.mp4", "not_a_file"),
        ("gone.mp4", "not_found"),
    ];
    for (name, want) in codes {
        let (code, stage, _) = refused(&at(name));
        assert_eq!((&*code, &*stage), (want, "open"), "{name}");
    }
    assert_eq!(refused(Path::new("/dev/null")).0, "not_a_file");
}

#[test]
fn d10_odd_names() {
    let file = clip("d10.mp4", "2", &["-c:v", "libx264"]);
    let want = grab_at(&file, &[1000], &[]).pictures()[0]["frame_md5"].clone();
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "we%d ird: [x] 'q' \u{fc}n\u{ef}.mp4",
        "$(touch x) `x` ;&|.mp4",
        "-dash.mp4",
        "concat:a|b",
        "%05d*?.mp4",
    ] {
        let odd = folder.path().join(name);
        std::fs::copy(&file, &odd).unwrap();
        let out = folder.path().join("out");
        let mut command = stillframe();
        command.current_dir(folder.path()).args([
            "grab",
            "--json",
            "--frame-md5",
            "--times-ms",
            "1000",
            "--out",
        ]);
        let report = json(command.arg(&out).arg("--").arg(name));
        assert_eq!(report["pictures"][0]["frame_md5"], want, "{name}");
        assert_eq!(report["file"], name);
        std::fs::remove_file(odd).unwrap();
        std::fs::remove_dir_all(out).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no name was obeyed");
}

#[test]
fn d12_an_hls_playlist_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.current_dir(folder.path()).args([
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25:d=2",
    ]);
    ffmpeg.args(["-map", "0:v", "-map", "0:v", "-c:v", "libx264", "-s:v:1", "160x90", "-f", "hls"]);
    ffmpeg.args(["-master_pl_name", "master.m3u8", "-var_stream_map", "v:0 v:1", "rung_%v.m3u8"]);
    crate::common::run(&mut ffmpeg, 0);
    for name in ["master.m3u8", "rung_0.m3u8", "rung_1.m3u8"] {
        let (code, stage, text) = refused(&folder.path().join(name));
        assert_eq!((&*code, &*stage), ("not_media", "open"), "{name}");
        assert!(text.ends_with("an HLS playlist"), "{text}");
    }
    // Nor is a playlist obeyed under another name.
    std::fs::copy(folder.path().join("rung_0.m3u8"), folder.path().join("film.mp4")).unwrap();
    assert_eq!(refused(&folder.path().join("film.mp4")).0, "not_media");
}

/// FLV's last tag, which only says that nothing follows, is no key frame to go to: the last group is entered once.
#[test]
fn the_end_mark_of_flv_is_no_key_frame() {
    let file = clip("h264_end.flv", "5", &["-c:v", "libx264", "-g", "50", "-bf", "0"]);
    let end = product_view(&file)["duration_ms"].as_i64().expect("a duration");
    let times = format!("{},{}", end - 800, end - 1);
    let plan = json(stillframe().args(["plan", "--json", "--times-ms", &times]).arg(&file));
    assert_eq!(plan["runs"].as_array().map(Vec::len), Some(1), "{plan}");
}

#[test]
fn the_size_of_flv_is_told() {
    for (name, codec) in [("flv.flv", "flv"), ("h264.flv", "libx264")] {
        let file = still(name, "testsrc2=s=320x180:r=25", &["-c:v", codec]);
        let (got, image) = first(&file);
        let media = &got.report["media"];
        assert_eq!((&media["width"], &media["height"]), (&320.into(), &180.into()), "{name}");
        assert_eq!(image.size(), (320, 180));
        crate::common::judge::check(&clip(name, "3", &["-c:v", codec]));
    }
}
