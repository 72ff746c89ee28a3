//! Sprite sheets from submission to pixels: fifty seconds, each of its own colour.
//!
//! Owns the second opinion about where each cell lies. Never takes the daemon's word for a geometry.

mod common;

use std::path::{Path, PathBuf};

use common::daemon::{Daemon, Setup};
use common::events::Events;
use serde_json::{Value, json};
use turbojpeg::PixelFormat;

/// Between the darkest cell (luma 120) and the brightest background (luma 29).
const THRESHOLD: u8 = 75;
/// What scaling, JPEG and 4:2:0 may change of a flat colour.
const TOLERANCE: f64 = 4.0;

/// The colour of a second of the clip: bright, and far from that of every other.
fn color(second: usize) -> [u8; 3] {
    let step = |n: usize| 120 + 30 * u8::try_from(n % 5).unwrap();
    [step(second), step(second / 5), if second >= 25 { 220 } else { 120 }]
}

/// Fifty seconds at five frames a second.
fn fifty_colors() -> PathBuf {
    let filter = "color=size=192x108:rate=5:duration=50,format=rgb24,\
        geq=r='120+30*mod(floor(N/5),5)':g='120+30*mod(floor(N/25),5)':b='if(lt(N,125),120,220)',format=yuv420p";
    let recipe =
        ["-f", "lavfi", "-i", filter, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-g", "25"];
    common::clips::clip("fifty.mp4", &recipe)
}

/// What was asked for, in pixels.
struct Sheet {
    columns: usize,
    lines: usize,
    cell: (usize, usize),
    padding: usize,
    margin: usize,
    background: [u8; 3],
}

impl Sheet {
    fn size(&self) -> (usize, usize) {
        let side = |count: usize, cell: usize| 2 * self.margin + count * cell + (count - 1) * self.padding;
        (side(self.columns, self.cell.0), side(self.lines, self.cell.1))
    }

    /// Left, top of a cell: rows first.
    fn corner(&self, index: usize) -> (usize, usize) {
        let at = |n: usize, cell: usize| self.margin + n * (cell + self.padding);
        (at(index % self.columns, self.cell.0), at(index / self.columns, self.cell.1))
    }

    /// Checks every pixel of a sheet whose first cells hold the seconds `shown`.
    #[track_caller]
    fn check(&self, jpeg: &[u8], shown: impl Iterator<Item = usize>) {
        let shown: Vec<usize> = shown.collect();
        let rgb = turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap();
        let gray = turbojpeg::decompress(jpeg, PixelFormat::GRAY).unwrap();
        assert_eq!((rgb.width, rgb.height), self.size());
        // To the pixel: bright where a cell is, dark everywhere else.
        let mut bright = vec![false; rgb.width * rgb.height];
        for index in 0..shown.len() {
            let (left, top) = self.corner(index);
            for y in top..top + self.cell.1 {
                bright[y * rgb.width + left..][..self.cell.0].fill(true);
            }
        }
        let wrong: Vec<(usize, usize)> = (0..rgb.width * rgb.height)
            .map(|at| (at % rgb.width, at / rgb.width))
            .filter(|(x, y)| (gray.pixels[y * gray.pitch + x] >= THRESHOLD) != bright[y * rgb.width + x])
            .collect();
        assert!(wrong.is_empty(), "{} pixels are on the wrong side, such as {:?}", wrong.len(), &wrong[..1]);
        for index in 0..self.columns * self.lines {
            let expected = shown.get(index).map_or(self.background, |second| color(*second));
            let mean = self.mean(&rgb, index);
            let far = mean.iter().zip(expected).any(|(got, want)| (got - f64::from(want)).abs() > TOLERANCE);
            assert!(!far, "cell {index} is {mean:.1?} and not {expected:?}");
        }
        // The margin's own colour, where no cell is near enough to bleed.
        for (x, y) in [(0, 0), (rgb.width - 1, 0), (0, rgb.height - 1), (rgb.width - 1, rgb.height - 1)] {
            let near = &rgb.pixels[y * rgb.pitch + 3 * x..][..3];
            if self.margin >= 8 {
                assert!(
                    near.iter().zip(self.background).all(|(a, b)| a.abs_diff(b) <= 12),
                    "{near:?} at {x}, {y}"
                );
            }
        }
    }

    /// The mean colour of a cell's place, away from its edges.
    fn mean(&self, rgb: &turbojpeg::Image<Vec<u8>>, index: usize) -> [f64; 3] {
        let (left, top) = self.corner(index);
        let inner = 6;
        let mut sum = [0.0; 3];
        for y in top + inner..top + self.cell.1 - inner {
            for x in left + inner..left + self.cell.0 - inner {
                for (sum, value) in sum.iter_mut().zip(&rgb.pixels[y * rgb.pitch + 3 * x..]) {
                    *sum += f64::from(*value);
                }
            }
        }
        let count = (self.cell.0 - 2 * inner) * (self.cell.1 - 2 * inner);
        sum.map(|sum| sum / count as f64)
    }
}

/// Every file below a folder, without its front.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// A daemon with the clip, and what it tells.
struct Bench {
    daemon: Daemon,
    events: Events,
    video: String,
}

impl Bench {
    fn new() -> Bench {
        let daemon = Daemon::start(Setup::default());
        let events = Events::of(&daemon);
        let video = daemon.register(&daemon.put(&fifty_colors()));
        Bench { daemon, events, video }
    }

    /// Runs a job; returns its id and event.
    #[track_caller]
    fn job(&mut self, config: &str, more: &[(&str, &str)]) -> (String, Value) {
        let all: Vec<_> =
            [("SpriteSnapshotConfig", config)].into_iter().chain(more.iter().copied()).collect();
        let job = self.daemon.submit(&self.video, &all);
        let event = self.events.end_of(&job);
        assert_eq!(event["Status"], "success", "{event}\n{}", self.daemon.log());
        (job, event)
    }

    /// The images of a type, fetched as a player would.
    #[track_caller]
    fn images(&self, kind: &str) -> Vec<Vec<u8>> {
        let list = [("VideoId", &*self.video), ("SnapshotType", kind), ("PageSize", "100")];
        let body = self.daemon.must("ListSnapshots", &list);
        let shown = body["MediaSnapshot"]["Snapshots"]["Snapshot"].as_array().unwrap();
        assert_eq!(body["MediaSnapshot"]["Total"], shown.len(), "{body}");
        let urls = shown.iter().map(|one| one["Url"].as_str().unwrap());
        let images = urls.map(common::http::fetch).map(|answer| {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
            answer.body
        });
        images.collect()
    }
}

/// One picture a second, from the middle of each.
const FIFTY: &[(&str, &str)] = &[("SpecifiedOffsetTime", "500"), ("Count", "50"), ("Interval", "1")];

#[test]
fn fifty_pictures_in_three_by_ten_are_sheets_of_thirty_and_twenty() {
    let mut bench = Bench::new();
    let config = "{'CellWidth':'48','CellHeight':'32','Columns':'3','Lines':'10','Padding':'5','Margin':'9',\
        'Color':'Navy','KeepCellPic':'delete'}";
    let (job, event) = bench.job(config, FIFTY);

    // Sheets and nothing but sheets: in the event, in the lists, on the disk.
    let infos = event["SnapshotInfos"].as_array().unwrap();
    assert_eq!(infos.len(), 1, "{event}");
    assert_eq!(
        (&infos[0]["SnapshotType"], &infos[0]["SnapshotCount"]),
        (&json!("SpriteSnapshot"), &json!(2))
    );
    assert_eq!(event["SnapshotCount"], 2, "{event}");
    let normal = [("VideoId", &*bench.video), ("SnapshotType", "NormalSnapshot")];
    let normal = bench.daemon.call("ListSnapshots", &normal);
    assert_eq!((normal.status, &*normal.code()), (404, "NoSuchResource"));
    let sheet = |n: u32| format!("{}/snapshots/sprite/{job}-{n:05}.jpg", bench.video);
    assert_eq!(files(&bench.daemon.data().join("objects")), [sheet(1), sheet(2)]);
    let detail = bench.daemon.must("GetJobDetail", &[("JobId", &job), ("JobType", "snapshot")]);
    let told = &detail["SnapshotJobDetail"]["Stillframe"];
    assert_eq!((&told["asked"], &told["delivered"]), (&json!(50), &json!(50)), "{told}");
    assert!(told["pictures"].as_array().unwrap().iter().all(|one| one.get("file").is_none()), "{told}");
    let config = detail["SnapshotJobDetail"]["SpriteConfig"].as_str().unwrap();
    let config: Value = serde_json::from_str(config).unwrap();
    assert_eq!(
        (&config["cols"], &config["lines"], &config["ikcp"]),
        (&json!("3"), &json!("10"), &json!("false"))
    );

    let sheets = bench.images("SpriteSnapshot");
    assert_eq!(sheets.len(), 2);
    let shape =
        Sheet { columns: 3, lines: 10, cell: (48, 32), padding: 5, margin: 9, background: [0, 0, 128] };
    for (sheet, name) in sheets.iter().zip(["sheet-1.jpg", "sheet-2.jpg"]) {
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), sheet).unwrap();
    }
    shape.check(&sheets[0], 0..30);
    shape.check(&sheets[1], 30..50);
}

