//! The systemd unit: systemd reads it without a complaint and finds it closed.
//!
//! Owns the two checks that need no running systemd. Never installs or starts the unit.

use std::path::Path;
use std::process::Command;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/stillframe.service");

/// `systemd-analyze ...`; none where it is not installed.
fn analyze(arguments: &[&str]) -> Option<std::process::Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not run: systemd-analyze is not installed");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

/// The unit with the built program in the place of /usr/bin/stillframe, which need not be installed here.
fn unit(folder: &Path) -> String {
    let text = std::fs::read_to_string(UNIT).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/stillframe serve "), "{text}");
    let text = text.replace("/usr/bin/stillframe", env!("CARGO_BIN_EXE_stillframe"));
    let path = folder.join("stillframe.service");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_unit_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    // The manual page is installed by a package, not by a build.
    let Some(output) = analyze(&["verify", "--man=no", &unit(folder.path())]) else { return };
    let complaints: String = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.contains("stillframe"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(output.status.success() && complaints.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_unit_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    // The threshold is ten times the exposure: 1.5 for the unit without a device.
    let arguments = ["security", "--offline=true", "--threshold=15", "--no-pager", &unit(folder.path())];
    let Some(output) = analyze(&arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
