//! The loop that empties the outbox.
//!
//! Owns which delivery goes when: how many at once, how many to one host, what follows a failure. All it needs to
//! go on lies in the rows, so a restart picks up where they say. Never renders a body; attempts of one event never
//! overlap.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::callback::{self, Callback, CallbackError, Client};
use super::retry;
use super::turns::{PER_HOST_MAX, Paces, Turns};
use crate::service::clock::Clock;
use crate::service::settings::{CallbackPolicy, Settings};
use crate::service::store::rows::DeliveryRow;
use crate::service::store::{Store, StoreError};
use crate::service::telemetry::metrics;

/// Rows that are looked at beyond those under way.
const PAGE: u32 = 64;
/// Other processes put rows into the outbox too (`callbacks redeliver`): look after this long in any case, ms.
const POLL_MS: i64 = 5_000;
/// Pause after the store could not do it.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Sends what is due until `stop` is true, then waits for the attempts under way. `wake` is for whoever put an
/// event into the outbox.
pub async fn run(
    store: Store,
    settings: watch::Receiver<Arc<Settings>>,
    clock: Clock,
    wake: Arc<Notify>,
    stop: watch::Receiver<bool>,
) {
    let sender = Sender { store, clock, client: Client::new(), stop: stop.clone() };
    let mut notifier = Notifier {
        sender,
        attempts: JoinSet::new(),
        going: HashMap::new(),
        soon: BTreeSet::new(),
        paces: Paces::default(),
    };
    let mut stop = stop;
    loop {
        let policy = Arc::new(settings.borrow().callbacks.clone());
        let until_ms = match notifier.start_due(&policy).await {
            Ok(until_ms) => until_ms,
            Err(reason) => {
                warn!(%reason, "the outbox cannot be read");
                notifier.sender.clock.now_ms() + STORE_PAUSE.as_millis() as i64
            }
        };
        tokio::select! {
            () = notifier.sender.clock.sleep_until_ms(until_ms) => {}
            () = wake.notified() => {}
            Some(ended) = notifier.attempts.join_next_with_id() => notifier.ended(ended),
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    while let Some(ended) = notifier.attempts.join_next_with_id().await {
        notifier.ended(ended);
    }
}

struct Notifier {
    sender: Sender,
    /// Each gives the due time of its event's next attempt, if there will be one.
    attempts: JoinSet<Option<i64>>,
    /// Each attempt under way.
    going: HashMap<Id, Going>,
    /// Due times within the next `POLL_MS`: a row under way hides them from "when is the next row due".
    soon: BTreeSet<i64>,
    paces: Paces,
}

struct Going {
    event: String,
    host: String,
    since: Instant,
}

impl Notifier {
    /// Starts what may start; when to look again.
    async fn start_due(&mut self, policy: &Arc<CallbackPolicy>) -> Result<i64, StoreError> {
        let mut turns = Turns::default();
        let now_ms = loop {
            let now_ms = self.sender.clock.now_ms();
            let free = self.free(policy);
            if free == 0 {
                break now_ms;
            }
            let page = PAGE.saturating_add(self.going.len() as u32);
            let rows = self.sender.store.due_deliveries(now_ms, page).await?;
            let full_page = rows.len() >= page as usize;
            let held_back = self.start(rows, policy);
            // A page that is full of one busy host's rows would hide everybody else's behind it.
            if !full_page || self.free(policy) == 0 || held_back.is_empty() {
                break now_ms;
            }
            let later = self.later(held_back, &mut turns, now_ms, policy.timeout);
            self.sender.store.postpone_deliveries(&later).await?;
        };
        let mut next = now_ms + POLL_MS;
        self.soon = self.soon.split_off(&(now_ms + 1));
        next = next.min(self.soon.first().copied().unwrap_or(next));
        if self.free(policy) > 0 {
            let in_store = self.sender.store.next_delivery_ms().await?;
            next = in_store.filter(|due| *due > now_ms).map_or(next, |due| due.min(next));
        }
        Ok(next)
    }

    fn free(&self, policy: &CallbackPolicy) -> u32 {
        policy.concurrency.max(1).saturating_sub(self.going.len() as u32)
    }

    /// Starts rows while there is room; gives back (event, host) of those whose host has enough.
    fn start(&mut self, rows: Vec<DeliveryRow>, policy: &Arc<CallbackPolicy>) -> Vec<(String, String)> {
        let mut busy: HashMap<String, u32> = HashMap::new();
        for going in self.going.values() {
            *busy.entry(going.host.clone()).or_default() += 1;
        }
        let going: HashSet<String> = self.going.values().map(|going| going.event.clone()).collect();
        let mut held_back = Vec::new();
        for row in rows {
            if self.free(policy) == 0 {
                break;
            }
            if going.contains(&row.event_id) {
                continue;
            }
            let host = callback::host_of(&row.url);
            let here = busy.entry(host.clone()).or_default();
            if *here >= PER_HOST_MAX {
                held_back.push((row.event_id, host));
                continue;
            }
            *here += 1;
            let going = Going { event: row.event_id.clone(), host: host.clone(), since: Instant::now() };
            let attempt = self.sender.clone().attempt(row, host, Arc::clone(policy));
            let id = self.attempts.spawn(attempt).id();
            self.going.insert(id, going);
        }
        held_back
    }

    /// Each row of a busy host comes back when its turn may be.
    fn later(
        &mut self,
        held_back: Vec<(String, String)>,
        turns: &mut Turns,
        now_ms: i64,
        timeout: Duration,
    ) -> Vec<(String, i64)> {
        let mut oldest: HashMap<&str, Duration> = HashMap::new();
        for going in self.going.values() {
            let age = oldest.entry(&going.host).or_default();
            *age = going.since.elapsed().max(*age);
        }
        let mut later = Vec::with_capacity(held_back.len());
        for (event, host) in held_back {
            let step = self.paces.step(&host, oldest.get(host.as_str()).copied(), timeout);
            later.push((event, turns.next(&host, now_ms, step)));
        }
        self.soon
            .extend(later.iter().map(|(_, due_ms)| *due_ms).filter(|due_ms| *due_ms <= now_ms + POLL_MS));
        later
    }

    fn ended(&mut self, ended: Result<(Id, Option<i64>), tokio::task::JoinError>) {
        let (id, next_ms) = match ended {
            Ok(ended) => ended,
            Err(gone) => {
                error!(reason = %gone, "a delivery broke off");
                (gone.id(), None)
            }
        };
        if let Some(Going { host, since, .. }) = self.going.remove(&id) {
            self.paces.took(host, since.elapsed());
        }
        let horizon = self.sender.clock.now_ms() + POLL_MS;
        self.soon.extend(next_ms.filter(|next| *next <= horizon));
    }
}

/// What an attempt needs; cheap to clone.
#[derive(Clone)]
struct Sender {
    store: Store,
    clock: Clock,
    client: Client,
    stop: watch::Receiver<bool>,
}

impl Sender {
    /// One attempt and its row; the due time of the next one.
    async fn attempt(mut self, row: DeliveryRow, host: String, policy: Arc<CallbackPolicy>) -> Option<i64> {
        // Read anew each time: a key that was changed between two attempts counts at once.
        let settings = match self.store.callback_settings(row.account).await {
            Ok(settings) => settings,
            Err(reason) => {
                warn!(event = %row.event_id, %reason, "callback settings cannot be read");
                self.pause().await;
                return None;
            }
        };
        let auth_key =
            settings.filter(|settings| settings.auth_switch).and_then(|settings| settings.auth_key);
        let callback = Callback {
            url: row.url.clone(),
            event_id: row.event_id.clone(),
            body: row.body.clone(),
            auth_key,
            now_ms: self.clock.now_ms(),
        };
        let began = Instant::now();
        let sent = self.client.send(&callback, &policy).await;
        let outcome = sent.as_ref().map_or_else(CallbackError::outcome, |()| "ok");
        metrics::callback_attempt(outcome, began.elapsed().as_secs_f64());
        self.record(&row, &host, sent, &policy).await
    }

    async fn record(
        &mut self,
        row: &DeliveryRow,
        host: &str,
        sent: Result<(), CallbackError>,
        policy: &CallbackPolicy,
    ) -> Option<i64> {
        let attempt = row.attempts.saturating_add(1);
        let (event, job) = (&row.event_id, row.job.as_ref().map_or("", |job| &job.0));
        let Err(reason) = sent else {
            self.write(event, None).await;
            metrics::callback_ended("delivered");
            info!(%event, job, host, attempt, "callback delivered");
            return None;
        };
        let wait = retry::wait_after(attempt, policy, random()).filter(|_| !reason.is_final());
        let next_ms = wait.map(|wait| {
            self.clock.now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
        });
        self.write(event, Some((&reason.to_string(), next_ms))).await;
        if next_ms.is_none() {
            metrics::callback_ended("dead");
            error!(%event, job, host, attempt, %reason, "callback given up; it can be redelivered");
        } else {
            warn!(%event, job, host, attempt, %reason, "callback failed; it will be tried again");
        }
        next_ms
    }

    // The attempt is made: leaving the row as it was would make it again. Only a stop ends the trying, and then the
    // receiver hears of the event once more, under the same id.
    async fn write(&mut self, event: &str, failed: Option<(&str, Option<i64>)>) {
        loop {
            let written = match failed {
                None => self.store.delivery_done(event, self.clock.now_ms()).await,
                Some((reason, next_ms)) => self.store.delivery_failed(event, reason, next_ms).await,
            };
            let Err(reason) = written else { return };
            warn!(event, %reason, "a delivery cannot be recorded");
            if *self.stop.borrow() {
                return;
            }
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        let stop = self.stop.wait_for(|stop| *stop);
        tokio::select! {
            () = self.clock.sleep(STORE_PAUSE) => {}
            _ = stop => {}
        }
    }
}

fn random() -> u32 {
    // The last 62 bits of a version 4 UUID are all random.
    Uuid::new_v4().as_u64_pair().1 as u32
}