#[test]
fn kept_cells_are_pictures_of_their_own_size() {
    let mut bench = Bench::new();
    // The other side of a cell comes from the picture's shape, to the nearest even number: 64x42.
    let config = r##"{"CellWidth":64,"Columns":4,"Lines":5,"Padding":0,"Margin":8,"Color":"#102030"}"##;
    let (job, event) = bench.job(config, &[FIFTY, &[("Width", "96"), ("Height", "64")]].concat());
    let infos = event["SnapshotInfos"].as_array().unwrap();
    let told: Vec<_> = infos.iter().map(|info| (&info["SnapshotType"], &info["SnapshotCount"])).collect();
    assert_eq!(told, [(&json!("NormalSnapshot"), &json!(50)), (&json!("SpriteSnapshot"), &json!(3))]);
    assert!(infos.iter().all(|info| info["JobId"] == *job && info["Status"] == "success"), "{event}");
    assert_eq!(files(&bench.daemon.data().join("objects")).len(), 53);

    let sheets = bench.images("SpriteSnapshot");
    let shape =
        Sheet { columns: 4, lines: 5, cell: (64, 42), padding: 0, margin: 8, background: [16, 32, 48] };
    for (index, sheet) in sheets.iter().enumerate() {
        shape.check(sheet, 20 * index..50.min(20 * (index + 1)));
    }
    let pictures = bench.images("NormalSnapshot");
    assert_eq!((sheets.len(), pictures.len()), (3, 50));
    for (second, picture) in pictures.iter().enumerate() {
        let rgb = turbojpeg::decompress(picture, PixelFormat::RGB).unwrap();
        assert_eq!((rgb.width, rgb.height), (96, 64));
        let middle = &rgb.pixels[32 * rgb.pitch + 3 * 48..][..3];
        assert!(middle.iter().zip(color(second)).all(|(a, b)| a.abs_diff(b) <= 5), "{second}: {middle:?}");
    }
}

