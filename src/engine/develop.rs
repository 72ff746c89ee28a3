//! From a decoded frame to finished images: once a frame and size, for everyone who asked.
//!
//! Owns the converters, encoders and open sprite sheets of a walk. Never decodes and never plans.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::encode::compose::Sheet;
use super::encode::jpeg::Jpeg;
use super::encode::sprite::SheetLayout;
use super::guard::guarded;
use super::ledger::Ledger;
use super::media::Frame;
use super::media::convert::PictureMaker;
use super::media::geometry::output_size;
use super::media::look::StreamLook;
use super::picture::Picture;
use super::wishes::{Asker, Wishes};
use crate::model::delivery::{Deliver, Message};
use crate::model::job::{FailCode, Failure, Stage, VideoBatch};
use crate::model::media::Backend;
use crate::model::snapshot::{EncodedImage, ImageKind, PointStatus, Shown};
use crate::model::time::{Seconds, TimeBase};

/// A decoded target, told apart from its pixels.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    pub pts: i64,
    /// What one unit of `pts` is, and where time 0 lies on that clock.
    pub time_base: TimeBase,
    pub origin: Seconds,
    /// Display length in units of `pts`.
    pub length: i64,
    pub key_frame: bool,
    pub is_last: bool,
    /// The decoder reported damage in it.
    pub damaged: bool,
    pub frame_md5: Option<[u8; 16]>,
}

/// The darkroom of one walk.
pub struct Develop<'a> {
    batch: &'a VideoBatch,
    look: &'a StreamLook,
    ledger: &'a Ledger<'a>,
    out: &'a dyn Deliver,
    makers: Mutex<Vec<PictureMaker>>,
    encoders: Mutex<Vec<Jpeg>>,
    sheets: Mutex<BTreeMap<(u32, u32), OpenSheet>>,
    cells_per_sheet: Vec<u32>,
    gone: AtomicBool,
    backend: Backend,
}

struct OpenSheet {
    /// Cells that are not painted or given up yet.
    left: u32,
    painted: u32,
    canvas: Option<Sheet>,
}

