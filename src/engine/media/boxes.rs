//! Boxes of MP4 and QuickTime files, for what FFmpeg does not tell of them.
//!
//! Owns their headers and two questions. Never reads media, never trusts a length further than the file.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Outermost boxes of a file that are looked at.
const BOXES_MAX: usize = 1_000_000;
/// Boxes inside the index that are looked at: tracks, mostly.
const INDEX_BOXES_MAX: usize = 4_096;

/// One box: its name, where its content begins, where the next box begins.
struct Found {
    name: [u8; 4],
    content: u64,
    next: u64,
}

/// The box that begins at `at`; none where nothing whole is.
fn header(file: &File, at: u64) -> Option<Found> {
    let mut head = [0; 16];
    let have = file.read_at(&mut head, at).ok()?;
    let name: [u8; 4] = head[4..8].try_into().ok()?;
    let (length, content) = match u32::from_be_bytes(head[..4].try_into().ok()?) {
        1 => (u64::from_be_bytes(head[8..].try_into().ok()?), 16),
        length => (u64::from(length), 8),
    };
    if have < 8 || length < 8 {
        return None;
    }
    Some(Found { name, content: at.checked_add(content)?, next: at.checked_add(length)? })
}

/// Where the fragment begins that the file ends in, of a file that has its index and whole boxes before it.
pub fn begun_fragment(file: &File, size: u64) -> Option<u64> {
    let (mut at, mut has_index) = (0u64, false);
    for _ in 0..BOXES_MAX {
        let found = header(file, at)?;
        if found.next > size {
            return (has_index && &found.name == b"moof").then_some(at);
        }
        has_index |= &found.name == b"moov";
        at = found.next;
    }
    None
}

/// The length that the index gives the whole, microseconds; none of a file in fragments, whose index does not know.
/// FFmpeg tells it up to 6.0 and leaves it out from then on.
pub fn movie_length(file: &File) -> Option<i64> {
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        let found = header(file, at)?;
        if &found.name == b"moov" {
            return length_of_index(file, &found);
        }
        at = found.next;
    }
    None
}

fn length_of_index(file: &File, index: &Found) -> Option<i64> {
    let (mut at, mut length) = (index.content, None);
    for _ in 0..INDEX_BOXES_MAX {
        if at >= index.next {
            break;
        }
        let Some(found) = header(file, at) else { break };
        match &found.name {
            b"mvex" => return None,
            b"mvhd" => length = length_of_head(file, found.content),
            _ => {}
        }
        at = found.next;
    }
    length
}

/// A version byte and three of flags, two times, units a second, length: of 32 bits, or the times and the length of 64.
fn length_of_head(file: &File, content: u64) -> Option<i64> {
    let mut head = [0; 32];
    let have = file.read_at(&mut head, content).ok()?;
    let word = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (units, length, unknown) = match head[0] {
        1 => (word(20)?, u64::from(word(24)?) << 32 | u64::from(word(28)?), u64::MAX),
        _ => (word(12)?, u64::from(word(16)?), u64::from(u32::MAX)),
    };
    if have < 20 || length == unknown {
        return None;
    }
    let units = u128::from(units.max(1));
    i64::try_from((u128::from(length) * 1_000_000 + units / 2) / units).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn head(version: u8, units: u32, length: u64) -> Vec<u8> {
        let zeros = if version == 1 { 19 } else { 11 };
        let length = length.to_be_bytes();
        let length = if version == 1 { &length[..] } else { &length[4..] };
        boxed(b"mvhd", &[&[version], &vec![0; zeros][..], &units.to_be_bytes(), length, &[0; 80]].concat())
    }

    #[test]
    fn the_index_tells_the_length() {
        let of =
            |index: &[u8]| movie_length(&file(&[boxed(b"ftyp", b"isom"), boxed(b"moov", index)].concat()));
        assert_eq!(of(&head(0, 1000, 15_040)), Some(15_040_000));
        assert_eq!(of(&head(1, 90_000, 90_000 << 20)), Some(1_000_000 << 20));
        assert_eq!(of(&[boxed(b"udta", b""), head(0, 3, 1)].concat()), Some(333_333));
        // It begins anew with each fragment, is unknown, or is not there.
        assert_eq!(of(&[head(0, 1000, 15_040), boxed(b"mvex", b"")].concat()), None);
        assert_eq!(of(&head(0, 1000, u64::from(u32::MAX))), None);
        assert_eq!(of(&boxed(b"trak", b"")), None);
        assert_eq!(of(&head(0, 1000, 1)[..24]), None);
        assert_eq!(movie_length(&file(b"no box")), None);
    }

    #[test]
    fn a_fragment_that_is_only_begun_is_found() {
        let whole = [boxed(b"moov", b"index"), boxed(b"moof", b""), boxed(b"mdat", b"media")].concat();
        let begun = [&whole[..], &boxed(b"moof", b"more")[..10]].concat();
        assert_eq!(begun_fragment(&file(&begun), begun.len() as u64), Some(whole.len() as u64));
        assert_eq!(begun_fragment(&file(&whole), whole.len() as u64), None);
        let without = &begun[13..];
        assert_eq!(begun_fragment(&file(without), without.len() as u64), None);
    }
}
