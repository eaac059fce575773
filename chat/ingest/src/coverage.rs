//! Coverage: what is published, by whom and when, so that whatever any surviving instance read is on the bus, once.
//!
//! A state machine without a clock or a socket. Lines that were read go in with [`Coverage::read`], what is seen on the
//! bus with [`Coverage::appeared`]; [`Coverage::hand_out`] says what to publish next. The leader publishes at once. A
//! standby holds what it reads until it appears on the bus, and publishes by itself, under the term that it observes,
//! what has not appeared within `repair_after`. Ids are derived from the lines, so the bus drops the second one.

use std::time::Duration;

use tenure_bus::Message;
use tenure_core::{Term, Time};
use tenure_envelope::{EnvelopeId, Kind};

use crate::ids::IdMap;
use crate::lines::Fates;
use crate::note::CoverageNote;
use crate::recent_ids::RecentIds;
use crate::ring::{Entry, Inserted, Ring, RingLimits};

/// How coverage is configured.
#[derive(Clone, Copy, Debug)]
pub struct CoverageConfig {
    /// What the ring may hold.
    pub ring: RingLimits,
    /// How long an entry may be missing on the bus before a standby publishes it.
    pub repair_after: Duration,
    /// The bus drops second messages and can be followed. Where it does not, only the leader publishes.
    pub repairs: bool,
    /// The most messages handed out at once.
    pub batch: usize,
    /// The most bytes handed out at once.
    pub batch_bytes: usize,
}

/// The role of this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Somebody else leads, or nobody. `observed` is the highest term that was seen to lead.
    Standby {
        /// The term to repair under; without one nothing can be repaired.
        observed: Option<Term>,
    },
    /// This instance leads, under this term; without one where elections are switched off.
    Leader {
        /// The term to publish under.
        term: Option<Term>,
    },
}

/// What to publish next, under which term.
#[derive(Debug, PartialEq, Eq)]
pub struct Handout {
    /// The term that fences the batch.
    pub term: Option<Term>,
    /// Whether a standby publishes what the leader did not.
    pub repair: bool,
    /// Until when the bus may be given it: the age bound from now on. Half of the time for which a bus drops second
    /// messages went by in the ring at most, and the other half may go by on the way, but no more.
    pub valid_until: Time,
    /// The messages, in the order in which they were read.
    pub messages: Vec<Message>,
}

/// The counters of one instance's coverage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that became entries.
    pub read: u64,
    /// Lines that were read again, or after they had appeared on the bus.
    pub known: u64,
    /// Entries that appeared on the bus, whoever published them.
    pub appeared: u64,
    /// Entries that the limits forced out.
    pub forced_out: u64,
    /// Entries without identity that were dropped because this instance does not lead.
    pub live_dropped: u64,
    /// Messages handed out as repairs.
    pub repaired: u64,
}

/// The state machine that decides what this instance publishes.
#[derive(Debug)]
pub struct Coverage {
    config: CoverageConfig,
    ring: Ring,
    recent_ids: RecentIds,
    role: Role,
    counts: Counts,
    /// Lines that appeared on the bus while this instance's own publication of them was unanswered: the answer will tell who
    /// published them. The value tells whether an earlier attempt went unanswered too.
    unanswered: IdMap<bool>,
    fates: Fates,
}

/// How many ids seen on the bus are remembered; at 2,000 messages a second half a minute's worth.
const SEEN: usize = 65_536;

impl Coverage {
    /// A standby that has read nothing.
    pub fn new(config: CoverageConfig) -> Self {
        Coverage {
            config,
            ring: Ring::new(config.ring),
            recent_ids: RecentIds::new(SEEN),
            role: Role::Standby { observed: None },
            counts: Counts::default(),
            unanswered: IdMap::default(),
            fates: Fates::default(),
        }
    }

    /// The role of this instance.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What became of the lines that are no longer here.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// How many lines are here: held, or on their way and without an answer.
    pub fn held_lines(&self) -> usize {
        self.ring.lines() + self.unanswered.len()
    }

