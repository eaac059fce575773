//! The driver: one loop between an elector, a store, the clock and the users.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tenure_core::{
    Answer, Elector, Event, Failure, Input, KeyPrefix, Order, Output, Request, RequestId, Standing, Timing,
};
use tenure_store::{Answers, LeaseStore, StoreError, WakeStream};
use tokio::sync::{broadcast, oneshot, watch};

use crate::clock;
use crate::control::Control;
use crate::telemetry::Telemetry;
use crate::tenure::Tenure;
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
    stopping: bool,
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
            stopping: false,
        }
    }

    /// Runs until the election was stopped and its lease released.
    pub(crate) async fn run(mut self) {
        let mut wakes = Wakes::new(Arc::clone(&self.store), &self.status.borrow().key, self.timing.retry_interval());
        loop {
            while let Some(output) = self.elector.poll() {
                self.perform(output);
            }
            self.publish_status();
            if self.stopping && matches!(self.elector.standing(), Standing::Idle) {
                return;
            }
            let now = clock::now();
            let due = self.elector.poll_timeout().map(|at| at.since(now));
            let input = tokio::select! {
                biased;
                Some((id, answer)) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    Input::Answer(id, answer)
                }
                () = self.control.changed() => {
                    self.take_wishes();
                    Input::Timeout
                }
                () = wakes.next(), if matches!(self.elector.standing(), Standing::Candidate) => Input::Wake,
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => Input::Timeout,
            };
            self.elector.handle(clock::now(), input);
        }
    }

    fn take_wishes(&mut self) {
        let wishes = self.control.take();
        let now = clock::now();
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
        self.stopping |= wishes.stop;
        if let Some(waiter) = wishes.campaign
            && !self.stopping
        {
            self.waiter = Some(waiter);
            handle(Input::Campaign);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(id, request) => {
                if self.in_flight.len() < MOST_IN_FLIGHT {
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
                    match watchdog::watch(key.as_str(), Arc::clone(&tenure), self.timing.kill_lead(), self.on_overrun) {
                        Ok(watched) => watched,
                        Err(error) => {
                            // Without the thread nobody would enforce the deadline: better not to lead.
                            tracing::error!(%error, "the deadline thread cannot be started; not leading");
                            self.elector.handle(clock::now(), Input::WorkEnded);
                            return;
                        }
                    };
                self.tenure = Some((Arc::clone(&tenure), watched));
                // The status comes first, so that whoever gets the leadership finds itself there.
                self.publish_status();
                let leadership =
                    Leadership { key, tenure, control: Arc::clone(&self.control), status: self.status.subscribe() };
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
                status.led_since = Some(clock::now());
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
        let current = self.elector.is_current(clock::now());
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

/// Sends one request and turns what comes back into an answer. `most` bounds even a store that never answers.
async fn send(store: Arc<dyn LeaseStore>, id: RequestId, request: Request, most: Duration) -> (RequestId, Answer) {
    let call = async {
        match request {
            Request::Acquire(claim) => one(store.acquire(&[claim]).await).map(Answer::Claimed),
            Request::Renew(held) => one(store.renew(&[held]).await).map(Answer::Renewed),
            Request::Release(held) => one(store.release(&[held]).await).map(Answer::Released),
            Request::Observe(key) => store
                .list(&KeyPrefix::from(&key))
                .await
                .map(|records| Answer::Observed(records.into_iter().find(|record| record.key == key))),
        }
    };
    let answer = match tokio::time::timeout(most, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            Answer::Failed(Failure { outcome_unknown: error.is_outcome_unknown(), message: describe(&error) })
        }
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

/// Wake-ups for one key, subscribed again whenever the stream ends.
struct Wakes {
    store: Arc<dyn LeaseStore>,
    key: tenure_store::LeaseKey,
    stream: Option<WakeStream>,
    retry: Duration,
}

impl Wakes {
    fn new(store: Arc<dyn LeaseStore>, key: &tenure_store::LeaseKey, retry: Duration) -> Self {
        Wakes { store, key: key.clone(), stream: None, retry }
    }

    /// The next hint about the key. Cancel-safe; never returns where the store has no hints.
    async fn next(&mut self) {
        if !self.store.info().watch {
            return std::future::pending().await;
        }
        loop {
            match &mut self.stream {
                Some(stream) => match stream.next().await {
                    Some(wake) if wake.key.as_ref().is_none_or(|key| *key == self.key) => return,
                    Some(_) => {}
                    None => {
                        self.stream = None;
                        tokio::time::sleep(self.retry).await;
                    }
                },
                None => match self.store.watch(&KeyPrefix::from(&self.key)).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(error) => {
                        tracing::debug!(%error, "watching failed; the timer goes on");
                        tokio::time::sleep(self.retry).await;
                    }
                },
            }
        }
    }
}
