//! Media roots: what lies outside is never opened, and what is no regular file is refused at once.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode};
use stillframe::model::job::{FailCode, Source};
use stillframe::service::objects::MediaRoots;

struct Bench {
    // Removes the folder at the end.
    folder: tempfile::TempDir,
    roots: MediaRoots,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("media/sub")).expect("a folder");
        fs::write(folder.path().join("secret.mp4"), "secret").expect("written");
        fs::write(folder.path().join("media/a.mp4"), "video a").expect("written");
        let roots = MediaRoots::new(&[folder.path().join("media")]).expect("roots");
        Bench { folder, roots }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("media").join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}/media/{name}", self.folder.path().display())
    }

    fn refused(&self, name: &str) -> FailCode {
        let path = self.path(name);
        let failure = self.roots.open(&path).expect_err(name);
        assert!(failure.text.len() < 400, "{}", failure.text.len());
        failure.code
    }

    fn text(&self, path: &Path) -> String {
        let opened = self.roots.open(path).expect("opened");
        let Source::Fd(fd) = opened.source;
        let mut text = String::new();
        fs::File::from(fd).read_to_string(&mut text).expect("read");
        text
    }
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let bench = Bench::new();
    fs::write(bench.path("empty.mp4"), "").expect("written");
    rustix::fs::mkfifoat(CWD, bench.path("fifo.mp4"), Mode::from_raw_mode(0o644)).expect("a FIFO");
    let _socket = UnixListener::bind(bench.path("socket.mp4")).expect("a socket");
    symlink("/dev/zero", bench.path("device.mp4")).expect("a link");
    symlink("/proc/self/fd/0", bench.path("magic.mp4")).expect("a link");
    symlink("loop.mp4", bench.path("loop.mp4")).expect("a link");
    for (name, code) in [
        ("empty.mp4", FailCode::Empty),
        ("fifo.mp4", FailCode::NotAFile),
        ("socket.mp4", FailCode::NotAFile),
        ("sub", FailCode::NotAFile),
        ("", FailCode::NotAFile),
        ("device.mp4", FailCode::NotAFile),
        ("magic.mp4", FailCode::NotAFile),
        ("loop.mp4", FailCode::NotAFile),
        ("missing.mp4", FailCode::NotFound),
        ("a.mp4/b.mp4", FailCode::NotFound),
        (&"x".repeat(300), FailCode::NotFound),
        (&"x/".repeat(3000), FailCode::NotFound),
    ] {
        assert_eq!(bench.refused(name), code, "{name:.20}");
    }
}

#[test]
fn a_device_is_refused_below_its_own_root_too() {
    let roots = MediaRoots::new(&[PathBuf::from("/dev")]).expect("roots");
    assert_eq!(roots.open(Path::new("/dev/zero")).expect_err("a device").code, FailCode::NotAFile);
    assert_eq!(roots.resolve("file:///dev/null").expect_err("a device").code, FailCode::NotAFile);
}

#[test]
fn nothing_leads_out_of_a_root() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret.mp4");
    symlink(&secret, bench.path("absolute.mp4")).expect("a link");
    symlink("../secret.mp4", bench.path("relative.mp4")).expect("a link");
    symlink("..", bench.path("up")).expect("a link");
    symlink(bench.folder.path(), bench.path("out")).expect("a link");
    symlink("missing/../../../secret.mp4", bench.path("sub/bent.mp4")).expect("a link");
    let climbing = ["../secret.mp4", "sub/../../secret.mp4", "sub/../a.mp4"];
    for name in ["absolute.mp4", "relative.mp4", "up/secret.mp4", "out/secret.mp4"].iter().chain(&climbing) {
        assert_eq!(bench.refused(name), FailCode::NotAFile, "{name}");
    }
    assert_eq!(bench.refused("sub/bent.mp4"), FailCode::NotFound);
    // Outside, there or not: the same answer.
    for path in ["/etc/passwd", "/etc/no such file", "a.mp4", ""] {
        assert_eq!(bench.roots.open(Path::new(path)).expect_err(path).code, FailCode::NotAFile, "{path}");
    }
    let sibling = bench.folder.path().join("media-private");
    fs::create_dir(&sibling).expect("a folder");
    fs::write(sibling.join("b.mp4"), "private").expect("written");
    assert_eq!(bench.roots.open(&sibling.join("b.mp4")).expect_err("a sibling").code, FailCode::NotAFile);
    let none = MediaRoots::new(&[]).expect("no roots");
    assert_eq!(none.open(&secret).expect_err("no roots").code, FailCode::NotAFile);
}

