//! One device: its helpers, the places for batches on it, and what is known about it.
//!
//! Owns which helper serves whom and when one is replaced. Never speaks to a helper itself: `lasting` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::helper::leaves_it_whole;
use super::super::protocol::{Control, Exit, How};
use super::lasting::{Doing, Lasting, Turn, way_out};
use super::{DeviceGauges, DevicesConfig, Opened, ReplacedBy, Why};
use crate::model::device::{CodecClass, DeviceFacts, DeviceId, Refusal};

/// How long a new helper waits for the end of the one that it replaces.
const MAKE_ROOM_WAIT: Duration = Duration::from_secs(5);

/// One device.
pub(super) struct Home {
    pub id: DeviceId,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    /// Told whenever a helper is idle or gone.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Those that are not gone.
    helpers: Vec<Arc<Lasting>>,
    /// Those that are not on the list yet.
    starting: usize,
    known: Option<Result<DeviceFacts, Why>>,
    batches: u64,
    replaced: [u64; ReplacedBy::ALL.len()],
    closing: bool,
}

enum Pick {
    Use(Turn),
    Start,
    /// One is ending: its room is not free yet.
    Wait,
}

/// Who waits for a helper that is on its way out.
enum Waits {
    Nobody,
    Batch(oneshot::Sender<Exit>, Exit),
    Proof { class: CodecClass, sender: oneshot::Sender<Result<(), Why>>, answer: Result<(), Why> },
}

impl Home {
    pub fn new(id: DeviceId, helpers: usize) -> Home {
        let places = Arc::new(Semaphore::new(helpers));
        Home { id, places, state: Mutex::default(), changed: Notify::new() }
    }

    /// Batches that could begin on it now.
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// A place, if there is one.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits for a place; none when it is closed.
    pub async fn wait_for_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// What was found at the last opening.
    pub fn known(&self) -> Option<Result<DeviceFacts, Why>> {
        self.state().known.clone()
    }

    /// A helper for this owner, or for a proof: an idle one that may serve it, else a new one with the device open.
    ///
    /// # Errors
    /// When the device cannot be opened, and why.
    pub async fn turn(
        self: &Arc<Self>,
        config: &Arc<DevicesConfig>,
        owner: Option<&str>,
        place: OwnedSemaphorePermit,
    ) -> Result<Turn, Why> {
        let latest = Instant::now() + MAKE_ROOM_WAIT;
        let mut place = Some(place);
        loop {
            // Before the look, so that no change is missed.
            let changed = self.changed.notified();
            match self.pick(config, owner, &mut place) {
                Pick::Use(turn) => return Ok(turn),
                Pick::Start => break,
                Pick::Wait => {
                    if timeout_at(latest, changed).await.is_err() {
                        return Err((Refusal::Hang, format!("{}: an earlier helper does not end", self.id)));
                    }
                }
            }
        }
        let (turn, opened) = self.start(config, place)?;
        let gone = || (Refusal::Crash, format!("{}: helper is gone", self.id));
        opened.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(turn)
    }

