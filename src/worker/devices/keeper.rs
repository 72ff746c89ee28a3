//! What is done about one helper as it speaks, idles and ends.
//!
//! Owns the order of its end: its place is free again before anybody learns of it. Never starts a helper.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::super::helper::leaves_it_whole;
use super::super::protocol::{Control, Exit, How};
use super::home::Home;
use super::lasting::{Doing, Lasting, named, way_out};
use super::{DevicesConfig, ReplacedBy, Why};
use crate::model::device::{CodecClass, Refusal};

/// Who waits for a helper that is on its way out.
enum Waits {
    Nobody,
    Batch(oneshot::Sender<Exit>, Exit),
    Proof { class: CodecClass, sender: oneshot::Sender<Result<(), Why>>, answer: Result<(), Why> },
}

/// Looks after one helper from its opening until its process is gone.
pub(super) async fn keep(home: Arc<Home>, helper: Arc<Lasting>, config: Arc<DevicesConfig>) {
    let opened = tokio::select! {
        opened = helper.opening(&home.id, config.open_wait) => opened,
        // Whoever wanted it is gone, and killed it.
        () = killed(&helper) => Ok(None),
    };
    let waits = match opened {
        Ok(Some(facts)) => {
            home.remember(Ok(facts.clone()));
            let opening = std::mem::replace(&mut helper.state().doing, Doing::Taken);
            if let Doing::Opening(opening) = opening {
                // Nobody may wait any more: the turn's drop then killed it.
                opening.send(Ok(facts)).ok();
            }
            attend(&home, &helper, &config).await
        }
        Ok(None) => Waits::Nobody,
        Err(why) => {
            home.remember(Err(why.clone()));
            let opening = std::mem::replace(&mut helper.state().doing, Doing::Taken);
            helper.state().going.get_or_insert(Some(ReplacedBy::Fault));
            let exit = helper.see_off(why.0 == Refusal::Hang).await;
            if exit.is_none() {
                tell_opening(opening, why);
                helper.wait_for_ever().await;
                return home.gone(&helper);
            }
            home.gone(&helper);
            return tell_opening(opening, why);
        }
    };
    see_off(&home, &helper, waits).await;
}

fn tell_opening(opening: Doing, why: Why) {
    if let Doing::Opening(opening) = opening {
        // Nobody may wait any more.
        opening.send(Err(why)).ok();
    }
}

async fn killed(helper: &Lasting) {
    while helper.state().going.is_none() {
        helper.poke.notified().await;
    }
}

// Hears what it says until it ends or is to end; who waits for its end.
async fn attend(home: &Home, helper: &Lasting, config: &DevicesConfig) -> Waits {
    loop {
        let idle_until = match helper.state().doing {
            Doing::Idle { since } => Some(since + config.idle),
            _ => None,
        };
        tokio::select! {
            heard = helper.wire.hear() => match heard {
                Ok(Some((message, beside))) if beside.is_empty() => match hear(home, helper, config, message) {
                    Some(Waits::Nobody) => {}
                    Some(waits) => return waits,
                    None => {
                        helper.kill();
                        return Waits::Nobody;
                    }
                },
                Ok(None) => return Waits::Nobody,
                // It says what it cannot say.
                Ok(Some(_)) | Err(_) => {
                    helper.kill();
                    return Waits::Nobody;
                }
            },
            () = helper.poke.notified() => {
                let closing = home.is_closing();
                let mut state = helper.state();
                if closing && state.is_idle() {
                    state.going = Some(None);
                }
                if state.going.is_some() {
                    return Waits::Nobody;
                }
            }
            () = sleep_until(idle_until.unwrap_or_else(Instant::now)), if idle_until.is_some() => {
                let mut state = helper.state();
                // It may have been taken in this very moment.
                if matches!(state.doing, Doing::Idle { since } if Instant::now() >= since + config.idle) {
                    state.going.get_or_insert(Some(ReplacedBy::Idle));
                    return Waits::Nobody;
                }
            }
        }
    }
}

// One message: nobody waits when it stays, none when it made no sense.
fn hear(home: &Home, helper: &Lasting, config: &DevicesConfig, message: Control) -> Option<Waits> {
    let closing = home.is_closing();
    let mut state = helper.state();
    let doing = std::mem::replace(&mut state.doing, Doing::Taken);
    let waits = match (message, doing) {
        (Control::Exited { id, exit }, Doing::Batch { id: on, exit: sender, .. }) if id == on => {
            state.turn_is_over();
            state.batches += 1;
            if exit.how != How::Code(0) {
                state.going.get_or_insert(Some(ReplacedBy::Fault));
            } else if state.batches >= config.batches_max {
                state.going.get_or_insert(Some(ReplacedBy::Batches));
            }
            Waits::Batch(sender, exit)
        }
        (Control::Proved { class, why_not }, Doing::Proof { class: on, answer }) if class == on => {
            state.turn_is_over();
            if why_not.as_ref().is_some_and(|(reason, _)| !leaves_it_whole(*reason)) {
                state.going.get_or_insert(Some(ReplacedBy::Fault));
            }
            let why_not = why_not.map(|why| named(&home.id, why));
            Waits::Proof { class, sender: answer, answer: why_not.map_or(Ok(()), Err) }
        }
        (_, doing) => {
            state.doing = doing;
            return None;
        }
    };
    if closing {
        state.going.get_or_insert(None);
    }
    let stays = state.going.is_none();
    if stays {
        state.rest();
    }
    // A helper is never locked before its home.
    drop(state);
    match &waits {
        Waits::Batch(..) => home.batch_is_over(),
        Waits::Proof { class, answer, .. } => home.proved(*class, answer),
        Waits::Nobody => {}
    }
    if stays {
        home.one_is_idle();
        tell(waits);
        return Some(Waits::Nobody);
    }
    Some(waits)
}

// Whoever waits may have gone.
fn tell(waits: Waits) {
    match waits {
        Waits::Nobody => {}
        Waits::Batch(sender, exit) => drop(sender.send(exit)),
        Waits::Proof { sender, answer, .. } => drop(sender.send(answer)),
    }
}

// Ends it. Who waits learns of it once its place is free again, unless it cannot be made to go.
async fn see_off(home: &Home, helper: &Arc<Lasting>, waits: Waits) {
    let exit = helper.see_off(false).await;
    let doing = std::mem::replace(&mut helper.state().doing, Doing::Taken);
    let why = |what: &str| (Refusal::Crash, format!("{}: {} while it {what}", home.id, way_out(exit)));
    // One whose starter broke off was killed for that: nothing is known of the device.
    let opening = matches!(&doing, Doing::Opening(sender) if !sender.is_closed());
    if opening {
        home.remember(Err(why("opened the device")));
    }
    if exit.is_some() {
        home.gone(helper);
    }
    tell(waits);
    match doing {
        Doing::Opening(_) => tell_opening(doing, why("opened the device")),
        Doing::Batch { exit: sender, cpu_before, .. } => {
            if let Some(exit) = exit {
                let before = u64::try_from(cpu_before.as_micros()).unwrap_or(u64::MAX);
                let exit = Exit { cpu_us: exit.cpu_us.saturating_sub(before), ..exit };
                tell(Waits::Batch(sender, exit));
            }
        }
        Doing::Proof { class, answer } => {
            let what = format!("decoded the built-in clip of {class}");
            tell(Waits::Proof { class, sender: answer, answer: Err(why(&what)) });
        }
        Doing::Taken | Doing::Idle { .. } => {}
    }
    if exit.is_none() {
        helper.wait_for_ever().await;
        home.gone(helper);
    }
}
