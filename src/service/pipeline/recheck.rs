//! The check of a device by the CPU: a batch that both decode, and that only the CPU delivers. *Pure.*
//!
//! Owns the comparison of frames. Never decides what a difference costs.

use std::collections::BTreeMap;

use crate::model::device::DeviceId;
use crate::model::snapshot::{PointStatus, Shown};

/// Frames that a device decoded, until the CPU has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck {
    pub device: DeviceId,
    /// MD5 of each, by job of the claim and asked index.
    of_device: BTreeMap<(usize, u32), [u8; 16]>,
    /// Frames of both that were held against each other.
    pub compared: u32,
    /// Those that differ.
    pub differ: u32,
}

impl Recheck {
    /// Nothing decoded yet.
    pub fn of(device: &DeviceId) -> Recheck {
        Recheck { device: device.clone(), of_device: BTreeMap::new(), compared: 0, differ: 0 }
    }

    /// What the device made of a point.
    pub fn note(&mut self, job: usize, asked: u32, shown: &Shown) {
        if let Some(md5) = shown.frame_md5 {
            self.of_device.insert((job, asked), md5);
        }
    }

    /// What the CPU made of it. Damage may look different to each.
    pub fn compare(&mut self, job: usize, asked: u32, shown: &Shown) {
        let of_device = self.of_device.remove(&(job, asked));
        let (Some(device), Some(cpu)) = (of_device, shown.frame_md5) else { return };
        if shown.status != PointStatus::Concealed {
            self.compared += 1;
            self.differ += u32::from(device != cpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::media::Backend;

    fn shown(status: PointStatus, frame_md5: Option<u8>) -> Shown {
        Shown {
            status,
            shown_ms: 0,
            pts: 0,
            width: 16,
            height: 16,
            key_frame: false,
            backend: Backend::Cuda,
            frame_md5: frame_md5.map(|byte| [byte; 16]),
        }
    }

    #[test]
    fn only_frames_of_both_that_are_whole_are_compared() {
        use PointStatus::{Concealed, Ok};
        let cases = [
            (Some((0, Some(1))), (Ok, Some(1)), (1, 0)),
            (Some((0, Some(1))), (Ok, Some(2)), (1, 1)),
            (Some((0, Some(1))), (Concealed, Some(2)), (0, 0)),
            (Some((0, Some(1))), (Ok, None), (0, 0)),
            (Some((0, None)), (Ok, Some(2)), (0, 0)),
            (Some((1, Some(1))), (Ok, Some(2)), (0, 0)),
            (None, (Ok, Some(2)), (0, 0)),
        ];
        for (device, (status, md5), wanted) in cases {
            let mut recheck = Recheck::of(&DeviceId { backend: Backend::Cuda, name: "0".to_owned() });
            if let Some((job, md5)) = device {
                recheck.note(job, 7, &shown(Ok, md5));
            }
            recheck.compare(0, 7, &shown(status, md5));
            assert_eq!((recheck.compared, recheck.differ), wanted, "{device:?} {status:?} {md5:?}");
            // A point is told once more when its run is done again.
            recheck.compare(0, 7, &shown(status, md5));
            assert_eq!((recheck.compared, recheck.differ), wanted, "again");
        }
    }
}
