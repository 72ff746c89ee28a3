//! The breaker by a clock set by hand: tables of what opens it, and what holds whatever happens.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { strikes: 3, wait_ms: 30_000, wait_max_ms: 3_600_000, seats: 4 };

fn video(name: &str) -> VideoId {
    VideoId(name.to_owned())
}

/// A device whose first proof came out well at 0.
fn ready() -> Breaker {
    let mut breaker = Breaker::new(RULES, 0);
    assert!(breaker.begin_proof(0));
    breaker.proved();
    assert!(breaker.is_closed(0));
    breaker
}

/// A refusal, and the CPU's verdict if it is awaited.
fn strike(breaker: &mut Breaker, refusal: Refusal, name: &str, now_ms: i64) {
    if breaker.refused(refusal, &video(name), 1, now_ms) {
        breaker.convict(&video(name), now_ms);
    }
}

#[test]
fn what_each_refusal_opens() {
    // How many refusals, each on a stream of its own, open it; none: they never do.
    let table = [
        (Refusal::NoDevice, Some(1)),
        (Refusal::Unsupported, None),
        (Refusal::Unproven, None),
        (Refusal::Software, None),
        (Refusal::OutOfMemory, None),
        (Refusal::Send, Some(3)),
        (Refusal::Receive, Some(3)),
        (Refusal::Transfer, Some(3)),
        (Refusal::Copy, Some(3)),
        (Refusal::NoFrame, Some(3)),
        (Refusal::Damage, None),
        (Refusal::Linear, None),
        (Refusal::Lost, Some(1)),
        (Refusal::Crash, Some(3)),
        (Refusal::Hang, Some(1)),
        (Refusal::Breaker, None),
    ];
    assert_eq!(table.map(|(refusal, _)| refusal), Refusal::ALL);
    for (refusal, opens_after) in table {
        let mut breaker = ready();
        let opened = (1..=20).find(|n| {
            strike(&mut breaker, refusal, &n.to_string(), 1_000);
            !breaker.is_closed(1_000)
        });
        assert_eq!(opened, opens_after, "{}", refusal.name());
        assert_eq!(breaker.proof_due_ms(), opens_after.map(|_| 31_000), "{}", refusal.name());
    }
}

#[test]
fn one_stream_alone_cannot_open_it() {
    let mut breaker = ready();
    for _ in 0..50 {
        strike(&mut breaker, Refusal::Copy, "the same", 0);
    }
    assert!(breaker.is_closed(0));
    strike(&mut breaker, Refusal::Copy, "another", 0);
    assert!(breaker.is_closed(0));
    strike(&mut breaker, Refusal::Send, "a third", 0);
    assert!(!breaker.is_closed(0));
}

#[test]
fn what_the_cpu_finds_damaged_too_is_no_strike() {
    let mut breaker = ready();
    for n in 0..50 {
        assert!(breaker.refused(Refusal::Send, &video(&n.to_string()), 1, 0));
        assert!(breaker.acquit(&video(&n.to_string())));
    }
    assert!(breaker.is_closed(0));
}

#[test]
fn nothing_more_goes_there_while_three_verdicts_are_awaited() {
    let mut breaker = ready();
    for name in ["a", "b", "c"] {
        assert!(breaker.is_closed(0), "before {name}");
        breaker.refused(Refusal::Copy, &video(name), 3, 0);
    }
    assert!(!breaker.is_closed(0), "three are suspected");
    assert_eq!(breaker.proof_due_ms(), None, "and it is not open yet");
    breaker.acquit(&video("b"));
    assert!(breaker.is_closed(0), "one was the stream's fault");
}

#[test]
fn a_verdict_on_what_was_before_it_opened_is_not_heard() {
    let mut breaker = ready();
    breaker.refused(Refusal::Copy, &video("slow"), 2, 0);
    breaker.refused(Refusal::Hang, &video("hangs"), 1, 0);
    assert!(breaker.begin_proof(30_000));
    breaker.proved();
    breaker.convict(&video("slow"), 30_001);
    assert!(breaker.is_closed(30_001), "one strike on trial would have opened it");
}

