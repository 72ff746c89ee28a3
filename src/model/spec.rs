//! What to capture, validated and independent of any medium. *Pure.*
//!
//! Owns the shape of a wish: instants, sizes, sprite sheets. Never knows a duration; the engine
//! resolves a spec against the medium (`engine/capture/points`).

/// One job's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSpec {
    pub points: Points,
    pub size: AskedSize,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    pub frame_type: FrameType,
    /// A frame that begins at most so long before or after an instant may serve it, if it is cheaper.
    pub tolerance_ms: u32,
    pub sprite: Option<SpriteSpec>,
    /// True when each picture is delivered as an image of its own (not `KeepCellPic=delete`).
    pub keep_pictures: bool,
    /// True when the MD5 of each decoded frame is wanted too.
    pub frame_md5: bool,
}

impl SnapshotSpec {
    /// Pictures at these instants and nothing else asked: display size, quality 85, the frame of the instant.
    pub fn of(points: Points) -> SnapshotSpec {
        SnapshotSpec {
            points,
            size: AskedSize::default(),
            quality: 85,
            frame_type: FrameType::Normal,
            tolerance_ms: 0,
            sprite: None,
            keep_pictures: true,
            frame_md5: false,
        }
    }
}

/// The instants, in asked order. All times are milliseconds on the player's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Points {
    /// Explicit instants, order and duplicates kept.
    List(Vec<i64>),
    /// `count` instants `interval_ms` apart, from `offset_ms` on.
    Every { offset_ms: i64, count: u32, interval_ms: i64 },
    /// `count` instants spread over the duration: offset + floor(k x D / count).
    Even { offset_ms: i64, count: u32 },
    /// From `offset_ms` to the end, `interval_ms` apart, at most `most` of them.
    ToEnd { offset_ms: i64, interval_ms: i64, most: u32 },
    /// No instants: a probe.
    None,
}

/// The asked size in pixels after rotation; a missing side is derived, both missing is the display size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AskedSize {
    pub width: Option<u32>,
    pub height: Option<u32>,
}

/// Which frame serves an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameType {
    /// The frame displayed at the instant.
    #[default]
    Normal,
    /// The nearest key frame at or before it.
    Intra,
}

/// Sprite sheets of one job (API contract, 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpriteSpec {
    /// Cell size; missing sides come from the picture's size and shape.
    pub cell: AskedSize,
    pub columns: u32,
    pub lines: u32,
    /// Pixels between cells.
    pub padding: u32,
    /// Pixels around the grid.
    pub margin: u32,
    /// Background, R G B.
    pub color: [u8; 3],
}
