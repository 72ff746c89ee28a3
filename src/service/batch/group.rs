//! Jobs of one video become the batch of one walk. *Pure.*
//!
//! Owns who is in a batch and which of its entries is whose. Never merges jobs: equal ones share the decode, and
//! each gets its images.

use super::rest::JobProgress;
use crate::model::job::VideoBatch;

/// A batch, and the way back from its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouped {
    pub batch: VideoBatch,
    /// For each entry of `batch.jobs` the index of its job in what was grouped.
    pub jobs: Vec<usize>,
}

impl Grouped {
    /// The job that entry `entry` of the batch belongs to; none for an entry that the batch never had.
    pub fn job_of(&self, entry: u32) -> Option<usize> {
        self.jobs.get(usize::try_from(entry).ok()?).copied()
    }
}

/// The batch of all that these jobs still owe, in their order; none when they owe nothing.
pub fn batch<'a>(
    jobs: impl IntoIterator<Item = &'a JobProgress>,
    stream: Option<u32>,
    frame_pixels_max: u64,
) -> Option<Grouped> {
    let (jobs, entries): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .enumerate()
        .filter(|(_, job)| !job.is_decided())
        .map(|(index, job)| (index, job.remainder()))
        .unzip();
    (!jobs.is_empty()).then_some(Grouped {
        batch: VideoBatch { jobs: entries, stream, frame_pixels_max, offer: Vec::new() },
        jobs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{PlannedJob, PlannedPoint};
    use crate::model::spec::{Points, SnapshotSpec};
    use proptest::prelude::*;

    /// A job of `points` pictures of which the first `done` are there; without a plan when there are no points.
    fn job(quality: u8, points: u32, done: u32) -> JobProgress {
        let mut job = JobProgress::new(SnapshotSpec {
            quality,
            ..SnapshotSpec::of(Points::Even { offset_ms: 0, count: points })
        });
        if points > 0 {
            let point = PlannedPoint { asked_ms: 0, past_end: false };
            let points = vec![point; points as usize];
            assert!(job.take_plan(PlannedJob { points, sheets: 0, cells_per_sheet: 0 }));
        }
        assert!((0..done).all(|asked| job.take_picture(asked, 1)));
        job
    }

    #[test]
    fn decided_jobs_are_left_out_and_entries_find_their_jobs() {
        let jobs = [job(1, 2, 2), job(2, 0, 0), job(3, 3, 1), job(4, 1, 1)];
        let grouped = batch(&jobs, Some(1), 77).expect("two owe something");
        assert_eq!((grouped.batch.stream, grouped.batch.frame_pixels_max), (Some(1), 77));
        assert_eq!(grouped.jobs, [1, 2]);
        assert_eq!((grouped.job_of(0), grouped.job_of(1), grouped.job_of(2)), (Some(1), Some(2), None));
        assert_eq!(grouped.batch.jobs[1].pictures_done, [0]);
        assert_eq!(batch(&jobs[..1], None, 77), None);
        assert_eq!(batch(&[], None, 77), None);
    }

    proptest! {
        #[test]
        fn every_undecided_job_is_there_once_in_order(shape in prop::collection::vec((0u32..4, 0u32..4), 0..64)) {
            let jobs: Vec<_> =
                shape.iter().zip(0u8..).map(|(&(points, done), n)| job(n, points, done.min(points))).collect();
            let undecided: Vec<_> = (0..jobs.len()).filter(|&i| !jobs[i].is_decided()).collect();
            match batch(&jobs, None, 1) {
                None => prop_assert!(undecided.is_empty()),
                Some(grouped) => {
                    prop_assert_eq!(&grouped.jobs, &undecided);
                    for (entry, &index) in grouped.batch.jobs.iter().zip(&undecided) {
                        prop_assert_eq!(entry, &jobs[index].remainder());
                    }
                }
            }
        }
    }
}
