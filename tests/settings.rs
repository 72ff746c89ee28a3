//! Settings are one checked value: flags over environment over file over defaults, unknown keys refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stillframe::service::settings::{Choice, DEFAULT_FILE, Flags, Settings};

fn load(file: Option<&str>, variables: &[(&str, &str)], flags: Flags) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stillframe.toml");
    let config = file.map(|text| {
        std::fs::write(&path, text).expect("a file");
        path.clone()
    });
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(&Flags { config, ..flags }, variables).map_err(|error| error.to_string())
}

fn refused(file: Option<&str>, variables: &[(&str, &str)], needles: &[&str]) {
    let error = load(file, variables, Flags::default()).expect_err("must be refused");
    for needle in needles {
        assert!(error.contains(needle), "{error:?} does not say {needle:?}");
    }
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let settings = load(None, &[], Flags::default()).expect("defaults are valid");
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:7480");
    assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:7481");
    assert_eq!(settings.data, std::env::current_dir().expect("a folder").join("stillframe-data"));
    assert_eq!(settings.media_roots, Vec::<PathBuf>::new());
    assert_eq!(settings.api.public_base_url, None);
    assert_eq!(settings.api.clock_window, Duration::from_secs(15 * 60));
    assert_eq!(settings.api.submit_per_second, 30);
    assert_eq!(settings.capture.jpeg_quality, 85);
    assert_eq!(settings.capture.count_max, 1000);
    assert_eq!(settings.worker.run_cpu, Duration::from_secs(30));
    assert_eq!(settings.worker.no_progress, Duration::from_secs(60));
    assert_eq!(settings.worker.time_slice, Duration::from_secs(5));
    assert_eq!(settings.callbacks.timeout, Duration::from_secs(5));
    assert_eq!(settings.callbacks.fast_attempts, 3);
    assert_eq!(settings.callbacks.fast_retry, Duration::from_secs(1));
    let minutes: Vec<u64> = settings.callbacks.slow_retries.iter().map(|wait| wait.as_secs() / 60).collect();
    assert_eq!(minutes, [5, 30, 120, 300, 600, 1440, 1440]);
    assert!(settings.slots() >= 1);
}

#[test]
fn the_shipped_file_means_the_defaults() {
    let shipped = load(Some(DEFAULT_FILE), &[], Flags::default()).expect("the shipped file is valid");
    assert_eq!(shipped, load(None, &[], Flags::default()).expect("defaults are valid"));
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = "[api]\nlisten = \"127.0.0.1:1\"\nsubmit_per_second = 1\n[admin]\nlisten = \"127.0.0.1:2\"\n\
                [media]\nroots = [\"/from/file\"]\n[storage]\ndata = \"/data/file\"\n";
    let variables = [
        ("STILLFRAME_API_LISTEN", "127.0.0.1:11"),
        ("STILLFRAME_ADMIN_LISTEN", "127.0.0.1:12"),
        ("STILLFRAME_MEDIA_ROOTS", "/from/a, /from/b"),
        ("STATE_DIRECTORY", "/var/lib/stillframe"),
    ];
    let of_file = load(Some(file), &[], Flags::default()).expect("valid");
    assert_eq!((of_file.api.listen.port(), of_file.api.submit_per_second), (1, 1));
    assert_eq!(of_file.data, Path::new("/data/file"));
    let of_variables = load(Some(file), &variables, Flags::default()).expect("valid");
    assert_eq!((of_variables.api.listen.port(), of_variables.admin_listen.port()), (11, 12));
    assert_eq!(of_variables.api.submit_per_second, 1, "the file stays where nothing wins over it");
    assert_eq!(of_variables.media_roots, [PathBuf::from("/from/a"), PathBuf::from("/from/b")]);
    let flags = Flags {
        data: Some("/data/flag".into()),
        media_roots: vec!["/from/flag".into()],
        listen: "127.0.0.1:21".parse().ok(),
        admin: "127.0.0.1:22".parse().ok(),
        config: None,
    };
    let of_flags = load(Some(file), &variables, flags).expect("valid");
    assert_eq!((of_flags.api.listen.port(), of_flags.admin_listen.port()), (21, 22));
    assert_eq!(of_flags.data, Path::new("/data/flag"));
    assert_eq!(of_flags.media_roots, [PathBuf::from("/from/flag")]);
}

#[test]
fn the_data_folder_is_the_state_directory_of_the_unit() {
    let of = |value: &str| load(None, &[("STATE_DIRECTORY", value)], Flags::default()).expect("valid").data;
    assert_eq!(of("/var/lib/stillframe"), Path::new("/var/lib/stillframe"));
    assert_eq!(of("/var/lib/one:/var/lib/two"), Path::new("/var/lib/one"));
    assert_eq!(of(""), std::env::current_dir().expect("a folder").join("stillframe-data"));
}

