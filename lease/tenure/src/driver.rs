//! The driver: one loop between the machine of the slots, a store, the clock and the users. One slot is a plain election.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tenure_core::{
    Answer, Claimed, Elector, Event, Failure, Input, KeyPrefix, LeaseKey, LeaseRecord, NotElected, Observed, Request,
    RequestId, Slots, SlotsOutput, Standing, Time, Timing,
};
use tenure_store::{Answers, LeaseStore, StoreError};

use crate::frontend::Frontend;
use crate::publisher::Position;
use crate::release_reasons::ReleaseReasons;
use crate::waiter::{Obstacle, Outcome};
use crate::wakes;

/// From more keys than this one list is cheaper than a look at each.
const LIST_FROM: usize = 16;

/// The most requests that may be unanswered at a time, besides one for each slot; late ones linger.
const MOST_IN_FLIGHT: usize = 16;

pub(crate) struct Driver {
    slots: Slots,
    timing: Timing,
    store: Arc<dyn LeaseStore>,
    frontend: Frontend,
    in_flight: FuturesUnordered<BoxFuture<'static, (RequestId, Answer)>>,
    /// The claims that are not answered yet: each may be granted.
    claims: Vec<(RequestId, LeaseKey)>,
    /// The keys whose last claim failed without saying whether it was granted.
    in_doubt: HashSet<LeaseKey>,
    /// Why the leases were given back that are being released.
    releases: ReleaseReasons,
    /// What stood in the way of the one try that somebody waits for.
    obstacle: Obstacle,
    /// Where the candidate for each slot stood when that was last published; empty where there is one.
    published: Vec<Position>,
    /// Set once the election is stopped: until when a claim that may have been granted is waited for.
    stopping: Option<Time>,
    /// The store has shown a record since then.
    looked: bool,
}

impl Driver {
    pub(crate) fn new(slots: Slots, timing: Timing, store: Arc<dyn LeaseStore>, frontend: Frontend) -> Self {
        let count = slots.electors().len();
        let idle = Position { standing: Standing::Idle, current: false, observed: Observed::default() };
        Driver {
            slots,
            timing,
            store,
            frontend,
            in_flight: FuturesUnordered::new(),
            claims: Vec::new(),
            in_doubt: HashSet::new(),
            releases: ReleaseReasons::default(),
            obstacle: Obstacle::default(),
            published: if count == 1 { Vec::new() } else { vec![idle; count] },
            stopping: None,
            looked: false,
        }
    }

    /// Runs until the election was stopped and its lease released.
    pub(crate) async fn run(mut self) {
        let (keys, control) = (self.frontend.keys().clone(), Arc::clone(self.frontend.control()));
        let mut wakes = None;
        loop {
            while let Some(output) = self.slots.poll() {
                self.perform(output);
            }
            self.publish();
            self.frontend.set_unsettled(self.stopping.is_some() && self.is_unsettled());
            let now = self.frontend.now();
            if self.has_ended(now) {
                return;
            }
            // Only a candidate listens: to a holder hints say nothing, and each may cost a wake-up, or a thread that looks.
            if matches!(self.slots.standing(), Standing::Candidate) {
                let listen = || wakes::wakes(Arc::clone(&self.store), &keys, self.timing.retry_interval());
                wakes.get_or_insert_with(listen);
            } else if let Some(wakes) = wakes.take() {
                // Closing a connection takes a while, and whoever was just elected should not wait for it.
                tokio::spawn(async move { drop(wakes) });
            }
            let ends = self.stopping.filter(|_| matches!(self.slots.standing(), Standing::Idle));
            let due = self.slots.poll_timeout().into_iter().chain(ends).min().map(|at| at.since(now));
            let tenure = self.frontend.tenure().cloned();
            let ended = async {
                match &tenure {
                    Some(tenure) => tenure.ended().await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                biased;
                Some((id, answer)) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.note_answer(id, &answer);
                    Input::Answer(id, answer)
                }
                () = control.changed() => {
                    self.take_wishes();
                    Input::Timeout
                }
                () = ended => {
                    self.take_wishes();
                    Input::Timeout
                }
                Some(()) = async { wakes.as_mut()?.next().await }, if wakes.is_some() => Input::Wake,
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => Input::Timeout,
            };
            self.slots.handle(self.frontend.now(), input);
        }
    }

