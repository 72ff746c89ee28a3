//! One device: its helpers, the places for batches on it, and what is known about it.
//!
//! Owns which helper serves whom and when one is replaced. Never speaks to a helper itself: `lasting` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::keeper::keep;
use super::lasting::{Doing, Lasting, Turn};
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
        self.one_is_idle();
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

    /// Keeps what was found at an opening, and what was proved before.
    pub fn remember(&self, known: Result<DeviceFacts, Why>) {
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

    /// Keeps how a proof came out.
    pub fn proved(&self, class: CodecClass, answer: &Result<(), Why>) {
        let proven = match answer {
            Ok(()) => true,
            Err((Refusal::Unproven, _)) => false,
            Err(_) => return,
        };
        if let Some(Ok(facts)) = &mut self.state().known {
            facts.rows.iter_mut().filter(|row| row.class == class).for_each(|row| row.proven = Some(proven));
        }
    }

    /// Counts a helper whose process is gone out; its place is free again.
    pub fn gone(&self, helper: &Arc<Lasting>) {
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
        let (device, pid) = (&self.id, helper.pid);
        match by {
            // A fault is told by whoever hears of it.
            Some(ReplacedBy::Died) => tracing::warn!(%device, pid, "helper of a device died"),
            by => tracing::debug!(%device, pid, by = by.map(ReplacedBy::name), "helper of a device ended"),
        }
        self.changed.notify_waiters();
    }

    /// True when no helper is to stay.
    pub fn is_closing(&self) -> bool {
        self.state().closing
    }

    /// Counts a batch.
    pub fn batch_is_over(&self) {
        self.state().batches += 1;
    }

    /// Tells whoever waits for a helper that one is idle.
    pub fn one_is_idle(&self) {
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
