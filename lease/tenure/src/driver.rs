//! The driver: one loop between an elector, a store, the clock and the users.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tenure_core::{
    Answer, Claimed, Elector, Event, Failure, Input, KeyPrefix, LeaseKey, LeaseRecord, Output, Request, RequestId,
    Standing, Time, Timing,
};
use tenure_store::{Answers, LeaseStore, StoreError};

use crate::frontend::Frontend;
use crate::waiter::Outcome;
use crate::wakes;

/// From more keys than this one list is cheaper than a look at each.
const LIST_FROM: usize = 16;

/// The most requests that may be unanswered at a time; the elector has one, and late ones linger.
const MOST_IN_FLIGHT: usize = 16;

pub(crate) struct Driver {
    elector: Elector,
    timing: Timing,
    store: Arc<dyn LeaseStore>,
    frontend: Frontend,
    in_flight: FuturesUnordered<BoxFuture<'static, (RequestId, Answer)>>,
    /// The claims that are not answered yet: each may be granted.
    claims: Vec<RequestId>,
    /// A claim failed without saying whether it was granted.
    in_doubt: bool,
    /// The one claim of a waiter that wants no more.
    attempt: Option<Attempt>,
    /// Set once the election is stopped: until when a claim that may have been granted is waited for.
    stopping: Option<Time>,
}

/// The progress of one claim that somebody waits for.
#[derive(Default)]
struct Attempt {
    claim: Option<RequestId>,
    /// By when the claim is sent, unless the candidate stands back: set once it campaigns.
    sent_by: Option<Time>,
    outcome: Option<Outcome>,
}

impl Driver {
    pub(crate) fn new(elector: Elector, timing: Timing, store: Arc<dyn LeaseStore>, frontend: Frontend) -> Self {
        Driver {
            elector,
            timing,
            store,
            frontend,
            in_flight: FuturesUnordered::new(),
            claims: Vec::new(),
            in_doubt: false,
            attempt: None,
            stopping: None,
        }
    }

    /// Runs until the election was stopped and its lease released.
    pub(crate) async fn run(mut self) {
        let (key, control) = (self.frontend.key(), Arc::clone(&self.frontend.control));
        let mut wakes = None;
        loop {
            self.perform_all();
            let now = self.frontend.now();
            if self.has_ended(now) {
                return;
            }
            // Only a candidate listens: to a holder hints say nothing, and each may cost a wake-up, or a thread that looks.
            if matches!(self.elector.standing(), Standing::Candidate) {
                let listen = || wakes::wakes(Arc::clone(&self.store), key.clone(), self.timing.retry_interval());
                wakes.get_or_insert_with(listen);
            } else if let Some(wakes) = wakes.take() {
                // Closing a connection takes a while, and whoever was just elected should not wait for it.
                tokio::spawn(async move { drop(wakes) });
            }
            let due = self.due().map(|at| at.since(now));
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
            self.elector.handle(self.frontend.now(), input);
        }
    }

    /// When something is to be done although nothing happens.
    fn due(&self) -> Option<Time> {
        let idle = matches!(self.elector.standing(), Standing::Idle);
        let ends = self.stopping.filter(|_| idle);
        let sent_by = self.attempt.as_ref().and_then(|attempt| attempt.sent_by);
        self.elector.poll_timeout().into_iter().chain(ends).chain(sent_by).min()
    }

    fn take_wishes(&mut self) {
        // Asked before the wishes are taken: what was wished for before the work ended belongs to its tenure.
        let ended = self.frontend.tenure().is_some_and(|tenure| tenure.has_ended());
        let wishes = self.frontend.control.take();
        let now = self.frontend.now();
        if let Some(healthy) = wishes.health {
            self.elector.handle(now, Input::Health(healthy));
            self.frontend.set_healthy(healthy);
        }
        if let Some(note) = wishes.note {
            self.elector.handle(now, Input::Note(note));
        }
        if let Some(seen) = wishes.fenced {
            self.elector.handle(now, Input::Fenced(seen));
        }
        // The end of the work comes before a new campaign: it belongs to the tenure before.
        if ended && self.frontend.take_ended() {
            self.elector.handle(now, Input::WorkEnded);
        }
        if wishes.resign || wishes.stop {
            self.frontend.dismiss();
            self.elector.handle(now, Input::Resign);
        }
        if wishes.give_up {
            self.frontend.dismiss();
            if !self.frontend.has_tenure() {
                self.elector.handle(now, Input::Resign);
            }
        }
        if wishes.stop {
            self.stopping.get_or_insert(now + self.timing.request_timeout() * 2);
        }
        if let Some(waiter) = wishes.campaign
            && self.stopping.is_none()
        {
            self.attempt = waiter.once.then(Attempt::default);
            self.frontend.admit(waiter);
        }
        // During a tenure a campaign waits for its end; a single claim has its answer.
        match self.frontend.tenure() {
            Some(tenure) if self.attempt.is_some() && !tenure.has_ended() => {
                let by = self.frontend.holder();
                let (term, remaining) = (Some(tenure.term), Some(tenure.remaining()));
                self.attempt = None;
                self.frontend.answer(Outcome::Held { by, term, remaining });
            }
            None if self.frontend.has_waiter() => self.elector.handle(now, Input::Campaign),
            _ => {}
        }
    }

