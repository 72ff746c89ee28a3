//! What a test wants of the double, and what the double tells the test.
//!
//! Owns the grammar of the control file, the count of calls and the log. Never keeps a descriptor open: the process that
//! it is loaded into may close or hand on what it has.
//!
//! The folder of the library holds both files: `control`, read again at each call, and `log`, one line a call.
//! `control` has one entry a line, `#` begins a comment:
//!
//! - `NAME[@N[+]]=ACTION`: what becomes of the Nth call of that name in a process (`+`: and of all after it; without
//!   `@`: of each). The action is a code, `sticky:CODE`, `sleep:MILLISECONDS`, `hang`, `crash` or `wrong`.
//! - anything else with a `=` is a setting.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The call returns this code and does nothing.
    Code(i32),
    /// As `Code`, and every later call of the process returns it too.
    Sticky(i32),
    /// The call takes that long, then does its work.
    Sleep(u64),
    Hang,
    Crash,
    /// The call succeeds and what it gives is wrong.
    Wrong,
}

/// The control file as it is at this moment.
#[derive(Default)]
pub struct Control {
    faults: Vec<(String, u64, bool, Action)>,
    settings: BTreeMap<String, String>,
}

impl Control {
    pub fn read() -> Self {
        let text = std::fs::read_to_string(folder().join("control")).unwrap_or_default();
        let mut control = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some((left, right)) = line.split_once('=') else { continue };
            let (left, right) = (left.trim(), right.trim());
            match action(right) {
                Some(action) if names_a_call(left) => {
                    let (name, when) = left.split_once('@').unwrap_or((left, "1+"));
                    let open = when.ends_with('+');
                    let n = when.trim_end_matches('+').parse().unwrap_or(1);
                    control.faults.push((plain(name).to_owned(), n, open, action));
                }
                _ => {
                    control.settings.insert(left.to_owned(), right.to_owned());
                }
            }
        }
        control
    }

    /// The first entry that fits decides.
    pub fn action(&self, name: &str, n: u64) -> Option<Action> {
        let fits = |(wanted, first, open, _): &&(String, u64, bool, Action)| {
            wanted == name && (n == *first || (*open && n > *first))
        };
        self.faults.iter().find(fits).map(|fault| fault.3)
    }

    pub fn text(&self, setting: &str) -> Option<&str> {
        self.settings.get(setting).map(String::as_str)
    }

    pub fn number(&self, setting: &str) -> Option<u64> {
        self.text(setting)?.parse().ok()
    }

    /// `otherwise` where the file does not say it.
    pub fn flag(&self, setting: &str, otherwise: bool) -> bool {
        self.text(setting).map_or(otherwise, |text| text != "0")
    }
}

// Calls begin with a capital once their prefix is gone, settings never do.
fn names_a_call(left: &str) -> bool {
    plain(left).starts_with(|first: char| first.is_ascii_uppercase())
}

/// `cuvidMapVideoFrame64`, `cuMemAlloc_v2` and `vaSyncSurface` as the log and the control file name them.
pub fn plain(name: &str) -> &str {
    let rest = ["cuvid", "cu", "va"].iter().find_map(|prefix| {
        name.strip_prefix(prefix).filter(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()))
    });
    let rest = rest.unwrap_or(name);
    rest.strip_suffix("_v2").or_else(|| rest.strip_suffix("64")).unwrap_or(rest)
}

fn action(text: &str) -> Option<Action> {
    match text {
        "hang" => Some(Action::Hang),
        "crash" => Some(Action::Crash),
        "wrong" => Some(Action::Wrong),
        _ => match text.split_once(':') {
            Some(("sticky", code)) => code.parse().ok().map(Action::Sticky),
            Some(("sleep", time)) => time.parse().ok().map(Action::Sleep),
            Some(_) => None,
            None => text.parse().ok().map(Action::Code),
        },
    }
}

/// Counts a call and does what takes its time or never comes back; the rest is the caller's to carry out.
pub fn enter(name: &'static str, control: &Control) -> Option<Action> {
    static CALLS: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());
    let n = {
        let mut calls = CALLS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let n = calls.entry(name).or_default();
        *n += 1;
        *n
    };
    match control.action(name, n)? {
        Action::Sleep(milliseconds) => {
            log(name, "sleeps", milliseconds);
            std::thread::sleep(Duration::from_millis(milliseconds));
            None
        }
        Action::Hang => {
            log(name, "hangs", n);
            loop {
                std::thread::park();
            }
        }
        Action::Crash => {
            log(name, "crashes", n);
            // SAFETY: none; to be killed by SIGSEGV is what it is for.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(0) };
            None
        }
        other => Some(other),
    }
}

/// One line: the process, the call, what it returned, and what else there is to say.
pub fn log(name: &str, result: impl Display, detail: impl Display) {
    let line = format!("{} {name} {result} {detail}\n", std::process::id());
    let path = folder().join("log");
    // A test that took its folder away does not read the log any more.
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// Where the library was loaded from.
pub fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        #[repr(C)]
        struct Info {
            file: *const std::ffi::c_char,
            base: *mut std::ffi::c_void,
            symbol: *const std::ffi::c_char,
            address: *mut std::ffi::c_void,
        }
        unsafe extern "C" {
            fn dladdr(address: *const std::ffi::c_void, info: *mut Info) -> std::ffi::c_int;
        }
        let mut info = std::mem::MaybeUninit::<Info>::zeroed();
        // SAFETY: the address is one of this library, the result has its declared layout.
        let found = unsafe { dladdr(folder as *const std::ffi::c_void, info.as_mut_ptr()) };
        assert!(found != 0, "the loader does not know this library");
        // SAFETY: zeroed, and filled where `found`; the name lives as long as the library.
        let file = unsafe { std::ffi::CStr::from_ptr(info.assume_init().file) };
        let path = std::path::Path::new(std::ffi::OsStr::new(file.to_str().unwrap_or_default()));
        path.parent().map(std::path::Path::to_path_buf).unwrap_or_default()
    })
}