#[test]
fn strikes_are_forgotten_after_the_longest_wait() {
    let mut breaker = ready();
    for (n, hours) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)] {
        strike(&mut breaker, Refusal::Copy, &n.to_string(), hours * 3_600_000);
        assert!(breaker.is_closed(hours * 3_600_000), "{n}");
    }
}

#[test]
fn waits_double_up_to_the_longest_and_begin_anew_once_it_worked() {
    let mut breaker = ready();
    strike(&mut breaker, Refusal::Lost, "a", 0);
    let mut now_ms = 0;
    for wait_ms in [30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000] {
        assert_eq!(breaker.proof_due_ms(), Some(now_ms + wait_ms));
        assert!(!breaker.begin_proof(now_ms + wait_ms - 1));
        now_ms += wait_ms;
        assert!(breaker.begin_proof(now_ms));
        assert!(!breaker.begin_proof(now_ms), "one proof at a time");
        assert!(!breaker.is_closed(now_ms), "half open is not closed");
        breaker.proof_failed(now_ms);
    }
    now_ms += 3_600_000;
    assert!(breaker.begin_proof(now_ms));
    breaker.proved();
    // The clips are well, but the first batch is not: it is as if the proof had failed.
    strike(&mut breaker, Refusal::Copy, "b", now_ms);
    assert_eq!(breaker.proof_due_ms(), Some(now_ms + 3_600_000));
    now_ms += 3_600_000;
    assert!(breaker.begin_proof(now_ms));
    breaker.proved();
    breaker.worked();
    strike(&mut breaker, Refusal::Copy, "c", now_ms);
    assert!(breaker.is_closed(now_ms), "it has three strikes again");
    strike(&mut breaker, Refusal::Hang, "d", now_ms);
    assert_eq!(breaker.proof_due_ms(), Some(now_ms + 30_000), "and the first wait");
}

#[test]
fn a_kind_of_stream_that_was_shut_stays_shut() {
    let class = |codec, depth| CodecClass { codec, depth };
    let mut breaker = ready();
    breaker.shut(class(DeviceCodec::Hevc, 10));
    breaker.shut_codec(DeviceCodec::Vp9);
    strike(&mut breaker, Refusal::Lost, "a", 0);
    assert!(breaker.begin_proof(30_000));
    breaker.proved();
    breaker.worked();
    for (codec, depth, admitted) in [
        (DeviceCodec::Hevc, 10, false),
        (DeviceCodec::Hevc, 8, true),
        (DeviceCodec::Vp9, 8, false),
        (DeviceCodec::Vp9, 10, false),
        (DeviceCodec::H264, 8, true),
    ] {
        assert_eq!(breaker.admits(class(codec, depth)), admitted, "{}", class(codec, depth));
    }
}

#[test]
fn memory_that_ran_out_costs_seats_which_come_back_one_by_one() {
    let mut breaker = ready();
    assert_eq!(breaker.seats(0), 4);
    breaker.refused(Refusal::OutOfMemory, &video("a"), 3, 0);
    assert!(breaker.is_closed(0), "it is no strike");
    assert_eq!(breaker.seats(29_999), 2);
    assert_eq!(breaker.seats(30_000), 3);
    // The third was too many again: it is waited for longer.
    breaker.refused(Refusal::OutOfMemory, &video("a"), 3, 40_000);
    assert_eq!(breaker.seats(99_999), 2);
    assert_eq!(breaker.seats(100_000), 3);
    assert_eq!(breaker.seats(220_000), 4);
    breaker.worked();
    breaker.refused(Refusal::OutOfMemory, &video("a"), 4, 220_000);
    assert_eq!(breaker.seats(250_000), 4, "all at work once: the first wait");
    // One alone and no memory: others have it all.
    breaker.refused(Refusal::OutOfMemory, &video("a"), 1, 250_000);
    assert_eq!(breaker.seats(250_000), 0);
}