    /// What is held, for status pages.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Changes the role. Who becomes leader publishes its ring first; who stops leading takes back what is in
    /// flight and drops what only a leader may publish: lines without identity, and gaps, which the next leader finds
    /// again; answers the former. `covered` is what the leader before is known to have published: on a bus that does not
    /// drop second messages, each channel's ring up to there must not be published again.
    pub fn take_role(&mut self, role: Role, covered: Option<&CoverageNote>) -> Vec<Entry> {
        let mut dropped = Vec::new();
        match role {
            Role::Leader { .. } if !self.config.repairs => {
                if let (Role::Standby { .. }, Some(note)) = (self.role, covered) {
                    let covered = self.ring.drop_where(|entry| {
                        note.channel(&entry.message.channel).until.is_some_and(|until| entry.read_at_ms <= until)
                    });
                    self.fates.known += lines(&covered);
                }
            }
            Role::Leader { .. } => {}
            Role::Standby { .. } => {
                self.ring.give_back_all();
                // The publications are abandoned, so their answers never come.
                self.fates.known += self.unanswered.drain().count() as u64;
                dropped = self.ring.drop_where(|entry| entry.kind.is_leader_only());
                dropped.retain(|entry| entry.kind.is_line());
                self.counts.live_dropped += dropped.len() as u64;
                for entry in &dropped {
                    match is_room(entry) {
                        true => self.fates.refused += 1,
                        false => self.fates.gap += 1,
                    }
                }
            }
        }
        self.role = role;
        dropped
    }

    /// Whether anything could be handed out now: by a leader, or by a standby that knows a term to repair under.
    pub fn may_publish(&self) -> bool {
        match self.role {
            Role::Leader { .. } => true,
            Role::Standby { observed } => self.config.repairs && observed.is_some(),
        }
    }

    /// A higher term was seen to lead, on the bus or in the store. A leader's own term is not touched.
    pub fn observe(&mut self, term: Term) {
        if let Role::Standby { observed } = &mut self.role {
            *observed = (*observed).max(Some(term));
        }
    }

    /// A line was read. Answers what the limits force out for it.
    pub fn read(&mut self, now: Time, entry: Entry) -> Vec<Entry> {
        let line = u64::from(entry.kind.is_line());
        if entry.kind.is_leader_only() && !matches!(self.role, Role::Leader { .. }) {
            self.counts.live_dropped += line;
            self.fates.known += line;
            return Vec::new();
        }
        if self.recent_ids.contains(&entry.message.id) {
            self.counts.known += 1;
            self.fates.known += line;
            return Vec::new();
        }
        match self.ring.insert(entry) {
            Inserted::Known => {
                self.counts.known += 1;
                self.fates.known += line;
            }
            Inserted::New => self.counts.read += 1,
        }
        self.force_out(now)
    }

    /// What the limits force out now: of a leader, for it to find out whether somebody else publishes it. Where the bus
    /// cannot be followed, a standby's entries leave by age and are not counted: a leader that lives has published them.
    pub fn force_out(&mut self, now: Time) -> Vec<Entry> {
        let out = self.ring.force_out(now);
        let leads = matches!(self.role, Role::Leader { .. });
        if self.config.repairs || leads {
            self.counts.forced_out += out.len() as u64;
        }
        match self.config.repairs {
            _ if leads || out.is_empty() => {}
            true => self.fates.gap += lines(&out),
            false => self.fates.known += lines(&out),
        }
        out
    }

    /// The id was seen on the bus. Answers what was held.
    pub fn appeared(&mut self, id: EnvelopeId) -> Option<Entry> {
        self.recent_ids.insert(id);
        let (in_flight, doubtful) = (self.ring.is_in_flight(&id), self.ring.is_doubtful(&id));
        let entry = self.ring.remove(id)?;
        self.counts.appeared += 1;
        match entry.kind.is_line() {
            true if in_flight => drop(self.unanswered.insert(id, doubtful)),
            line => self.fates.known += u64::from(line),
        }
        Some(entry)
    }

    /// The bus has answered that the message is there: put there now, or there already. Answers what was held.
    pub fn acknowledged(&mut self, id: EnvelopeId, stored: bool) -> Option<Entry> {
        self.recent_ids.insert(id);
        let entry = self.ring.remove(id);
        let line = match &entry {
            Some(entry) => {
                self.counts.appeared += 1;
                entry.kind.is_line()
            }
            None => self.unanswered.remove(&id).is_some(),
        };
        match stored {
            true => self.fates.published += u64::from(line),
            false => self.fates.known += u64::from(line),
        }
        entry
    }

