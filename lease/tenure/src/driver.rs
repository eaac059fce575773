//! The driver: one loop between an elector, a store, the clock and the users.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tenure_core::{
    Answer, Elector, Event, Failure, Input, LossReason, Order, Output, Request, RequestId, Standing, Time, Timing,
};
use tenure_store::{Answers, LeaseStore, StoreError};
use tokio::sync::{broadcast, oneshot, watch};

use crate::control::Control;
use crate::telemetry::Telemetry;
use crate::tenure::Tenure;
use crate::wakes;
use crate::watchdog::{self, Watched};
use crate::{Leadership, OnOverrun, Status};

/// The most requests that may be unanswered at a time; the elector has one, and late ones linger.
const MOST_IN_FLIGHT: usize = 16;

pub(crate) struct Driver {
    elector: Elector,
    timing: Timing,
    store: Arc<dyn LeaseStore>,
    control: Arc<Control>,
    status: watch::Sender<Status>,
    events: broadcast::Sender<Event>,
    telemetry: Telemetry,
    on_overrun: OnOverrun,
    waiter: Option<oneshot::Sender<Leadership>>,
    tenure: Option<(Arc<Tenure>, Watched)>,
    in_flight: FuturesUnordered<BoxFuture<'static, (RequestId, Answer)>>,
    /// The claims that are not answered yet: each may be granted.
    claims: Vec<RequestId>,
    /// A claim failed without saying whether it was granted.
    in_doubt: bool,
    /// Set once the election is stopped: until when a claim that may have been granted is waited for.
    stopping: Option<Time>,
}

impl Driver {
    #[expect(clippy::too_many_arguments, reason = "one caller; the parts are unrelated")]
    pub(crate) fn new(
        elector: Elector,
        timing: Timing,
        store: Arc<dyn LeaseStore>,
        control: Arc<Control>,
        status: watch::Sender<Status>,
        events: broadcast::Sender<Event>,
        telemetry: Telemetry,
        on_overrun: OnOverrun,
    ) -> Self {
        Driver {
            elector,
            timing,
            store,
            control,
            status,
            events,
            telemetry,
            on_overrun,
            waiter: None,
            tenure: None,
            in_flight: FuturesUnordered::new(),
            claims: Vec::new(),
            in_doubt: false,
            stopping: None,
        }
    }