#[test]
fn variables_have_the_type_of_their_key() {
    let variables = [
        ("STILLFRAME_CALLBACKS_ALLOW_CIDRS", "127.0.0.0/8,::1/128"),
        ("STILLFRAME_CALLBACKS_SLOW_RETRIES_S", "1.5,2"),
        ("STILLFRAME_LOG_JSON", "true"),
        ("STILLFRAME_WORKER_NO_PROGRESS_S", "0.25"),
        ("STILLFRAME_WORKER_SLOTS", "7"),
        ("STILLFRAME_DEVICES_BACKEND", "cuda"),
        ("STILLFRAME_DEVICES_CUDA", "0, 2"),
        ("STILLFRAME_DEVICES_VAAPI", "/dev/dri/renderD128"),
        ("STILLFRAME_DEVICES_NO_PROGRESS_S", "0.5"),
        ("STILLFRAME_ACCESS_KEY_ID", "none of these settings"),
    ];
    let settings = load(None, &variables, Flags::default()).expect("valid");
    assert_eq!(settings.callbacks.allow_cidrs.len(), 2);
    assert_eq!(settings.callbacks.slow_retries, [Duration::from_millis(1500), Duration::from_secs(2)]);
    assert!(settings.log.json);
    assert_eq!(settings.worker.no_progress, Duration::from_millis(250));
    assert_eq!(settings.slots(), 7);
    assert_eq!(settings.devices.choice, Choice::Cuda);
    let named: Vec<String> = settings.devices.named.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["cuda:0", "cuda:2", "vaapi:/dev/dri/renderD128"]);
    assert_eq!(settings.devices.no_progress, Duration::from_millis(500));
}

#[test]
fn vod_alone_has_no_slow_schedule() {
    let settings = load(Some("[callbacks]\nretry = \"vod\"\n"), &[], Flags::default()).expect("valid");
    assert_eq!(settings.callbacks.slow_retries, Vec::<Duration>::new());
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    refused(Some("[api]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n"), &[], &["line 3", "column 1", "lissten"]);
    refused(Some("[nothing]\n"), &[], &["line 1", "nothing"]);
    refused(Some("[api]\nlisten = 4\n"), &[], &["line 2"]);
    refused(Some("[api\n"), &[], &["line 1"]);
    refused(Some("[callbacks]\nretry = \"never\"\n"), &[], &["line 2", "never"]);
    refused(Some("[capture]\njpeg_quality = 101\n"), &[], &["capture.jpeg_quality", "101"]);
    refused(Some("[worker]\nrun_cpu_s = 0\n"), &[], &["worker.run_cpu_s"]);
    refused(Some("[worker]\nrun_cpu_s = -1.0\n"), &[], &["worker.run_cpu_s"]);
    refused(Some("[worker]\nrun_cpu_s = nan\n"), &[], &["worker.run_cpu_s"]);
    refused(Some("[api]\npublic_base_url = \"ftp://host\"\n"), &[], &["api.public_base_url"]);
    refused(Some("[callbacks]\nallow_cidrs = [\"10.0.0.0/40\"]\n"), &[], &["callbacks.allow_cidrs", "/40"]);
    refused(Some("[log]\nfilter = \"stillframe=loud=x\"\n"), &[], &["log.filter"]);
    refused(None, &[("STILLFRAME_API_LISTEM", "x")], &["STILLFRAME_API_LISTEM", "listem"]);
    refused(None, &[("STILLFRAME_API_LISTEN", "nowhere")], &["STILLFRAME_API_LISTEN"]);
    refused(None, &[("STILLFRAME_WORKER_SLOTS", "two")], &["STILLFRAME_WORKER_SLOTS", "two"]);
    refused(None, &[("STILLFRAME_DEVICES_CUDA", "0,first")], &["STILLFRAME_DEVICES_CUDA"]);
    refused(Some("[devices]\nbackend = \"gpu\"\n"), &[], &["line 2", "gpu"]);
    refused(Some("[devices]\ncuda = [-1]\n"), &[], &["line 2"]);
    refused(Some("[devices]\ncuda = [1, 1]\n"), &[], &["devices.cuda", "twice"]);
    refused(Some("[devices]\nvaapi = [\"renderD128\"]\n"), &[], &["devices.vaapi", "renderD128"]);
    refused(Some("[devices]\nhelpers = 0\n"), &[], &["devices.helpers"]);
    refused(Some("[devices]\nretry_s = 9.0\nretry_max_s = 8.0\n"), &[], &["devices.retry_max_s"]);
}

#[test]
fn a_reload_keeps_what_needs_a_restart_and_says_so() {
    let old = load(None, &[], Flags::default()).expect("valid");
    let changed = "[api]\nlisten = \"127.0.0.1:9\"\nsubmit_per_second = 5\n[log]\nfilter = \"debug\"\n";
    let new = load(Some(changed), &[], Flags::default()).expect("valid");
    let (now, restart) = old.reloaded(new);
    assert_eq!(restart, ["api.listen"]);
    assert_eq!(now.api.listen, old.api.listen);
    assert_eq!((now.api.submit_per_second, now.log.filter.as_str()), (5, "debug"));
    let other = load(Some("[devices]\nbackend = \"cpu\"\n"), &[], Flags::default()).expect("valid");
    let (now, restart) = old.reloaded(other);
    assert_eq!((now.devices, restart), (old.devices, vec!["devices"]));
}