    /// The message was not published; it goes out again, unless somebody else has published it.
    pub fn give_back(&mut self, id: EnvelopeId) {
        self.ring.give_back(id);
        self.fates.known += u64::from(self.unanswered.remove(&id).is_some());
    }

    /// The bus has not answered the message, which may be there: it goes out again. Says whether it has been seen there.
    pub fn give_back_in_doubt(&mut self, id: EnvelopeId) -> bool {
        let appeared = self.unanswered.contains_key(&id);
        self.ring.doubt(id);
        self.give_back(id);
        appeared
    }

    /// Whether it was given to the bus by this instance before, which did not answer: where it is there, this instance may
    /// have published it. Not known any more once [`Coverage::acknowledged`] or [`Coverage::give_back`] was told.
    pub fn may_have_published(&self, id: &EnvelopeId) -> bool {
        self.ring.is_doubtful(id) || self.unanswered.get(id).copied().unwrap_or(false)
    }

    /// The bus refused the message; answers how often it did.
    pub fn refused(&mut self, id: EnvelopeId) -> u32 {
        self.ring.refused(id)
    }

    /// The message will never be published here: the finalizer has it, or else a gap must say so. Answers what was held.
    pub fn give_up(&mut self, id: EnvelopeId, finalized: bool) -> Option<Entry> {
        self.recent_ids.insert(id);
        let Some(entry) = self.ring.remove(id) else {
            self.fates.known += u64::from(self.unanswered.remove(&id).is_some());
            return None;
        };
        let line = u64::from(entry.kind.is_line());
        match finalized {
            true => self.fates.refused += line,
            false => self.fates.gap += line,
        }
        Some(entry)
    }

    /// Whether what others publish matters here: to a standby always; to a leader as soon as it holds an entry for half
    /// of `repair_after`, for a standby may publish that one soon. What a leader gets rid of sooner nobody else has
    /// published, or the bus answers that it was there already.
    pub fn needs_following(&self, now: Time) -> bool {
        let held = |oldest| now.since(oldest) >= self.config.repair_after / 2;
        match self.role {
            _ if !self.config.repairs => false,
            Role::Leader { .. } => self.ring.oldest().is_some_and(held),
            Role::Standby { .. } => true,
        }
    }

    /// What to publish now, if anything: everything for a leader, what is overdue for a standby.
    pub fn hand_out(&mut self, now: Time) -> Option<Handout> {
        let (term, repair, until) = match self.role {
            Role::Leader { term } => (term, false, Time::MAX),
            Role::Standby { observed: Some(term) } if self.config.repairs => {
                if now < Time::ZERO + self.config.repair_after {
                    return None;
                }
                (Some(term), true, now - self.config.repair_after)
            }
            Role::Standby { .. } => return None,
        };
        let messages = self.ring.take(now, until, self.config.batch, self.config.batch_bytes);
        if messages.is_empty() {
            return None;
        }
        if repair {
            self.counts.repaired += messages.len() as u64;
        }
        Some(Handout { term, repair, valid_until: now + self.config.ring.age, messages })
    }

    /// When to ask [`Coverage::hand_out`] again, where nothing else happens.
    pub fn due(&self) -> Option<Time> {
        let oldest = self.ring.oldest_waiting()?;
        match self.role {
            Role::Leader { .. } => Some(oldest),
            Role::Standby { observed: Some(_) } if self.config.repairs => Some(oldest + self.config.repair_after),
            Role::Standby { .. } => None,
        }
    }
}

fn lines(entries: &[Entry]) -> u64 {
    entries.iter().filter(|entry| entry.kind.is_line()).count() as u64
}

