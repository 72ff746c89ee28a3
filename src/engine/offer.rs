//! Runs that wait until it is told whether a device decodes them.
//!
//! Owns the runs that the walk has finished, packets included, in their order, while devices are on offer. Never
//! decodes and never opens a device: the verdict is `capture::backend`'s.

use super::capture::backend::{Scales, Verdict};
use super::capture::steps::SeekRun;
use super::media::Packet;
use crate::model::device::{Coding, DeviceRow};

/// The runs that wait. They hold no more than `POOL_PAYLOAD_BYTES_MAX` and the one that was the last straw, as the pool.
pub struct Waiting {
    scales: Scales,
    runs: Vec<(SeekRun, Vec<Packet>)>,
}

/// A run came, or the last one had come.
pub enum Heard {
    /// It waits too.
    Wait,
    /// A device is to have all of them.
    Device,
    /// The CPU decodes: these in their order, and whatever comes.
    Cpu(Vec<(SeekRun, Vec<Packet>)>),
}

impl Waiting {
    /// For `wants` instants. None when the CPU decodes in any case: no device is on offer, or none takes a stream coded
    /// like this. Else the CPU would decode `lanes` runs at a time.
    pub fn for_batch(offer: &[DeviceRow], coding: &Coding, lanes: u32, wants: usize) -> Option<Waiting> {
        let scales = Scales::new(coding, offer, lanes, wants).ok()?;
        Some(Waiting { scales, runs: Vec::new() })
    }

    /// One more run.
    pub fn hear(&mut self, run: SeekRun, packets: Vec<Packet>) -> Heard {
        let verdict = self.scales.add(&run);
        self.runs.push((run, packets));
        match verdict {
            Verdict::Undecided => Heard::Wait,
            Verdict::Device => Heard::Device,
            Verdict::Cpu(_) => Heard::Cpu(std::mem::take(&mut self.runs)),
        }
    }

    /// A run that is too large to wait, or nothing more: what is there decides.
    pub fn last(mut self, run: Option<&SeekRun>) -> Heard {
        if let Some(run) = run {
            self.scales.add(run);
        }
        match self.scales.last() {
            Verdict::Device => Heard::Device,
            Verdict::Cpu(_) | Verdict::Undecided => Heard::Cpu(self.runs),
        }
    }

    /// The CPU decodes, whatever they weigh.
    pub fn give_up(self) -> Vec<(SeekRun, Vec<Packet>)> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::capture::closure::Sent;
    use crate::engine::capture::steps::Target;
    use crate::model::coded::Coded;
    use crate::model::device::{CodecClass, DeviceCodec};
    use crate::model::limits::POOL_PAYLOAD_BYTES_MAX;
    use crate::model::media::{Field, FrameHeader, Need, PacketHead, Start};

    const PACKET: usize = 1 << 18;

    fn waiting(lanes: u32) -> Waiting {
        let class = CodecClass { codec: DeviceCodec::H264, depth: 8 };
        let side = (16, 4_096);
        let row = DeviceRow {
            class,
            width_min: side.0,
            height_min: side.0,
            width_max: side.1,
            height_max: side.1,
            macroblocks_max: u32::MAX,
            proven: None,
        };
        let (codec, chroma) = ("h264".to_owned(), Some((1, 1)));
        let coding = Coding { codec, profile: 100, depth: 8, chroma, width: 1280, height: 720 };
        assert!(Waiting::for_batch(&[], &coding, lanes, 50).is_none());
        Waiting::for_batch(&[row], &coding, lanes, 50).expect("the row takes it")
    }

    /// A run of `packets` packets that begins at `first`, the last `sent` of them sent for its last picture.
    fn run(first: u64, packets: usize, sent: usize) -> (SeekRun, Vec<Packet>) {
        let header = FrameHeader {
            start: Start::Clean,
            key: true,
            hidden: false,
            need: Need::Always,
            field: Field::Frame,
            resilient: false,
        };
        let head = PacketHead {
            pts: Some(0),
            dts: Some(0),
            duration: 1,
            size: PACKET as u32,
            header,
            coded: Coded::Unknown,
        };
        let last =
            Target { seq: first + packets as u64 - 1, head: head.clone(), wants: vec![0], is_last: false };
        let run = SeekRun {
            first,
            start: Start::Clean,
            exact_from: 0,
            heads: vec![head; packets],
            sent: [vec![Sent::No; packets - sent], vec![Sent::Whole; sent]].concat(),
            unfit: None,
            targets: vec![last],
        };
        (run, (0..packets).map(|_| Packet::copy(&[0; PACKET])).collect())
    }

    fn bytes(runs: &[(SeekRun, Vec<Packet>)]) -> usize {
        runs.iter().flat_map(|(_, packets)| packets).map(Packet::size).sum()
    }

    #[test]
    fn no_more_wait_than_the_pool_holds() {
        // So little of them is sent that nothing but the bound ends the waiting.
        let mut waiting = waiting(1);
        for number in 0.. {
            let (run, packets) = run(number * 4, 4, 1);
            match waiting.hear(run, packets) {
                Heard::Wait => assert!(bytes(&waiting.runs) <= POOL_PAYLOAD_BYTES_MAX),
                Heard::Device => panic!("it is too little"),
                Heard::Cpu(runs) => {
                    assert_eq!(bytes(&runs), POOL_PAYLOAD_BYTES_MAX + 4 * PACKET);
                    assert!(runs.windows(2).all(|pair| pair[0].0.first < pair[1].0.first));
                    break;
                }
            }
        }
    }

    #[test]
    fn enough_work_is_a_devices() {
        let mut waiting = waiting(1);
        let heard = (0..).map(|number| {
            let (run, packets) = run(number * 4, 4, 4);
            waiting.hear(run, packets)
        });
        let decided = heard.take(16).find(|heard| !matches!(heard, Heard::Wait));
        assert!(matches!(decided, Some(Heard::Device)));
    }

    #[test]
    fn a_run_too_large_to_wait_decides_with_those_that_do() {
        let with = |last: usize, lanes| {
            let mut waiting = waiting(lanes);
            let (small, packets) = run(0, 4, 4);
            assert!(matches!(waiting.hear(small, packets), Heard::Wait));
            waiting.last(Some(&run(4, last, last).0))
        };
        assert!(matches!(with(100, 1), Heard::Device));
        assert!(matches!(with(1, 1), Heard::Cpu(runs) if runs.len() == 1));
        assert!(matches!(with(100, 4), Heard::Cpu(runs) if runs.len() == 1));
        assert!(matches!(waiting(1).last(None), Heard::Cpu(runs) if runs.is_empty()));
    }

    #[test]
    fn what_is_given_up_is_all_there_was() {
        let mut waiting = waiting(1);
        let (one, packets) = run(0, 2, 2);
        assert!(matches!(waiting.hear(one, packets), Heard::Wait));
        assert_eq!(bytes(&waiting.give_up()), 2 * PACKET);
    }
}
