//! What goes out of the pipeline: one batch at a time onto the bus, and how its answers are handled.

use std::sync::Arc;

use futures_util::FutureExt;
use tenure::Mandate;
use tenure_bus::{BusError, Message, Published, Refusal};
use tenure_core::{Term, Time};
use tenure_envelope::Kind;

use super::Pipeline;
use super::publisher::{Publisher, Work};
use crate::bus_outage::Use;
use crate::coverage::Handout;
use crate::gaps::{FoundGap, REFUSED};
use crate::publication::{self, Finalization, Outcome};
use crate::ring::EntryKind;

impl Pipeline {
    /// Whether anything may be handed to the bus now: by a leader that is current, or by a standby that repairs.
    pub(super) fn may_publish(&self) -> bool {
        let current = !self.is_leader() || self.mandate.as_ref().is_none_or(Mandate::is_current);
        current && self.coverage.may_publish()
    }

    /// Hands over what there is to publish. Behind a publication that is unanswered only a full batch is handed over; smaller
    /// ones gather lines until the answer.
    pub(super) fn publish(&mut self, now: Time, publisher: &mut Publisher, reading: bool) {
        while publisher.has_room() && !self.has_stopped(now, reading) {
            let whole_batch = self.coverage.ring().waiting() >= self.config.coverage.batch;
            if publisher.is_busy() && !(whole_batch && self.finalizations.is_empty()) {
                return;
            }
            let Some(work) = self.next_publication(now) else { return };
            publisher.hand_over(work);
        }
    }

    /// The next publication: refused messages go to the finalizer first.
    fn next_publication(&mut self, now: Time) -> Option<Work> {
        if now < self.retries.pause_until() || !self.may_publish() {
            return None;
        }
        let (bus, fence) = (Arc::clone(&self.bus), self.config.fence.clone());
        let mandate = self.mandate.clone();
        while let Some(finalization) = self.finalizations.pop_front() {
            // Another instance may have published it meanwhile.
            if !self.coverage.ring().contains(&finalization.message.id) {
                self.coverage.give_back(finalization.message.id);
            } else {
                let (subject, instance) = (self.config.subjects.finalize.clone(), self.config.instance.clone());
                let ids = vec![finalization.message.id];
                let run = publication::finalize(bus, subject, fence, mandate, instance, finalization).boxed();
                return Some(Work { ids, run });
            }
        }
        let handout = self.coverage.hand_out(now)?;
        let subject = self.config.subjects.ingress.clone();
        let ids = handout.messages.iter().map(|message| message.id).collect();
        Some(Work { ids, run: publication::publish(bus, subject, fence, mandate, handout).boxed() })
    }

    pub(super) fn published(&mut self, now: Time, outcome: Outcome) {
        match outcome {
            Outcome::Published { handout, result: Ok(answers) } => self.answered(now, handout, answers),
            Outcome::Published { handout, result: Err(error) } => {
                handout.messages.iter().for_each(|message| self.unanswered(message));
                self.unreachable(now, &error);
            }
            Outcome::Finalized { finalization, result: Ok(answer) } => self.finalized(now, finalization, answer),
            Outcome::Finalized { finalization, result: Err(error) } => {
                self.finalizations.push_front(finalization);
                self.unreachable(now, &error);
            }
            Outcome::NotHandedOver { handed_out } => handed_out.into_iter().for_each(|id| self.coverage.give_back(id)),
        }
    }

    fn answered(&mut self, now: Time, handout: Handout, answers: Vec<Result<Published, Refusal>>) {
        let (mut taken, mut unanswered, mut newer) = (false, false, None);
        let mut answers = answers.into_iter();
        for message in handout.messages {
            match answers.next() {
                Some(Ok(published)) => {
                    taken = true;
                    self.snapshot.last_error = None;
                    self.retries.succeeded();
                    let before = self.coverage.may_have_published(&message.id);
                    let entry = self.coverage.acknowledged(message.id, matches!(published, Published::Stored(_)));
                    self.gaps.appeared(&message.id);
                    match published {
                        Published::Stored(pos) => {
                            self.snapshot.published += 1;
                            self.position = Some(pos);
                            if let Some(entry) = entry {
                                self.on_bus(&entry, pos);
                            }
                            tell_published(&message);
                        }
                        Published::Duplicate(pos) => {
                            self.snapshot.deduplicated += 1;
                            if before {
                                tell_published(&message);
                            }
                            if let Some(entry) = entry {
                                self.on_bus_before(&entry, pos);
                            }
                        }
                    }
                }
                Some(Err(Refusal::Fenced { seen })) => {
                    self.coverage.give_back(message.id);
                    newer = newer.max(Some(seen));
                }
                Some(Err(Refusal::Rejected(why))) => {
                    self.rejected(now, (handout.term, handout.valid_until), message, why)
                }
                None => {
                    self.unanswered(&message);
                    unanswered = true;
                }
            }
        }
        if let Some(seen) = newer {
            self.fenced(now, seen);
        }
        if unanswered {
            self.retries.failed(now);
            self.bus_failed(now, Use::Publish, "the bus answered fewer messages than it was given");
        }
        if taken {
            self.gaps.bus_works(now);
        }
        if taken && !unanswered {
            self.bus_worked(now, Use::Publish);
        }
    }