    /// Whether the election was stopped and nothing is held any more. A claim that was under way may be granted yet: it
    /// is waited for, and released, but not for ever.
    fn has_ended(&self, now: Time) -> bool {
        let Some(until) = self.stopping else { return false };
        let doubtful = !self.claims.is_empty() || self.in_doubt && self.elector.poll_timeout().is_some();
        matches!(self.elector.standing(), Standing::Idle) && (!doubtful || now >= until)
    }

    fn note_answer(&mut self, id: RequestId, answer: &Answer) {
        if !matches!(answer, Answer::Failed(_)) {
            self.frontend.store_answered();
        }
        let before = self.claims.len();
        self.claims.retain(|claim| *claim != id);
        if before != self.claims.len() {
            self.in_doubt = matches!(answer, Answer::Failed(failure) if failure.outcome_unknown);
        }
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.claim == Some(id)) {
            match answer {
                Answer::Claimed(Claimed::Held { by, term, remaining }) => {
                    attempt.outcome = Some(Outcome::Held { by: by.clone(), term: *term, remaining: *remaining });
                }
                // Leadership follows at once and goes to the waiter, unless the grant came too late to be used.
                Answer::Claimed(Claimed::Granted { .. }) => {
                    let message = "the grant came too late".into();
                    attempt.outcome = Some(Outcome::Failed(Failure { outcome_unknown: false, message }));
                }
                // The elector tells of a failure, as it does where no answer came in time.
                _ => {}
            }
        }
    }

    /// Carries out what the elector wants, and publishes where it stands then.
    fn perform_all(&mut self) {
        loop {
            while let Some(output) = self.elector.poll() {
                self.perform(output);
            }
            let standing = self.elector.standing();
            let now = self.frontend.now();
            self.frontend.publish(standing, self.elector.is_current(now), self.elector.observed());
            let Some(outcome) = self.attempt_ended(now) else { return };
            self.attempt = None;
            self.elector.handle(now, Input::Resign);
            self.frontend.answer(outcome);
        }
    }

    /// How the one claim that somebody waits for has ended, where it has.
    fn attempt_ended(&mut self, now: Time) -> Option<Outcome> {
        let attempt = self.attempt.as_mut()?;
        if !self.frontend.waits_once() {
            self.attempt = None;
            return None;
        }
        if attempt.outcome.is_some() {
            return attempt.outcome.take();
        }
        if attempt.claim.is_some() || !matches!(self.elector.standing(), Standing::Candidate) {
            attempt.sent_by = None;
            return None;
        }
        let sent_by = *attempt.sent_by.get_or_insert(now + self.timing.claim_delay());
        (now >= sent_by).then_some(Outcome::StoodBack)
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(id, request) => {
                if self.in_flight.len() < MOST_IN_FLIGHT {
                    if matches!(request, Request::Acquire(_)) {
                        self.claims.push(id);
                        if let Some(attempt) = &mut self.attempt {
                            attempt.claim.get_or_insert(id);
                        }
                    }
                    let store = Arc::clone(&self.store);
                    self.in_flight.push(Box::pin(send(store, id, request, self.timing.ttl())));
                } else {
                    // The store answers nothing any more: this request was never sent.
                    let failure = Failure { outcome_unknown: false, message: "too many requests unanswered".into() };
                    self.in_flight.push(Box::pin(async move { (id, Answer::Failed(failure)) }));
                }
            }
            Output::Event(event) => {
                if let (Some(attempt), Event::StoreFailed { verb: "acquire", message, outcome_unknown }) =
                    (&mut self.attempt, &event)
                {
                    let failure = Failure { outcome_unknown: *outcome_unknown, message: message.clone() };
                    attempt.outcome = Some(Outcome::Failed(failure));
                }
                self.frontend.tell(event);
            }
            Output::Work(order) => self.frontend.order(order),
        }
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