/// Whether it is a ROOMSTATE: a state that the next leader knows too, not a message that would be lost.
fn is_room(entry: &Entry) -> bool {
    entry.message.kind == Kind::Room.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Span;
    use crate::ring::EntryKind;
    use bytes::Bytes;
    use std::collections::BTreeSet;

    fn coverage(repairs: bool) -> Coverage {
        Coverage::new(CoverageConfig {
            ring: RingLimits { bytes: 100_000, age: Duration::from_secs(600) },
            repair_after: Duration::from_secs(5),
            repairs,
            batch: 100,
            batch_bytes: usize::MAX,
        })
    }

    fn entry(n: u8, at_ms: u64) -> Entry {
        let message = Message {
            id: EnvelopeId([n; 16]),
            kind: "external.chat.message.v1",
            channel: "c".into(),
            body: Bytes::from_static(b"{}"),
        };
        Entry { message, read_at: Time::from_millis(at_ms), read_at_ms: at_ms, kind: EntryKind::Line }
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn term(n: u64) -> Term {
        Term::new(n).unwrap()
    }

    fn ids(handout: Option<Handout>) -> Vec<u8> {
        handout.map_or_else(Vec::new, |handout| handout.messages.iter().map(|message| message.id.0[0]).collect())
    }

    /// The leader publishes at once, in order, each line once.
    #[test]
    fn the_leader_publishes_at_once() {
        let mut leader = coverage(true);
        leader.take_role(Role::Leader { term: Some(term(7)) }, None);
        leader.read(at(1), entry(1, 1));
        leader.read(at(1), entry(2, 1));
        leader.read(at(2), entry(1, 2));
        let handout = leader.hand_out(at(2)).unwrap();
        assert_eq!((handout.term, handout.repair), (Some(term(7)), false));
        assert_eq!(ids(Some(handout)), [1, 2]);
        leader.appeared(EnvelopeId([1; 16]));
        leader.read(at(3), entry(1, 3));
        assert_eq!(leader.hand_out(at(3)), None);
        leader.give_back(EnvelopeId([2; 16]));
        assert_eq!(ids(leader.hand_out(at(3))), [2]);
    }

    /// A standby's ring holds what has not appeared; who becomes leader publishes it first.
    #[test]
    fn who_becomes_leader_publishes_its_ring_first() {
        let mut standby = coverage(true);
        for n in 1..=3 {
            standby.read(at(u64::from(n)), entry(n, u64::from(n)));
        }
        standby.appeared(EnvelopeId([2; 16]));
        assert_eq!(standby.hand_out(at(4)), None);
        standby.take_role(Role::Leader { term: Some(term(9)) }, None);
        standby.read(at(4), entry(4, 4));
        assert_eq!(ids(standby.hand_out(at(4))), [1, 3, 4]);
    }

    /// A standby publishes, under the observed term, what has not appeared within `repair_after`; nothing sooner.
    #[test]
    fn a_standby_repairs_what_does_not_appear() {
        let mut standby = coverage(true);
        standby.read(at(1_000), entry(1, 1_000));
        standby.read(at(1_500), entry(2, 1_500));
        standby.read(at(4_000), entry(3, 4_000));
        standby.appeared(EnvelopeId([1; 16]));
        assert_eq!(standby.hand_out(at(7_000)), None, "no term observed yet");
        standby.observe(term(7));
        standby.observe(term(6));
        assert_eq!(standby.due(), Some(at(6_500)));
        assert_eq!(standby.hand_out(at(6_499)), None);
        let handout = standby.hand_out(at(6_500)).unwrap();
        assert_eq!((handout.term, handout.repair), (Some(term(7)), true));
        assert_eq!(ids(Some(handout)), [2]);
    }

    /// A standby follows the bus always, a leader only while it holds what a standby may soon publish for it: not what
    /// it has just read, but what a bus keeps it waiting for, also in flight; and nobody where nothing is repaired.
    #[test]
    fn a_leader_follows_only_while_it_holds_something_for_long() {
        let mut instance = coverage(true);
        assert!(instance.needs_following(at(0)));
        instance.read(at(0), entry(1, 0));
        instance.take_role(Role::Leader { term: Some(term(7)) }, None);
        assert!(instance.needs_following(at(3_000)), "a standby may be publishing the ring that it takes over");
        instance.appeared(EnvelopeId([1; 16]));
        assert!(!instance.needs_following(at(3_000)));
        instance.read(at(4_000), entry(2, 4_000));
        assert!(!instance.needs_following(at(6_499)));
        instance.hand_out(at(4_000)).unwrap();
        assert!(instance.needs_following(at(6_500)), "in flight is not on the bus");
        instance.take_role(Role::Standby { observed: Some(term(7)) }, None);
        assert!(instance.needs_following(at(4_000)));
        assert!(!coverage(false).needs_following(at(0)));
    }

    /// What is older than a ring may hold is not handed out, whoever asks before it was forced out: after a long pause the
    /// bus may have forgotten that another instance has published it.
    #[test]
    fn what_is_too_old_is_not_handed_out() {
        for role in [Role::Standby { observed: Some(term(7)) }, Role::Leader { term: Some(term(9)) }] {
            let mut instance = coverage(true);
            instance.read(at(0), entry(1, 0));
            instance.read(at(10_000), entry(2, 10_000));
            instance.take_role(role, None);
            assert_eq!(ids(instance.hand_out(at(605_000))), [2]);
            assert_eq!(instance.force_out(at(605_000)).len(), 1);
        }
    }

    /// A line that appeared before this instance read it is not held.
    #[test]
    fn what_appeared_first_is_not_held() {
        let mut standby = coverage(true);
        standby.appeared(EnvelopeId([1; 16]));
        standby.read(at(1), entry(1, 1));
        assert!(standby.ring().is_empty());
        assert_eq!(standby.counts().known, 1);
    }

    /// Two readers that each miss different lines give their union, once, whoever leads.
    #[test]
    fn two_readers_give_the_union() {
        let mut leader = coverage(true);
        let mut standby = coverage(true);
        leader.take_role(Role::Leader { term: Some(term(7)) }, None);
        standby.observe(term(7));
        for n in 1..=60 {
            if n % 3 != 0 {
                leader.read(at(u64::from(n)), entry(n, u64::from(n)));
            }
            if n % 5 != 0 {
                standby.read(at(u64::from(n)), entry(n, u64::from(n)));
            }
        }
        let mut bus = Vec::new();
        for now in [at(61), at(6_000)] {
            for instance in [&mut leader, &mut standby] {
                for id in ids(instance.hand_out(now)) {
                    bus.push(id);
                    instance.appeared(EnvelopeId([id; 16]));
                }
            }
            for id in &bus {
                standby.appeared(EnvelopeId([*id; 16]));
            }
        }
        let union: BTreeSet<u8> = (1..=60).filter(|n| n % 3 != 0 || n % 5 != 0).collect();
        assert_eq!(bus.len(), union.len(), "each once");
        assert_eq!(bus.into_iter().collect::<BTreeSet<_>>(), union);
    }

    /// Lines without identity are published live by the leader only, and never from a ring.
    #[test]
    fn lines_without_identity_are_the_leaders_alone() {
        let mut instance = coverage(true);
        let live = |n, at_ms| Entry { kind: EntryKind::LiveLine, ..entry(n, at_ms) };
        instance.read(at(1), live(1, 1));
        instance.take_role(Role::Leader { term: None }, None);
        assert_eq!(instance.hand_out(at(1)), None);
        instance.read(at(2), live(2, 2));
        let dropped = instance.take_role(Role::Standby { observed: None }, None);
        assert_eq!(dropped.len(), 1, "whoever leads next must not take it for covered");
        instance.take_role(Role::Leader { term: None }, None);
        assert_eq!(instance.hand_out(at(3)), None);
        assert_eq!(instance.counts().live_dropped, 2);
        assert_eq!(instance.fates(), Fates { known: 1, gap: 1, ..Fates::default() });
    }

    /// Each line has one fate, whichever comes first: its appearance or the answer, a repetition, a refusal.
    #[test]
    fn every_line_has_one_fate() {
        let id = |n| EnvelopeId([n; 16]);
        let mut leader = coverage(true);
        leader.take_role(Role::Leader { term: Some(term(7)) }, None);
        for n in 1..=8 {
            leader.read(at(1), entry(n, 1));
            assert_eq!(leader.held_lines(), usize::from(n));
        }
        leader.read(at(1), entry(1, 1));
        leader.read(at(1), Entry { kind: EntryKind::Gap, ..entry(9, 1) });
        leader.hand_out(at(1)).unwrap();
        leader.appeared(id(1));
        leader.acknowledged(id(1), true);
        leader.acknowledged(id(2), true);
        leader.appeared(id(2));
        leader.acknowledged(id(3), false);
        leader.appeared(id(4));
        leader.give_back(id(4));
        leader.give_back(id(5));
        leader.appeared(id(5));
        leader.give_up(id(6), true);
        leader.give_up(id(7), false);
        leader.appeared(id(8));
        leader.acknowledged(id(9), true);
        assert_eq!(leader.held_lines(), 1, "the eighth is on its way");
        assert_eq!(leader.fates(), Fates { published: 2, known: 4, refused: 1, gap: 1 });
        leader.take_role(Role::Standby { observed: None }, None);
        assert_eq!((leader.held_lines(), leader.fates().known), (0, 5));
        leader.read(at(2), entry(3, 2));
        assert_eq!(leader.fates().known, 6);
    }

    /// A message whose acknowledgement was lost may be on the bus by this instance, whether that shows by its appearance or by
    /// the answer to the next attempt; one that somebody else has published before is not.
    #[test]
    fn a_lost_acknowledgement_is_remembered() {
        let id = |n| EnvelopeId([n; 16]);
        let mut leader = coverage(true);
        leader.take_role(Role::Leader { term: Some(term(7)) }, None);
        (1..=5).for_each(|n| drop(leader.read(at(1), entry(n, 1))));
        leader.hand_out(at(1)).unwrap();
        assert!((1..=5).all(|n| !leader.may_have_published(&id(n))), "the first answers are on their way");
        leader.appeared(id(5));
        let appeared: Vec<u8> = [1, 2, 3, 5].into_iter().filter(|n| leader.give_back_in_doubt(id(*n))).collect();
        assert_eq!(appeared, [5]);
        leader.give_back(id(4));
        let doubtful = |leader: &Coverage| (1..=5).filter(|n| leader.may_have_published(&id(*n))).collect::<Vec<u8>>();
        assert_eq!(doubtful(&leader), [1, 2, 3]);
        leader.hand_out(at(1)).unwrap();
        leader.appeared(id(3));
        assert_eq!(doubtful(&leader), [1, 2, 3], "the next attempt changes nothing");
        (1..=4).for_each(|n| drop(leader.acknowledged(id(n), false)));
        assert!(doubtful(&leader).is_empty());
        assert_eq!((leader.held_lines(), leader.fates()), (0, Fates { known: 5, ..Fates::default() }));
    }

    /// On a bus that drops nothing, a standby never publishes, and a new leader leaves out what is known to be covered.
    #[test]
    fn without_deduplication_only_the_leader_publishes() {
        let mut standby = coverage(false);
        standby.observe(term(7));
        for n in 1..=4 {
            standby.read(at(1_000 * u64::from(n)), entry(n, 1_000 * u64::from(n)));
        }
        assert_eq!(standby.hand_out(at(60_000)), None);
        // Of the other channel the leader had covered less.
        let mut other = entry(5, 1_500);
        other.message.channel = "d".into();
        standby.read(at(4_500), other);
        let span = |until| Span { since: Some(0), until: Some(until), held_back: false };
        let note = CoverageNote {
            all: span(2_000),
            except: [("d".to_owned(), span(1_000))].into(),
            ..CoverageNote::default()
        };
        standby.take_role(Role::Leader { term: Some(term(8)) }, Some(&note));
        assert_eq!(ids(standby.hand_out(at(60_000))), [3, 4, 5]);
    }

    /// What the byte bound forces out is reported, so that it becomes a gap.
    #[test]
    fn the_byte_bound_reports_what_it_forces_out() {
        let mut standby = Coverage::new(CoverageConfig {
            ring: RingLimits { bytes: 600, age: Duration::from_secs(600) },
            ..coverage(true).config
        });
        assert!(standby.read(at(1), entry(1, 1)).is_empty());
        assert!(standby.read(at(2), entry(2, 2)).is_empty());
        let out = standby.read(at(3), entry(3, 3));
        assert_eq!(out.iter().map(|entry| entry.read_at_ms).collect::<Vec<_>>(), [1]);
        assert_eq!(standby.counts().forced_out, 1);
    }
}