#[test]
fn urls_are_decoded_once_and_judged_after_that() {
    let bench = Bench::new();
    let odd = "we%d ird: [x] 'q' ünï?#.mp4";
    fs::write(bench.path(odd), "odd").expect("written");
    fs::write(bench.path("-dash.mp4"), "dash").expect("written");
    let encoded = "we%25d%20ird%3A%20%5Bx%5D%20%27q%27%20%C3%BCn%C3%AF%3F%23.mp4";
    assert_eq!(bench.roots.resolve(&bench.url(encoded)).expect("encoded"), bench.path(odd));
    assert_eq!(bench.roots.resolve(&bench.url("a%2Emp4")).expect("encoded"), bench.path("a.mp4"));
    assert_eq!(bench.roots.resolve(&bench.url("-dash.mp4")).expect("plain"), bench.path("-dash.mp4"));
    let local = bench.url("a.mp4").replace("file://", "file://localhost");
    assert_eq!(bench.roots.resolve(&local).expect("localhost"), bench.path("a.mp4"));
    for (url, code) in [
        (bench.url("%2e%2e/secret.mp4"), FailCode::NotAFile),
        (bench.url("..%2fsecret.mp4"), FailCode::NotAFile),
        (bench.url("%252e%252e/secret.mp4"), FailCode::NotFound),
        (bench.url("a.mp4%00"), FailCode::NotFound),
        (bench.url("a.mp4\0.jpg"), FailCode::NotFound),
        (bench.url(&"y".repeat(4096)), FailCode::NotFound),
        (bench.url("sub"), FailCode::NotAFile),
        (bench.url("%ff.mp4"), FailCode::NotFound),
        ("file:///etc/passwd".to_owned(), FailCode::NotAFile),
        ("file://host/media/a.mp4".to_owned(), FailCode::NotAFile),
        ("http://example.test/a.mp4".to_owned(), FailCode::NotAFile),
        (bench.path("a.mp4").display().to_string(), FailCode::NotAFile),
        (String::new(), FailCode::NotAFile),
    ] {
        assert_eq!(bench.roots.resolve(&url).expect_err(&url).code, code, "{url:.80}");
    }
}

#[test]
fn links_that_stay_beneath_are_followed() {
    let bench = Bench::new();
    symlink("../a.mp4", bench.path("sub/relative.mp4")).expect("a link");
    symlink(bench.path("a.mp4"), bench.path("absolute.mp4")).expect("a link");
    symlink(bench.path("sub"), bench.path("folder")).expect("a link");
    symlink(bench.path("folder/relative.mp4"), bench.path("chain.mp4")).expect("a link");
    fs::hard_link(bench.path("a.mp4"), bench.path("hard.mp4")).expect("a link");
    for name in ["sub/relative.mp4", "absolute.mp4", "folder/relative.mp4", "chain.mp4", "hard.mp4"] {
        assert_eq!(bench.text(&bench.path(name)), "video a", "{name}");
    }
}

#[test]
fn a_root_may_be_given_by_a_link_and_must_be_a_folder() {
    let bench = Bench::new();
    let link = bench.folder.path().join("library");
    symlink(bench.path(""), &link).expect("a link");
    let roots = MediaRoots::new(std::slice::from_ref(&link)).expect("roots");
    let text = |path: &Path| roots.open(path).map(|opened| opened.identity.size);
    assert_eq!(text(&link.join("a.mp4")), Ok(7));
    assert_eq!(text(&bench.path("a.mp4")), Ok(7));
    assert!(MediaRoots::new(&[bench.path("a.mp4")]).is_err());
    assert!(MediaRoots::new(&[bench.path("missing")]).is_err());
}

#[test]
fn a_changed_file_is_told_apart() {
    let bench = Bench::new();
    let path = bench.path("a.mp4");
    let identity = bench.roots.open(&path).expect("opened").identity;
    assert!(bench.roots.unchanged(&path, identity));
    fs::write(bench.path("new.mp4"), "video a").expect("written");
    fs::rename(bench.path("new.mp4"), &path).expect("replaced");
    assert!(!bench.roots.unchanged(&path, identity), "the same bytes in another file");
    let identity = bench.roots.open(&path).expect("opened").identity;
    fs::write(&path, "video a and more").expect("written");
    assert!(!bench.roots.unchanged(&path, identity));
    fs::remove_file(&path).expect("removed");
    assert!(!bench.roots.unchanged(&path, identity));
}