#[test]
fn an_empty_object_is_every_default_and_past_the_end_is_background() {
    let mut bench = Bench::new();
    // Ten asked, five before the end; the sheet is 10x10 cells of the picture's size on black.
    let points = [("SpecifiedOffsetTime", "45500"), ("Count", "10"), ("Interval", "1"), ("Width", "64")];
    let (_, event) = bench.job("{}", &points);
    assert_eq!((&event["Stillframe"]["delivered"], &event["Stillframe"]["past_end"]), (&json!(5), &json!(5)));
    let sheets = bench.images("SpriteSnapshot");
    assert_eq!(sheets.len(), 1);
    let shape =
        Sheet { columns: 10, lines: 10, cell: (64, 36), padding: 0, margin: 0, background: [0, 0, 0] };
    shape.check(&sheets[0], 45..50);
    // The next job replaces what is listed: its sheet is the only one.
    bench.job(r#"{"Columns":1,"Lines":1}"#, &[("SpecifiedOffsetTime", "7500"), ("Width", "64")]);
    let sheets = bench.images("SpriteSnapshot");
    assert_eq!(sheets.len(), 1);
    let shape = Sheet { columns: 1, lines: 1, ..shape };
    shape.check(&sheets[0], 7..8);
}

#[test]
fn ten_thousand_cells_are_each_in_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = r#"{"CellWidth":32,"CellHeight":18,"Columns":100,"Lines":100,"Padding":1,"Margin":3,
        "Color":"Black","KeepCellPic":"delete"}"#;
    let mut grab = common::stillframe();
    grab.args(["grab", "--json", "--count", "10000", "--sprite", config, "--out"]).arg(folder.path());
    let told = common::json(grab.arg(fifty_colors()));
    assert_eq!((told["sheets"].as_array().map(Vec::len), &told["stats"]["opens"]), (Some(1), &json!(1)));
    // Each of the 250 frames is decoded once and painted forty times.
    assert_eq!(told["stats"]["frames_decoded"], 250);
    let sheet = std::fs::read(folder.path().join("sprite-00001.jpg")).expect("a sheet");
    let shape =
        Sheet { columns: 100, lines: 100, cell: (32, 18), padding: 1, margin: 3, background: [0, 0, 0] };
    shape.check(&sheet, (0..10_000).map(|cell| cell * 5 / 1000));
}