    fn start(
        self: &Arc<Self>,
        config: &Arc<DevicesConfig>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(Turn, oneshot::Receiver<Opened>), Why> {
        let started = Lasting::start(&config.launch, &self.id, place);
        let mut home = self.state();
        home.starting -= 1;
        match started {
            Ok((turn, opened)) => {
                let helper = Arc::clone(turn.helper());
                home.helpers.push(Arc::clone(&helper));
                tokio::spawn(keep(Arc::clone(self), helper, Arc::clone(config)));
                Ok((turn, opened))
            }
            Err(error) => {
                let why = (Refusal::NoDevice, format!("{}: cannot start a helper: {error}", self.id));
                home.known = Some(Err(why.clone()));
                Err(why)
            }
        }
    }

    fn pick(
        &self,
        config: &DevicesConfig,
        owner: Option<&str>,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Pick {
        let mut home = self.state();
        // The one that served this owner, then one that served nobody; for a proof anyone.
        let rank = |served: Option<&str>| match (owner, served) {
            (None, _) => Some(0),
            (Some(owner), Some(served)) => (owner == served).then_some(0),
            (Some(_), None) => Some(1),
        };
        let idle = home.helpers.iter().filter_map(|helper| {
            let state = helper.state();
            let rank = rank(state.owner.as_deref())?;
            state.is_idle().then_some((rank, helper))
        });
        if let Some((_, helper)) = idle.min_by_key(|(rank, _)| *rank) {
            let mut state = helper.state();
            // Its time may have run out in this very moment.
            if state.is_idle()
                && let Some(place) = place.take()
            {
                return Pick::Use(helper.take(&mut state, place));
            }
        }
        if home.helpers.len() + home.starting < config.helpers {
            home.starting += 1;
            return Pick::Start;
        }
        // Whoever holds a place finds room in the end: an idle helper of another owner makes it, or one is ending.
        let others = home.helpers.iter().filter_map(|helper| match &helper.state().doing {
            Doing::Idle { since } => Some((*since, helper)),
            _ => None,
        });
        if let Some((_, helper)) = others.min_by_key(|(since, _)| *since) {
            helper.state().going.get_or_insert(Some(ReplacedBy::Owner));
            helper.poke.notify_one();
        }
        Pick::Wait
    }

    /// Gives a helper back that was only opened.
    pub fn give_back(&self, turn: Turn) {
        turn.give_back();
        self.changed.notify_waiters();
    }

    /// Numbers for the metrics.
    pub fn gauges(&self) -> DeviceGauges {
        let home = self.state();
        let idle = home.helpers.iter().filter(|helper| helper.state().is_idle()).count();
        DeviceGauges {
            busy: (home.helpers.len() - idle) as u64,
            idle: idle as u64,
            batches: home.batches,
            replaced: home.replaced,
        }
    }

    /// Takes no batch any more; idle helpers end, busy ones after what they do.
    pub fn close(&self) {
        self.places.close();
        let mut home = self.state();
        home.closing = true;
        for helper in &home.helpers {
            let mut state = helper.state();
            if state.is_idle() {
                state.going = Some(None);
            }
            helper.poke.notify_one();
        }
    }

    /// Waits until every helper is gone.
    pub async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.state().helpers.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn remember(&self, known: Result<DeviceFacts, Why>) {
        let mut home = self.state();
        let mut known = known;
        if let (Ok(facts), Some(Ok(before))) = (&mut known, &home.known) {
            for row in &mut facts.rows {
                let same = before.rows.iter().find(|earlier| earlier.class == row.class);
                row.proven = row.proven.or(same.and_then(|earlier| earlier.proven));
            }
        }
        home.known = Some(known);
    }

    fn proved(&self, class: CodecClass, answer: &Result<(), Why>) {
        let proven = match answer {
            Ok(()) => true,
            Err((Refusal::Unproven, _)) => false,
            Err(_) => return,
        };
        if let Some(Ok(facts)) = &mut self.state().known {
            facts.rows.iter_mut().filter(|row| row.class == class).for_each(|row| row.proven = Some(proven));
        }
    }

    fn gone(&self, helper: &Arc<Lasting>) {
        let (by, place) = {
            let mut state = helper.state();
            (state.going.unwrap_or(Some(ReplacedBy::Died)), state.place.take())
        };
        let mut home = self.state();
        home.helpers.retain(|other| !Arc::ptr_eq(other, helper));
        if let Some(by) = by {
            home.replaced[by as usize] += 1;
        }
        drop((home, place));
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Looks after one helper from its opening until its process is gone.
async fn keep(home: Arc<Home>, helper: Arc<Lasting>, config: Arc<DevicesConfig>) {
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
                let closing = home.state().closing;
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
    let closing = home.state().closing;
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
            let why_not = why_not.map(|(reason, text)| (reason, format!("{}: {text}", home.id)));
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
        Waits::Batch(..) => home.state().batches += 1,
        Waits::Proof { class, answer, .. } => home.proved(*class, answer),
        Waits::Nobody => {}
    }
    if stays {
        home.changed.notify_waiters();
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