    fn take_wishes(&mut self) {
        // Asked before the wishes are taken: what was wished for before the work ended belongs to its tenure.
        let ended = self.frontend.tenure().is_some_and(|tenure| tenure.has_ended());
        let wishes = self.frontend.control().take();
        let now = self.frontend.now();
        if let Some(healthy) = wishes.health {
            self.slots.handle(now, Input::Health(healthy));
            self.frontend.set_healthy(healthy);
        }
        if let Some(note) = wishes.note {
            self.slots.handle(now, Input::Note(note));
        }
        for (slot, seen) in wishes.shown_terms {
            self.slots.handle(now, Input::Fenced { slot, seen });
        }
        // The end of the work comes before a new campaign: it belongs to the tenure before.
        if ended && self.frontend.take_ended() {
            self.slots.handle(now, Input::WorkEnded);
        }
        if wishes.resign || wishes.stop {
            self.frontend.dismiss();
            self.slots.handle(now, Input::Resign);
        }
        if wishes.give_up {
            self.frontend.dismiss();
            if self.frontend.tenure().is_none() {
                self.slots.handle(now, Input::Resign);
            }
        }
        if wishes.stop {
            self.stopping.get_or_insert(now + self.timing.request_timeout() * 2);
        }
        if let Some(waiter) = wishes.campaign
            && self.stopping.is_none()
        {
            self.frontend.admit(waiter);
            self.obstacle = Obstacle::default();
        }
        let once = self.frontend.waiter().map(|waiter| waiter.once);
        match (self.frontend.tenure(), once) {
            (None, Some(true)) => self.slots.handle(now, Input::TryCampaign),
            (None, Some(false)) => self.slots.handle(now, Input::Campaign),
            // During a tenure a campaign waits for its end; one try has its answer.
            (Some(tenure), Some(true)) if !tenure.has_ended() => {
                self.obstacle.held(self.frontend.holder(), Some(tenure.term), Some(tenure.remaining()));
                self.not_elected(NotElected::Held);
            }
            _ => {}
        }
    }

    /// Whether the election was stopped and nothing is held any more. A claim that was under way may be granted yet: it
    /// is waited for, and released, but not for ever.
    fn has_ended(&self, now: Time) -> bool {
        let Some(until) = self.stopping else { return false };
        let doubtful = !self.claims.is_empty() || !self.in_doubt.is_empty() && self.slots.poll_timeout().is_some();
        matches!(self.slots.standing(), Standing::Idle) && (!doubtful || now >= until)
    }

    /// Whether a claim may have been granted without this election knowing: it is still on its way, or failed without saying so and
    /// the looks for it are not over, or were not answered.
    fn is_unsettled(&self) -> bool {
        let looking = !self.looked || self.slots.poll_timeout().is_some();
        !self.claims.is_empty() || !self.in_doubt.is_empty() && looking
    }

    fn note_answer(&mut self, id: RequestId, answer: &Answer) {
        if !matches!(answer, Answer::Failed(_)) {
            self.frontend.store_answered();
        }
        if let Some((key, reason)) = self.releases.answered(id, answer) {
            self.frontend.released(&key, reason);
        }
        if matches!(answer, Answer::Observed(_) | Answer::Listed(_)) {
            self.looked |= self.stopping.is_some();
        }
        if let Some(index) = self.claims.iter().position(|(claim, _)| *claim == id) {
            let (_, key) = self.claims.swap_remove(index);
            // A claim that was not sent says nothing of the one before it.
            if let Answer::Failed(failure) = answer {
                if failure.outcome_unknown {
                    self.in_doubt.insert(key);
                }
            } else {
                self.in_doubt.remove(&key);
            }
        }
        if let Answer::Claimed(Claimed::Held { by, term, remaining, .. }) = answer {
            self.obstacle.held(by, *term, *remaining);
        }
    }

