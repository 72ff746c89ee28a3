//! The systemd unit, alone and with each drop-in: systemd reads it without a complaint and finds it closed.
//!
//! Owns the two checks that need no running systemd. Never installs or starts the unit.

use std::path::Path;
use std::process::Command;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/stillframe.service");
const DROP_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/drop-ins");

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

/// What each drop-in opens, and the exposure that it may come to, times ten. None is the unit alone.
const VARIANTS: [(Option<&str>, u32); 4] =
    [(None, 15), (Some("cpu-only"), 15), (Some("cuda"), 20), (Some("vaapi"), 20)];

/// The unit with the built program in the place of /usr/bin/stillframe, which need not be installed here.
fn unit(folder: &Path, drop_in: Option<&str>) -> String {
    let text = std::fs::read_to_string(UNIT).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/stillframe serve "), "{text}");
    let text = text.replace("/usr/bin/stillframe", env!("CARGO_BIN_EXE_stillframe"));
    let path = folder.join("stillframe.service");
    std::fs::write(&path, text).unwrap();
    if let Some(name) = drop_in {
        let beside = folder.join("stillframe.service.d");
        std::fs::create_dir(&beside).unwrap();
        std::fs::copy(Path::new(DROP_INS).join(format!("{name}.conf")), beside.join("device.conf")).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_unit_is_understood() {
    for (drop_in, _) in VARIANTS {
        let folder = tempfile::tempdir().unwrap();
        // The manual page is installed by a package, not by a build.
        let Some(output) = analyze(&["verify", "--man=no", &unit(folder.path(), drop_in)]) else { return };
        let complaints: String = String::from_utf8_lossy(&output.stderr)
            .lines()
            // The helper of NVIDIA's driver need not be there, and its line says so with a minus.
            .filter(|line| line.contains("stillframe") && !line.contains("nvidia-modprobe is not executable"))
            .map(|line| format!("{line}\n"))
            .collect();
        let well = output.status.success() && complaints.is_empty();
        assert!(well, "{drop_in:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_unit_is_closed() {
    for (drop_in, most) in VARIANTS {
        let folder = tempfile::tempdir().unwrap();
        let (path, threshold) = (unit(folder.path(), drop_in), format!("--threshold={most}"));
        let Some(output) = analyze(&["security", "--offline=true", &threshold, "--no-pager", &path]) else {
            return;
        };
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{drop_in:?}: {told}");
        // Proof that the drop-in was read at all.
        let opened = told.lines().find(|line| line.contains("DeviceAllow=")).unwrap_or_default();
        let wanted = [(Some("cuda"), "char-nvidia-uvm:rw"), (Some("vaapi"), "char-drm:rw")];
        for (name, device) in wanted {
            assert_eq!(opened.contains(device), drop_in == name, "{drop_in:?}: {opened}");
        }
    }
}

#[test]
fn every_drop_in_is_checked() {
    let mut there: Vec<String> = std::fs::read_dir(DROP_INS)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let checked: Vec<String> =
        VARIANTS.iter().filter_map(|(name, _)| name.map(|name| format!("{name}.conf"))).collect();
    assert_eq!(there, checked);
}