    /// Runs until the election was stopped and its lease released.
    pub(crate) async fn run(mut self) {
        let key = self.status.borrow().key.clone();
        let mut wakes = None;
        loop {
            while let Some(output) = self.elector.poll() {
                self.perform(output);
            }
            self.publish_status();
            let now = tenure_base_time::now();
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
            let ends = self.stopping.filter(|_| matches!(self.elector.standing(), Standing::Idle));
            let due = self.elector.poll_timeout().into_iter().chain(ends).min().map(|at| at.since(now));
            let input = tokio::select! {
                biased;
                Some((id, answer)) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.note_answer(id, &answer);
                    Input::Answer(id, answer)
                }
                () = self.control.changed() => {
                    self.take_wishes();
                    Input::Timeout
                }
                Some(()) = async { wakes.as_mut()?.next().await }, if wakes.is_some() => Input::Wake,
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => Input::Timeout,
            };
            self.elector.handle(tenure_base_time::now(), input);
        }
    }

    fn take_wishes(&mut self) {
        let wishes = self.control.take();
        let now = tenure_base_time::now();
        let mut handle = |input| self.elector.handle(now, input);
        if let Some(healthy) = wishes.health {
            handle(Input::Health(healthy));
            self.status.send_modify(|status| status.healthy = healthy);
        }
        let mut handle = |input| self.elector.handle(now, input);
        if let Some(note) = wishes.note {
            handle(Input::Note(note));
        }
        if let Some(seen) = wishes.fenced {
            handle(Input::Fenced(seen));
        }
        // The end of the work comes before a new campaign: it belongs to the tenure before.
        if wishes.ended.is_some() && wishes.ended == self.tenure.as_ref().map(|(tenure, _)| tenure.term) {
            handle(Input::WorkEnded);
            self.tenure = None;
        }
        if wishes.resign || wishes.stop {
            self.waiter = None;
            handle(Input::Resign);
        }
        if wishes.give_up {
            self.waiter = None;
            if self.tenure.is_none() {
                handle(Input::Resign);
            }
        }
        if wishes.stop {
            self.stopping.get_or_insert(now + self.timing.request_timeout() * 2);
        }
        if self.stopping.is_none() {
            self.waiter = wishes.campaign.or(self.waiter.take());
        }
        // During a tenure the campaign waits for its end.
        if self.waiter.is_some() && self.tenure.is_none() {
            handle(Input::Campaign);
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
        let before = self.claims.len();
        self.claims.retain(|claim| *claim != id);
        if before != self.claims.len() {
            self.in_doubt = matches!(answer, Answer::Failed(failure) if failure.outcome_unknown);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(id, request) => {
                if self.in_flight.len() < MOST_IN_FLIGHT {
                    if matches!(request, Request::Acquire(_)) {
                        self.claims.push(id);
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
                self.note_event(&event);
                self.telemetry.tell(&event);
                // Nobody listening is no error.
                let _ = self.events.send(event);
            }
            Output::Work(Order::Start { term, nonce, last_note, deadline }) => {
                let tenure = Arc::new(Tenure::new(term, nonce, last_note, deadline));
                let key = self.status.borrow().key.clone();
                let watched =
                    watchdog::watch(key.as_str(), Arc::clone(&tenure), self.timing.kill_lead(), self.on_overrun);
                self.tenure = Some((Arc::clone(&tenure), watched));
                // The status comes first, so that whoever gets the leadership finds itself there.
                self.publish_status();
                let leadership = Leadership::new(key, tenure, Arc::clone(&self.control), self.status.subscribe());
                // A waiter that has gone hands the leadership back, which drops it: the work has ended before it began.
                if let Some(waiter) = self.waiter.take() {
                    let _ = waiter.send(leadership);
                }
            }
            Output::Work(Order::Extend { deadline }) => {
                if let Some((tenure, _)) = &self.tenure {
                    tenure.extend(deadline);
                }
            }
            Output::Work(Order::Stop { reason, .. }) => {
                if let Some((tenure, _)) = &self.tenure {
                    tenure.stop(reason);
                }
            }
            Output::Work(Order::Kill { reason }) => {
                if let Some((tenure, _)) = &self.tenure {
                    tenure.kill(reason);
                }
            }
        }
    }

    fn note_event(&mut self, event: &Event) {
        match event {
            Event::BecameLeader { .. } => self.status.send_modify(|status| {
                status.tenures += 1;
                status.led_since = Some(tenure_base_time::now());
            }),
            Event::LostLeadership { led_for, .. } => self.status.send_modify(|status| {
                status.led_since = None;
                status.led_before += *led_for;
            }),
            Event::LeaderChanged { .. } => self.status.send_modify(|status| status.transitions += 1),
            _ => {}
        }
    }

    fn publish_status(&mut self) {
        let standing = self.elector.standing();
        let current = self.elector.is_current(tenure_base_time::now());
        let observed = self.elector.observed();
        self.status.send_if_modified(|status| {
            let same = status.standing == standing
                && status.current == current
                && status.leader == observed.leader
                && status.term == observed.term;
            if !same {
                status.standing = standing;
                status.current = current;
                status.leader.clone_from(&observed.leader);
                status.term = observed.term;
            }
            !same
        });
    }
}

impl Drop for Driver {
    /// A driver that ends during a tenure (its runtime was shut down, or it panicked) renews no more: the work gets what
    /// is left of its time, and the watchdog ends it.
    fn drop(&mut self) {
        if let Some((tenure, _)) = &self.tenure {
            tenure.stop(LossReason::RenewalFailed);
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