impl<'a> Develop<'a> {
    /// For the wishes of one walk.
    pub fn new(
        batch: &'a VideoBatch,
        wishes: &Wishes,
        look: &'a StreamLook,
        ledger: &'a Ledger<'a>,
        out: &'a dyn Deliver,
    ) -> Develop<'a> {
        let sheets = wishes
            .cells_to_paint()
            .into_iter()
            .map(|(key, left)| (key, OpenSheet { left, painted: 0, canvas: None }))
            .collect();
        Develop {
            batch,
            look,
            ledger,
            out,
            makers: Mutex::new(Vec::new()),
            encoders: Mutex::new(Vec::new()),
            sheets: Mutex::new(sheets),
            cells_per_sheet: wishes.planned.iter().map(|p| p.cells_per_sheet.max(1)).collect(),
            gone: AtomicBool::new(false),
            backend: Backend::Cpu,
        }
    }

    /// The same, for frames that come from `backend`.
    pub fn of(self, backend: Backend) -> Develop<'a> {
        Develop { backend, ..self }
    }

    /// True once nobody listens any more, or the walk was asked to stop.
    pub fn is_over(&self) -> bool {
        self.is_gone() || self.out.stop_asked()
    }

    /// True once nobody listens any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Hands a message over; a receiver that is gone is remembered.
    pub fn say(&self, message: Message) {
        if self.out.deliver(message).is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Does any of these askers want the frame's MD5?
    pub fn wants_md5(&self, askers: &[Asker]) -> bool {
        askers.iter().any(|a| self.batch.jobs[a.point.job as usize].spec.frame_md5)
    }

    /// Makes and delivers everything that these askers want of the frame.
    pub fn develop(&self, frame: &Frame, exposure: Exposure, askers: &[Asker]) {
        let mut maker = take(&self.makers).unwrap_or_default();
        let mut pictures: HashMap<(u32, u32), Result<Picture, Failure>> = HashMap::new();
        let mut images: HashMap<(u32, u32, u8), Result<Vec<u8>, Failure>> = HashMap::new();
        for asker in askers {
            if self.is_gone() {
                break;
            }
            let serve = || self.serve(frame, exposure, asker, &mut maker, &mut pictures, &mut images);
            let served = guarded(Stage::Convert, serve).unwrap_or_else(|panic| {
                maker = PictureMaker::new();
                Err(panic)
            });
            if let Err(failure) = served {
                self.give_up(asker, failure);
            }
        }
        put(&self.makers, maker);
    }

    fn serve(
        &self,
        frame: &Frame,
        exposure: Exposure,
        asker: &Asker,
        maker: &mut PictureMaker,
        pictures: &mut HashMap<(u32, u32), Result<Picture, Failure>>,
        images: &mut HashMap<(u32, u32, u8), Result<Vec<u8>, Failure>>,
    ) -> Result<(), Failure> {
        let spec = &self.batch.jobs[asker.point.job as usize].spec;
        let display = self.look.display_size(frame.width(), frame.height());
        let size = output_size(display, spec.size);
        let mut make = |size: (u32, u32)| -> Result<(), Failure> {
            let made = pictures
                .entry(size)
                .or_insert_with(|| self.ledger.charge(Stage::Convert, || maker.make(frame, self.look, size)));
            made.as_ref().map(drop).map_err(Clone::clone)
        };
        let layout = match (asker.cell, &spec.sprite) {
            (Some(cell), Some(sprite)) => Some((cell, sprite, SheetLayout::new(sprite, size)?)),
            _ => None,
        };
        // The size told is that of the picture; of the cell when only a cell is made.
        let told = match &layout {
            Some((_, _, layout)) if !asker.picture => (layout.cell_width, layout.cell_height),
            _ => size,
        };
        if asker.picture {
            make(size)?;
        }
        if let Some((_, _, layout)) = &layout {
            make((layout.cell_width, layout.cell_height))?;
        }
        self.say(Message::Shown {
            point: asker.point,
            shown: Shown {
                backend: self.backend,
                ..shown(exposure, asker.asked_ms, spec.tolerance_ms, told)
            },
        });
        if asker.picture {
            let Some(Ok(picture)) = pictures.get(&size) else { return Err(bug("a picture was not made")) };
            let image = images
                .entry((size.0, size.1, spec.quality))
                .or_insert_with(|| self.encode(picture, spec.quality))
                .clone()?;
            self.say(Message::Image(EncodedImage {
                job: asker.point.job,
                kind: ImageKind::Picture { asked: asker.point.asked },
                width: size.0,
                height: size.1,
                bytes: image,
            }));
        }
        if let Some((cell, sprite, layout)) = layout {
            let Some(Ok(picture)) = pictures.get(&(layout.cell_width, layout.cell_height)) else {
                return Err(bug("a cell was not made"));
            };
            self.paint(asker.point.job, cell, &layout, sprite.color, picture)?;
        }
        Ok(())
    }

    /// Paints a cell; the last one of its sheet delivers the sheet.
    fn paint(
        &self,
        job: u32,
        cell: u32,
        layout: &SheetLayout,
        color: [u8; 3],
        picture: &Picture,
    ) -> Result<(), Failure> {
        let per_sheet = self.cells_per_sheet[job as usize];
        let mut painted = Ok(());
        self.cell_done(job, cell, |sheet| {
            self.ledger.charge(Stage::Encode, || {
                let canvas = sheet.canvas.get_or_insert_with(|| Sheet::new(layout, color));
                painted = canvas.paint(cell % per_sheet, picture);
                sheet.painted += u32::from(painted.is_ok());
            });
        });
        painted
    }

    fn cell_done(&self, job: u32, cell: u32, work: impl FnOnce(&mut OpenSheet)) {
        let number = cell / self.cells_per_sheet[job as usize];
        let finished = {
            let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(sheet) = sheets.get_mut(&(job, number)) else { return };
            work(sheet);
            sheet.left = sheet.left.saturating_sub(1);
            if sheet.left > 0 { None } else { sheets.remove(&(job, number)) }
        };
        // A sheet without a single picture is not worth a file.
        let Some(canvas) = finished.filter(|s| s.painted > 0).and_then(|s| s.canvas) else { return };
        let quality = self.batch.jobs[job as usize].spec.quality;
        let picture = self.ledger.charge(Stage::Encode, || canvas.into_picture());
        match self.encode(&picture, quality) {
            Ok(bytes) => self.say(Message::Image(EncodedImage {
                job,
                kind: ImageKind::Sheet { number },
                width: picture.width,
                height: picture.height,
                bytes,
            })),
            Err(failure) => self.say(Message::Note { warning: true, text: failure.to_string() }),
        }
    }

    /// The asker's point ends without a picture; its cell stays background.
    pub fn give_up(&self, asker: &Asker, failure: Failure) {
        self.say(Message::PointFailed { point: asker.point, failure });
        if let Some(cell) = asker.cell {
            self.cell_done(asker.point.job, cell, |_| ());
        }
    }

    fn encode(&self, picture: &Picture, quality: u8) -> Result<Vec<u8>, Failure> {
        self.ledger.charge(Stage::Encode, || {
            let mut encoder = match take(&self.encoders) {
                Some(encoder) => encoder,
                None => Jpeg::new()?,
            };
            let bytes = encoder.encode(picture, quality);
            put(&self.encoders, encoder);
            bytes
        })
    }
}

/// What is true about a point's picture.
fn shown(exposure: Exposure, asked_ms: i64, tolerance_ms: u32, (width, height): (u32, u32)) -> Shown {
    let at = |pts: i64| Seconds::of_pts(pts, exposure.time_base).minus(exposure.origin);
    let asked = Seconds::of_ms(asked_ms);
    let status = if exposure.damaged {
        PointStatus::Concealed
    } else if at(exposure.pts).minus(asked) > Seconds::of_ms(i64::from(tolerance_ms)) {
        PointStatus::FirstFrame
    } else if exposure.is_last && asked >= at(exposure.pts.saturating_add(exposure.length.max(1))) {
        PointStatus::LastFrame
    } else {
        PointStatus::Ok
    };
    Shown {
        status,
        shown_ms: at(exposure.pts).ceil_ms(),
        pts: exposure.pts,
        width,
        height,
        key_frame: exposure.key_frame,
        backend: Backend::Cpu,
        frame_md5: exposure.frame_md5,
    }
}

fn bug(text: &str) -> Failure {
    Failure::new(FailCode::Internal, Stage::Convert, text)
}

fn take<T>(stock: &Mutex<Vec<T>>) -> Option<T> {
    stock.lock().ok()?.pop()
}

fn put<T>(stock: &Mutex<Vec<T>>, item: T) {
    if let Ok(mut stock) = stock.lock() {
        stock.push(item);
    }
}
