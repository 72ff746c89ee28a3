//! What a double wrote down: one line a call, of every process that loaded it.
//!
//! Owns the reading of the log. Never waits: a process that still runs has not said all.

use std::collections::BTreeMap;
use std::path::Path;

/// `PID NAME RESULT DETAIL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub pid: u32,
    /// Of the call without its prefix and suffix (`MapVideoFrame`), or `miss`, `alive`, `exit`, `table`.
    pub name: String,
    /// The code it returned; a word for what is no call.
    pub result: String,
    pub detail: String,
}

/// Every line so far, in the order of writing.
pub fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Entry { pid: word().parse().unwrap_or(0), name: word(), result: word(), detail: word() }
    };
    text.lines().map(entry).collect()
}

/// How often a call was made, whatever it returned.
pub fn calls(entries: &[Entry], name: &str) -> usize {
    entries.iter().filter(|entry| entry.name == name && entry.result.parse::<i32>().is_ok()).count()
}

/// What each process had left alive when it last destroyed a context or ended: one line for each that left anything.
pub fn leaks(entries: &[Entry]) -> Vec<String> {
    let mut last: BTreeMap<u32, &Entry> = BTreeMap::new();
    let last_words = entries.iter().filter(|entry| entry.name == "alive" || entry.name == "exit");
    last.extend(last_words.map(|entry| (entry.pid, entry)));
    let leaves = |entry: &&&Entry| entry.detail.split(' ').any(|word| !word.ends_with("=0"));
    last.values().filter(leaves).map(|e| format!("{} {}: {}", e.pid, e.name, e.detail)).collect()
}

/// The most decoders (or whatever `made` makes and `gone` takes away) that lived at once, over all processes. One that
/// was killed with its process counts as living on.
pub fn most_at_once(entries: &[Entry], made: &str, gone: &str) -> usize {
    let mut living = 0_usize;
    let mut most = 0;
    for entry in entries.iter().filter(|entry| entry.result == "0") {
        if entry.name == made {
            living += 1;
            most = most.max(living);
        } else if entry.name == gone {
            living = living.saturating_sub(1);
        }
    }
    most
}
