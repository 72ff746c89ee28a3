//! CPU time of planning: packet heads in, seek runs out, on ten minutes of a synthetic stream.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use stillframe::engine::capture::closure;
use stillframe::engine::capture::closure::Sent;
use stillframe::engine::capture::plan::Planner;
use stillframe::engine::capture::steps::{SeekRun, Step, Want};
use stillframe::model::coded::Coded;
use stillframe::model::media::{Ahead, Field, FrameHeader, Need, PacketHead, Start};

/// Ten minutes at 25 frames a second, a key frame each ten seconds, two B pictures between references.
const FRAMES: i64 = 15_000;
const GOP: i64 = 250;
const REORDER: usize = 2;

fn head(pts: i64, start: Start, need: Need) -> PacketHead {
    PacketHead {
        pts: Some(pts),
        dts: None,
        duration: 1,
        size: 4_000,
        header: FrameHeader {
            start,
            key: start != Start::No,
            hidden: false,
            need,
            field: Field::Frame,
            resilient: false,
        },
        coded: Coded::Unknown,
    }
}

/// The stream in decode order. In an open GOP the two pictures before a key frame follow it.
fn stream(open: bool) -> Vec<PacketHead> {
    let mut heads = Vec::new();
    for gop in (0..FRAMES).step_by(GOP as usize) {
        let leading = open && gop > 0;
        heads.push(head(gop, if leading { Start::Open } else { Start::Clean }, Need::Always));
        if leading {
            heads.extend([gop - 2, gop - 1].map(|pts| head(pts, Start::No, Need::Target)));
        }
        let end = if open && gop + GOP < FRAMES { gop + GOP - 2 } else { gop + GOP };
        let mut shown = gop + 1;
        while shown < end {
            let reference = (shown + 2).min(end - 1);
            heads.push(head(reference, Start::No, Need::Always));
            heads.extend((shown..reference).map(|pts| head(pts, Start::No, Need::Target)));
            shown = reference + 1;
        }
    }
    heads
}

/// Places of the key frames, or none where the container has no index.
type Index = Option<Vec<usize>>;

/// Drives the planner as the reader does; the runs, and how many heads were fed.
fn plan(stream: &[PacketHead], index: &Index, wants: Vec<Want>) -> (Vec<SeekRun>, usize) {
    let entry = |pts: i64| -> usize {
        let Some(index) = index else { return 0 };
        let after = index.partition_point(|place| stream[*place].pts.is_some_and(|key| key <= pts));
        index[after.saturating_sub(1)]
    };
    let ahead = |pts: i64| match (index, stream[entry(pts)].pts) {
        (Some(_), Some(key)) => Ahead::Key(key),
        _ => Ahead::Unknown,
    };
    let mut planner = Planner::new(wants, REORDER);
    let (mut runs, mut at, mut fed) = (Vec::new(), 0, 0);
    planner.restart(true);
    loop {
        match planner.step(ahead) {
            Step::More if at < stream.len() => {
                planner.feed(stream[at].clone());
                (at, fed) = (at + 1, fed + 1);
            }
            Step::More => planner.end(),
            Step::Run(run) => runs.push(run),
            Step::Jump => {
                at = planner.next_want().map_or(0, |want| entry(want.pts));
                planner.restart(at == 0);
            }
            Step::Done => return (runs, fed),
            step @ (Step::Back | Step::Linear(_)) => panic!("a sound stream led to {step:?}"),
        }
    }
}

fn wants(count: i64) -> Vec<Want> {
    (0..count).map(|n| Want { pts: n * FRAMES / count + 137, intra: false, slack: 0 }).collect()
}

fn planning(c: &mut Criterion) {
    let (closed, open) = (stream(false), stream(true));
    let index_of = |stream: &[PacketHead]| -> Index {
        Some((0..stream.len()).filter(|place| stream[*place].header.start != Start::No).collect())
    };
    let cases = [
        ("10 points with index", &closed, index_of(&closed), 10),
        ("100 points with index", &closed, index_of(&closed), 100),
        ("1000 points with index", &closed, index_of(&closed), 1_000),
        ("10 points, open GOPs", &open, index_of(&open), 10),
        ("100 points, open GOPs", &open, index_of(&open), 100),
        ("10 points without index", &closed, None, 10),
        ("100 points without index", &closed, None, 100),
    ];
    let mut group = c.benchmark_group("plan");
    for (name, stream, index, count) in cases {
        let (runs, _) = plan(stream, &index, wants(count));
        let served: usize = runs.iter().flat_map(|run| &run.targets).map(|target| target.wants.len()).sum();
        assert_eq!(served as i64, count, "{name}: every point is served, or this measures something else");
        group.bench_function(name, |b| b.iter(|| plan(black_box(stream), &index, wants(count))));
    }
    group.finish();
}

fn needed(c: &mut Criterion) {
    let layer = |place: usize| Need::Layer {
        temporal_id: (place % 4) as u8,
        sub_layer_non_reference: place % 4 == 3,
    };
    let flagged: Vec<PacketHead> = stream(false).into_iter().take(GOP as usize).collect();
    let mut layered = flagged.clone();
    layered.iter_mut().enumerate().skip(1).for_each(|(place, head)| head.header.need = layer(place));
    let mut group = c.benchmark_group("needed");
    for (name, heads) in [("a GOP of 250 with B pictures", &flagged), ("a GOP of 250 in layers", &layered)] {
        let sent = closure::select(heads, &[120, 249]).sent;
        assert!(sent.contains(&Sent::No), "{name}: something is left out");
        group.bench_function(name, |b| b.iter(|| closure::select(black_box(heads), &[120, 249])));
    }
    group.finish();
}

criterion_group!(benches, planning, needed);
criterion_main!(benches);
