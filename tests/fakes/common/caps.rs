//! What the double says it can decode.
//!
//! Owns the rows of a data centre card of the Hopper kind, and how the control file changes them: `caps.codec` is a list
//! that replaces the offer, or, with `+` or `-` in front of each name, adds to it and takes from it; `caps.max` is
//! `WIDTHxHEIGHT` for all. Never offers another chroma than 4:2:0.

use crate::control::Control;

/// One codec at one depth.
#[derive(Clone, Copy)]
pub struct Row {
    name: &'static str,
    codec: u32,
    depth: u32,
    pub max: (u32, u32),
    pub min: (u16, u16),
    offered: bool,
}

const fn row(
    name: &'static str,
    codec: u32,
    depth: u32,
    max: (u32, u32),
    min: (u16, u16),
    offered: bool,
) -> Row {
    Row { name, codec, depth, max, min, offered }
}

const ROWS: &[Row] = &[
    row("mpeg1", 0, 8, (4080, 4080), (48, 16), true),
    row("mpeg2", 1, 8, (4080, 4080), (48, 16), true),
    row("mpeg4", 2, 8, (2032, 2032), (48, 16), true),
    row("vc1", 3, 8, (2032, 2032), (48, 16), true),
    row("h264", 4, 8, (4096, 4096), (48, 16), true),
    row("mjpeg", 5, 8, (32_768, 16_384), (64, 64), true),
    row("hevc", 8, 8, (8192, 8192), (144, 144), true),
    row("hevc-10", 8, 10, (8192, 8192), (144, 144), true),
    row("hevc-12", 8, 12, (8192, 8192), (144, 144), false),
    row("vp8", 9, 8, (4096, 4096), (48, 16), true),
    row("vp9", 10, 8, (8192, 8192), (128, 128), true),
    row("vp9-10", 10, 10, (8192, 8192), (128, 128), true),
    row("vp9-12", 10, 12, (8192, 8192), (128, 128), false),
    row("av1", 11, 8, (8192, 8192), (128, 128), false),
    row("av1-10", 11, 10, (8192, 8192), (128, 128), false),
];

/// The row that offers this, if one does; `chroma` as NVDEC numbers it, 1 is 4:2:0.
pub fn offered(control: &Control, codec: u32, chroma: u32, depth: u32) -> Option<Row> {
    let mut row = *ROWS.iter().find(|row| row.codec == codec && row.depth == depth && chroma == 1)?;
    if let Some(list) = control.text("caps.codec") {
        let names = || list.split([',', ' ']).filter(|name| !name.is_empty());
        let changes = names().next().is_some_and(|name| name.starts_with(['+', '-']));
        if changes {
            let change = names().filter(|name| &name[1..] == row.name).next_back();
            row.offered = change.map_or(row.offered, |name| name.starts_with('+'));
        } else {
            row.offered = names().any(|name| name == row.name);
        }
    }
    let max = control.text("caps.max").and_then(|text| text.split_once('x'));
    if let Some((Ok(width), Ok(height))) = max.map(|(width, height)| (width.parse(), height.parse())) {
        row.max = (width, height);
    }
    row.offered.then_some(row)
}

/// As the table and the log name a codec at a depth.
pub fn name(codec: u32, depth: u32) -> &'static str {
    ROWS.iter().find(|row| row.codec == codec && row.depth == depth).map_or("unknown", |row| row.name)
}
