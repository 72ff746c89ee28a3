//! What a picture shows: looked up by its key in tables that were made with the software decoder.
//!
//! Owns the table's format and the layout of a mapped picture. Never guesses: a picture that no table knows becomes a
//! checkerboard and a line in the log.
//!
//! `tables`, beside the library, names the tables, one path a line. A table is a text: first `WIDTH HEIGHT DEPTH`, then
//! one line a key, `KEY BYTES PLACE`: the place counts the pictures in the file of the same name that ends in `.yuv`,
//! planar 4:2:0, one byte a sample at depth 8 and two above.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use crate::control::{self, Control};

/// What the last picture in a surface was; all zero before the first.
#[derive(Clone, Copy, Default)]
pub struct Surface {
    pub key: u64,
    /// Of the bitstream alone.
    pub bytes: u64,
    /// The device made a mistake in it.
    pub wrong: bool,
}

/// What the codecs are called in keys, whatever the interface: a table serves both.
pub mod codec {
    // Not each interface names each of them.
    #![allow(dead_code)]

    pub const MPEG2: u32 = 1;
    pub const MPEG4: u32 = 2;
    pub const H264: u32 = 4;
    pub const HEVC: u32 = 8;
    pub const VP9: u32 = 10;
    pub const AV1: u32 = 11;
}

/// Of a decoder's pictures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub width: usize,
    pub height: usize,
    pub depth: u32,
}

impl Shape {
    fn sample(self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// Bytes from one row to the next.
    pub fn pitch(self) -> usize {
        (self.width.next_multiple_of(2) * self.sample()).next_multiple_of(512)
    }

    /// Of a picture as it is mapped.
    pub fn bytes(self) -> usize {
        self.pitch() * (self.height + self.height.div_ceil(2))
    }

    /// Of a picture in a table.
    fn planar(self) -> usize {
        (self.width * self.height + 2 * self.width.div_ceil(2) * self.height.div_ceil(2)) * self.sample()
    }
}

/// FNV-1a.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(mix(0xcbf2_9ce4_8422_2325, seed), step)
}

fn mix(hash: u64, other: u64) -> u64 {
    let mixed = (hash ^ other.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[derive(Default)]
struct Tables {
    listed: Option<SystemTime>,
    shapes: Vec<(PathBuf, Shape)>,
    /// Key to the table and the picture's place in it.
    pictures: BTreeMap<u64, (usize, u64)>,
    /// Hash of the bitstream alone to a key and its picture; `None` where there are several pictures.
    by_bytes: BTreeMap<u64, Option<(u64, (usize, u64))>>,
}

static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

impl Tables {
    /// Loads what the list names, if the list has changed since.
    fn refresh(&mut self) {
        let list = control::folder().join("tables");
        let changed = std::fs::metadata(&list).and_then(|meta| meta.modified()).ok();
        if changed == self.listed {
            return;
        }
        *self = Self { listed: changed, ..Self::default() };
        for path in std::fs::read_to_string(&list).unwrap_or_default().lines() {
            if self.load(Path::new(path)).is_none() {
                control::log("table", "unreadable", path);
            }
        }
    }

    fn load(&mut self, path: &Path) -> Option<()> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let mut head = lines.next()?.split(' ').map(|word| word.parse::<usize>().ok());
        let (width, height, depth) = (head.next()??, head.next()??, head.next()??);
        let shape = Shape { width, height, depth: u32::try_from(depth).ok()? };
        let table = self.shapes.len();
        self.shapes.push((path.with_extension("yuv"), shape));
        for line in lines {
            let mut words = line.split(' ');
            let mut hash = || u64::from_str_radix(words.next()?, 16).ok();
            let (key, bytes) = (hash()?, hash()?);
            let place = words.next()?.parse().ok()?;
            self.pictures.entry(key).or_insert((table, place));
            let one = self.by_bytes.entry(bytes).or_insert(Some((key, (table, place))));
            // Several keys of one picture are no contradiction.
            if one.is_some_and(|(_, same)| same != (table, place)) {
                *one = None;
            }
        }
        Some(())
    }

    fn planar(&self, key: u64, shape: Shape) -> Option<Vec<u8>> {
        let (table, place) = self.pictures.get(&key)?;
        let (path, stored) = &self.shapes[*table];
        if *stored != shape {
            return None;
        }
        let mut bytes = vec![0; shape.planar()];
        let start = place * bytes.len() as u64;
        std::fs::File::open(path).ok()?.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes)
    }
}