#[test]
fn a_device_that_always_runs_out_of_memory_is_asked_ever_less() {
    let mut breaker = ready();
    let mut asked = 0;
    for second in 0..86_400 {
        if breaker.seats(second * 1_000) > 0 {
            asked += 1;
            breaker.refused(Refusal::OutOfMemory, &video("a"), 1, second * 1_000);
        }
    }
    // Seven waits up to the longest, then one an hour.
    assert!((24..40).contains(&asked), "{asked}");
}

#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    Refused(usize, u8),
    Acquit(u8),
    Convict(u8),
    Proof(bool),
    Worked,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0i64..100_000).prop_map(Event::Pass),
        (0usize..Refusal::ALL.len(), 0u8..5).prop_map(|(refusal, video)| Event::Refused(refusal, video)),
        (0u8..5).prop_map(Event::Acquit),
        (0u8..5).prop_map(Event::Convict),
        any::<bool>().prop_map(Event::Proof),
        Just(Event::Worked),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_is_proved_before_it_closes_and_the_wait_is_within_bounds(
        events in prop::collection::vec(event(), 0..200),
    ) {
        let (mut breaker, mut now_ms) = (Breaker::new(RULES, 0), 0);
        for event in events {
            let was_closed = breaker.is_closed(now_ms);
            let was_shut_off = !was_closed && breaker.suspects.is_empty() && breaker.state != State::HalfOpen;
            let mut proved = false;
            match event {
                Event::Pass(by_ms) => now_ms += by_ms,
                Event::Refused(refusal, name) => {
                    breaker.refused(Refusal::ALL[refusal], &video(&name.to_string()), 1, now_ms);
                }
                Event::Acquit(name) => drop(breaker.acquit(&video(&name.to_string()))),
                Event::Convict(name) => breaker.convict(&video(&name.to_string()), now_ms),
                Event::Proof(well) => {
                    if breaker.begin_proof(now_ms) {
                        proved = well;
                        if well { breaker.proved() } else { breaker.proof_failed(now_ms) }
                    }
                }
                Event::Worked => breaker.worked(),
            }
            if was_shut_off && !proved {
                prop_assert!(!breaker.is_closed(now_ms), "only a proof closes it");
            }
            if let Some(due_ms) = breaker.proof_due_ms() {
                prop_assert!(due_ms - now_ms <= RULES.wait_max_ms, "recovery is noticed in time");
            }
            prop_assert!((RULES.wait_ms..=RULES.wait_max_ms).contains(&breaker.wait_ms));
            prop_assert!(breaker.strikes.len() < RULES.strikes);
            prop_assert!(breaker.seats(now_ms) <= RULES.seats);
        }
    }

    #[test]
    fn a_device_that_always_fails_is_asked_a_handful_of_times_whatever_it_says(
        which in 0usize..Refusal::ALL.len(),
        proofs_come_out_well in any::<bool>(),
    ) {
        let refusal = Refusal::ALL[which];
        prop_assume!(!matches!(meaning(refusal), Meaning::Nothing | Meaning::Shuts));
        let (mut breaker, mut asked) = (ready(), 0);
        // A job a second, each of a stream of its own.
        for job in 0..1_000i64 {
            let now_ms = job * 1_000;
            if breaker.begin_proof(now_ms) {
                if proofs_come_out_well { breaker.proved() } else { breaker.proof_failed(now_ms) }
            }
            if breaker.is_closed(now_ms) && breaker.seats(now_ms) > 0 {
                asked += 1;
                strike(&mut breaker, refusal, &job.to_string(), now_ms);
            }
        }
        prop_assert!((1..=12).contains(&asked), "{}: {asked}", refusal.name());
    }
}
