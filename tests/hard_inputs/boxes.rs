//! The boxes of an MP4 file, as far as the rows have to change some.
//!
//! Owns how a box is found and how one grows. Never checks a file.

/// Where a box is.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its first byte.
    pub start: usize,
    /// Behind its size and name.
    pub body: usize,
    pub end: usize,
}

/// The boxes inside `from..to`, with their names.
pub fn inside(bytes: &[u8], from: usize, to: usize) -> Vec<([u8; 4], Found)> {
    let mut found = Vec::new();
    let mut start = from;
    while start + 8 <= to {
        let size = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
        assert!(size >= 8 && start + size <= to, "a box of {size} bytes at {start}");
        let name = bytes[start + 4..start + 8].try_into().unwrap();
        found.push((name, Found { start, body: start + 8, end: start + size }));
        start += size;
    }
    found
}

/// The first box at the end of a path.
pub fn path(bytes: &[u8], names: &[&str]) -> Option<Found> {
    all(bytes, names).last().copied()
}

/// Every box on a path, the outermost first.
pub fn all(bytes: &[u8], names: &[&str]) -> Vec<Found> {
    let (mut from, mut to) = (0, bytes.len());
    let mut boxes = Vec::new();
    for name in names {
        let here = inside(bytes, from, to).into_iter().find(|(found, _)| found == name.as_bytes());
        let Some((_, found)) = here else { return Vec::new() };
        boxes.push(found);
        // A sample description has a head of its own, a video entry in it another one.
        let head = match *name {
            "stsd" => 8,
            "hev1" | "hvc1" | "avc1" => 78,
            _ => 0,
        };
        (from, to) = (found.body + head, found.end);
    }
    boxes
}

/// Puts bytes at the end of the innermost box; all around it grow. What lies behind must not be pointed at.
pub fn append(bytes: &mut Vec<u8>, names: &[&str], more: &[u8]) {
    let boxes = all(bytes, names);
    let innermost = boxes.last().unwrap_or_else(|| panic!("no {names:?}"));
    let end = innermost.end;
    for found in &boxes {
        let size = (found.end - found.start + more.len()) as u32;
        bytes[found.start..found.start + 4].copy_from_slice(&size.to_be_bytes());
    }
    bytes.splice(end..end, more.iter().copied());
}