    /// No answer came: the bus may have the message. Where it was seen there, it counts as published.
    fn unanswered(&mut self, message: &Message) {
        if self.coverage.give_back_in_doubt(message.id) {
            tell_published(message);
        }
    }

    /// A newer term has published: a leader's tenure is over, a standby repairs under that term from now on.
    fn fenced(&mut self, now: Time, seen: Term) {
        self.snapshot.fenced += 1;
        match (&self.mandate, self.is_leader()) {
            (Some(mandate), true) => mandate.fenced(seen),
            _ => self.coverage.observe(seen),
        }
        self.retries.failed(now);
    }

    fn rejected(&mut self, now: Time, (term, valid_until): (Option<Term>, Time), message: Message, why: String) {
        let count = self.coverage.refused(message.id);
        if count <= self.config.max_retries {
            self.coverage.give_back(message.id);
            self.retries.refused(now, count);
        } else {
            self.finalizations.push_back(Finalization { message, term, valid_until, why, attempts: count });
        }
    }

    fn finalized(&mut self, now: Time, finalization: Finalization, answer: Result<Published, Refusal>) {
        let Finalization { message, why, .. } = finalization;
        match answer {
            Ok(_) => self.retries.succeeded(),
            Err(Refusal::Fenced { seen }) => {
                self.coverage.give_back(message.id);
                return self.fenced(now, seen);
            }
            Err(Refusal::Rejected(error)) => {
                tracing::error!(
                    component = "publisher",
                    eventId = %message.id,
                    channel = %message.channel,
                    errorCode = "finalize_failed",
                    %error,
                    refused = %why,
                    "a refused message could not be handed to the finalizer either"
                );
                let lost = self.coverage.give_up(message.id, false);
                self.gaps.appeared(&message.id);
                self.snapshot.failed += 1;
                // A gap that cannot be published makes no further gap.
                if let Some(entry) = lost
                    && message.kind != Kind::Gap.as_str()
                {
                    let at_ms = entry.read_at_ms;
                    let channel = message.channel.to_string();
                    let found = FoundGap::at(channel, at_ms, REFUSED).with_clock_ahead(self.clock_ahead());
                    // Perhaps no peer has read the line: this instance publishes the gap, whoever leads by then.
                    self.add_gap(now, found, EntryKind::LineGap, at_ms);
                }
                return;
            }
        }
        self.snapshot.failed += 1;
        self.coverage.give_up(message.id, true);
        self.gaps.appeared(&message.id);
        self.refusal_log.add(now, "publish_refused", &message.channel);
    }

    fn unreachable(&mut self, now: Time, error: &BusError) {
        self.retries.failed(now);
        self.bus_failed(now, Use::Publish, &error.to_string());
    }

    pub(super) fn bus_failed(&mut self, now: Time, what: Use, error: &str) {
        self.snapshot.bus_failures += 1;
        if self.snapshot.last_error.as_deref() != Some(error) {
            self.snapshot.last_error = Some(error.to_owned());
        }
        if let Some(news) = self.outage.failed(now, what) {
            news.log(error);
        }
    }

    pub(super) fn bus_worked(&mut self, now: Time, what: Use) {
        if let Some(news) = self.outage.worked(now, what) {
            news.log("");
        }
    }
}

/// Tells of a message that this instance has put onto the bus: whose it is, not what it says. Where an answer was lost it may
/// also have been another instance.
pub(super) fn tell_published(message: &Message) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let user = publication::user_login(message);
        tracing::debug!(
            component = "publisher",
            eventId = %message.id,
            channel = %message.channel,
            userLogin = user,
            "published"
        );
    }
}