fn with<T>(look: impl FnOnce(&mut Tables) -> T) -> T {
    let mut tables = TABLES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let tables = tables.get_or_insert_default();
    tables.refresh();
    look(tables)
}

/// What a picture becomes in a surface that held `old`: `bitstream` is all of it, `references` are the keys of what it
/// refers to, `second` says that it is the second field.
pub fn decoded(
    control: &Control,
    seed: u64,
    bitstream: &[u8],
    mut references: Vec<u64>,
    second: Option<Surface>,
    wrong: bool,
) -> Surface {
    let mut bytes = hash(seed, bitstream);
    references.sort_unstable();
    references.dedup();
    let mut key = references.iter().fold(bytes, |key, other| mix(key, *other));
    let mut wrong = wrong;
    if let Some(first) = second {
        key = mix(first.key, key);
        bytes = mix(first.bytes, bytes);
        wrong |= first.wrong;
    }
    Surface { key: settle(control, key, bytes), bytes, wrong }
}

/// What tells a decoder's pictures from those of another kind with the same bytes.
pub fn seed(codec: u32, shape: Shape) -> u64 {
    let Shape { width, height, depth } = shape;
    (u64::from(codec) << 48) ^ (u64::from(depth) << 40) ^ ((width as u64) << 20) ^ height as u64
}

/// The key that a decoded picture goes by: its own, or, unless `strict`, where no table knows that one and only one
/// picture has these bytes, that picture's. So a group that was entered in its middle finds its pictures.
fn settle(control: &Control, key: u64, bytes: u64) -> u64 {
    if control.flag("strict", true) {
        return key;
    }
    with(|tables| match tables.by_bytes.get(&bytes) {
        Some(Some((other, _))) if !tables.pictures.contains_key(&key) => *other,
        _ => key,
    })
}

/// The picture as the device lays it out: NV12, or P010 and its like, the chroma below the luma.
pub fn paint(control: &Control, surface: &Surface, shape: Shape) -> Vec<u8> {
    let mut bytes = right(control, surface, shape);
    if surface.wrong {
        bytes[shape.height / 2 * shape.pitch() + shape.width / 4] ^= 0x40;
    }
    bytes
}

fn right(control: &Control, surface: &Surface, shape: Shape) -> Vec<u8> {
    if control.text("record").is_some() {
        return vec![0x80; shape.bytes()];
    }
    let Some(planar) = with(|tables| tables.planar(surface.key, shape)) else {
        control::log(
            "miss",
            format_args!("{:016x}", surface.key),
            format_args!("bytes={:016x}", surface.bytes),
        );
        return checkerboard(shape);
    };
    let mut out = vec![0; shape.bytes()];
    let (luma, chroma) = planar.split_at(shape.width * shape.height * shape.sample());
    let (width, height) = (shape.width.div_ceil(2), shape.height.div_ceil(2));
    let (blue, red) = chroma.split_at(width * height * shape.sample());
    let (above, below) = out.split_at_mut(shape.pitch() * shape.height);
    let rows = |out: &mut [u8], planes: &[&[u8]], width: usize| {
        let wide = width * shape.sample();
        for (y, row) in out.chunks_exact_mut(shape.pitch()).enumerate() {
            for (n, plane) in planes.iter().enumerate() {
                let samples = &plane[y * wide..(y + 1) * wide];
                let step = planes.len();
                if shape.sample() == 1 {
                    for (x, sample) in samples.iter().enumerate() {
                        row[x * step + n] = *sample;
                    }
                } else {
                    for (x, sample) in samples.chunks_exact(2).enumerate() {
                        let value = u16::from_le_bytes([sample[0], sample[1]]) << (16 - shape.depth);
                        let place = (x * step + n) * 2;
                        row[place..place + 2].copy_from_slice(&value.to_le_bytes());
                    }
                }
            }
        }
    };
    rows(above, &[luma], shape.width);
    rows(below, &[blue, red], width);
    out
}

fn checkerboard(shape: Shape) -> Vec<u8> {
    let pitch = shape.pitch();
    let field = |at: usize| if (at / pitch / 16 + at % pitch / 16).is_multiple_of(2) { 0x10 } else { 0xeb };
    (0..shape.bytes()).map(field).collect()
}

/// While a table is made: one line a mapped picture, in the order in which they are output.
pub fn record(control: &Control, surface: &Surface, shape: Shape) {
    let Some(path) = control.text("record") else { return };
    let Shape { width, height, depth } = shape;
    let line = format!("{:016x} {:016x} {width} {height} {depth}\n", surface.key, surface.bytes);
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