    fn perform(&mut self, output: SlotsOutput) {
        match output {
            SlotsOutput::Send(id, request) => {
                if self.in_flight.len() < MOST_IN_FLIGHT + self.frontend.keys().all().len() {
                    match &request {
                        Request::Acquire(claim) => self.claims.push((id, claim.key.clone())),
                        Request::Release(held) => self.releases.sent(id, held),
                        _ => {}
                    }
                    let store = Arc::clone(&self.store);
                    self.in_flight.push(Box::pin(send(store, id, request, self.timing.ttl())));
                } else {
                    // The store answers nothing any more: this request was never sent.
                    let failure = Failure { outcome_unknown: false, message: "too many requests unanswered".into() };
                    self.in_flight.push(Box::pin(async move { (id, Answer::Failed(failure)) }));
                }
            }
            SlotsOutput::Event(slot, event) => {
                self.releases.note(&event);
                if let Event::StoreFailed { message, .. } = &event {
                    self.obstacle.failed(message);
                }
                let why = if let Event::NotElected(why) = event { Some(why) } else { None };
                self.frontend.tell(slot, event);
                if let Some(why) = why {
                    self.not_elected(why);
                }
            }
            SlotsOutput::Work(slot, order) => self.frontend.order(slot, order),
        }
    }

    /// The one try that somebody waits for was in vain.
    fn not_elected(&mut self, why: NotElected) {
        if self.frontend.waiter().is_some_and(|waiter| waiter.once) {
            let obstacle = std::mem::take(&mut self.obstacle);
            self.frontend.answer(Outcome::NotElected(why, obstacle));
        }
    }

    fn publish(&mut self) {
        let now = self.frontend.now();
        let electors = self.slots.electors();
        let position = |elector: &Elector| Position {
            standing: elector.standing(),
            current: elector.is_current(now),
            observed: elector.observed().clone(),
        };
        for (slot, published) in self.published.iter_mut().enumerate() {
            let position = position(&electors[slot]);
            if *published != position {
                self.frontend.publish_slot(slot, &position);
                *published = position;
            }
        }
        // Of several slots each may have a holder: together they show this candidate's own.
        let shown = if electors.len() == 1 { Some(0) } else { self.slots.leading() };
        let observed = shown.map(|slot| electors[slot].observed().clone()).unwrap_or_default();
        let current = self.slots.is_current(now);
        self.frontend.publish(&Position { standing: self.slots.standing(), current, observed });
    }
}

/// Sends one request and turns what comes back into an answer. `most` bounds even a store that never answers.
async fn send(store: Arc<dyn LeaseStore>, id: RequestId, request: Request, most: Duration) -> (RequestId, Answer) {
    let call = async {
        match request {
            Request::Acquire(claim) => one(store.acquire(&[claim]).await).map(Answer::Claimed),
            Request::Renew(held) => one(store.renew(&[held]).await).map(Answer::Renewed),
            Request::Release(held) => one(store.release(&[held]).await).map(Answer::Released),
            Request::Observe(key) => store.record(&key).await.map(Answer::Observed),
            Request::List { prefix, keys } => list(&*store, &prefix, &keys).await.map(Answer::Listed),
        }
    };
    // A store that panics must not take the driver with it: the driver is who tells the work to stop.
    let answer = match tokio::time::timeout(most, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(error))) => {
            Answer::Failed(Failure { outcome_unknown: error.is_outcome_unknown(), message: describe(&error) })
        }
        Ok(Err(_)) => Answer::Failed(Failure { outcome_unknown: true, message: "the store panicked".into() }),
        Err(_) => Answer::Failed(Failure { outcome_unknown: true, message: "the store did not answer".into() }),
    };
    (id, answer)
}

/// The records of these keys. Few are looked at one by one, as a list may look through everything that the store has.
async fn list(store: &dyn LeaseStore, prefix: &KeyPrefix, keys: &[LeaseKey]) -> Result<Vec<LeaseRecord>, StoreError> {
    if keys.len() > LIST_FROM {
        return store.list(prefix).await;
    }
    let records = try_join_all(keys.iter().map(|key| store.record(key))).await?;
    Ok(records.into_iter().flatten().collect())
}

/// The one answer of a batch of one.
fn one<T>(answers: Result<Answers<T>, StoreError>) -> Result<T, StoreError> {
    let missing = || StoreError::new(tenure_store::StoreErrorKind::Corrupt, "the store answered no item");
    answers?.pop().unwrap_or_else(|| Err(missing()))
}

/// The error with what caused it, on one line.
fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
