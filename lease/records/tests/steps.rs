//! The steps of verbs against a server that is played by hand: answers that come in any order, late, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use tenure_records::{
    Ask, Bound, Content, Lasts, Memory, Moment, Next, Occupancy, Record, Seen, Step, Swap, Told, Version, Write,
};
use tenure_store::{
    Claim, Claimed, Held, HolderId, LeaseKey, Nonce, Note, RecordFormat, Released, Renewed, StoreError, StoreErrorKind,
    Term, Time,
};

const TTL: Duration = Duration::from_secs(10);

/// A server with one record.
#[derive(Default)]
struct Server {
    content: Option<Content>,
    version: Option<u64>,
    writes: u64,
    micros: Option<u64>,
    complete_for: Option<Duration>,
}

impl Server {
    fn read(&self) -> Seen {
        let version = self.version.map(|version| Version::new(version.to_string()));
        let complete_for = self.complete_for;
        Seen { content: self.content.clone(), version, server_micros: self.micros, complete_for, ..Seen::default() }
    }

    fn write(&mut self, write: &Write) -> Swap {
        if write.expected != self.read().version {
            return Swap::Conflict(Some(self.read()));
        }
        self.writes += 1;
        (self.content, self.version) = (write.to.clone(), Some(self.writes));
        Swap::Done(Version::new(self.writes.to_string()))
    }

    fn record(&self) -> &Record {
        match &self.content {
            Some(Content::Lease(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    /// The nonce and term of the tenure that stands there.
    fn tenure(&self) -> Option<(u64, u64)> {
        match &self.record().occupancy {
            Occupancy::Tenure(occupant) => Some((occupant.nonce.process, self.record().term.unwrap().get())),
            _ => None,
        }
    }
}

/// A process.
struct Process {
    memory: Memory,
    wall_micros: u64,
}

impl Process {
    fn new() -> Process {
        Process { memory: Memory::new(7), wall_micros: 1_000 }
    }

    fn at(&self, seconds: u64) -> Moment {
        Moment { now: Time::from_millis(seconds * 1_000), wall_micros: self.wall_micros }
    }

    fn begin(&mut self, now: u64, ask: Ask) -> (Step, Next) {
        let at = self.at(now);
        Step::begin(ask, at, &mut self.memory)
    }

    fn seen(&mut self, now: u64, step: &mut Step, seen: Result<Seen, StoreError>) -> Next {
        let at = self.at(now);
        step.seen(at, seen, &mut self.memory)
    }

    fn swapped(&mut self, now: u64, step: &mut Step, swap: Result<Swap, StoreError>) -> Next {
        let at = self.at(now);
        step.swapped(at, swap, &mut self.memory)
    }

    /// Takes a step to its end from where it is; says how many reads and writes that took.
    fn finish(&mut self, now: u64, server: &mut Server, mut step: Step, mut next: Next) -> (Told, [u32; 2]) {
        let mut calls = [0, 0];
        loop {
            next = match next {
                Next::Read(_) => {
                    calls[0] += 1;
                    self.seen(now, &mut step, Ok(server.read()))
                }
                Next::Write(write) => {
                    calls[1] += 1;
                    let swap = server.write(&write);
                    self.swapped(now, &mut step, Ok(swap))
                }
                Next::Done(told) => return (told.unwrap(), calls),
            };
        }
    }

    fn ask(&mut self, now: u64, server: &mut Server, ask: Ask) -> (Told, [u32; 2]) {
        let (step, next) = self.begin(now, ask);
        self.finish(now, server, step, next)
    }

    fn claim(&mut self, now: u64, server: &mut Server, nonce: u64) -> Term {
        match self.ask(now, server, Ask::Acquire(claim(nonce))).0 {
            Told::Claimed(Claimed::Granted { term, .. }) => term,
            other => panic!("{other:?}"),
        }
    }

    /// How long the claim is told that the key is held.
    fn refused(&mut self, now: u64, server: &mut Server, nonce: u64) -> Option<Duration> {
        match self.ask(now, server, Ask::Acquire(claim(nonce))).0 {
            Told::Claimed(Claimed::Held { remaining, .. }) => remaining,
            other => panic!("{other:?}"),
        }
    }
}

fn key() -> LeaseKey {
    LeaseKey::new("key").unwrap()
}

fn claim(process: u64) -> Claim {
    let holder = HolderId::new(format!("host-{process}")).unwrap();
    Claim { hold: TTL, ..Claim::new(key(), holder, Nonce { process, campaign: 1 }, TTL) }
}

fn held(process: u64, term: Term) -> Held {
    Held { key: key(), nonce: Nonce { process, campaign: 1 }, term, ttl: TTL, note: Note::default() }
}

fn unknown() -> StoreError {
    StoreError::new(StoreErrorKind::TimedOut, "no answer")
}

fn write_of(next: Next) -> Write {
    match next {
        Next::Write(write) => write,
        other => panic!("{other:?}"),
    }
}

/// A claim whose outcome is unknown and which was done: the repeated one meets its own nonce, extends, and keeps the term.
#[test]
fn a_repeated_claim_meets_its_own_nonce() {
    let (mut server, mut process) = (Server::default(), Process::new());
    let (mut step, _) = process.begin(0, Ask::Acquire(claim(1)));
    let write = write_of(process.seen(0, &mut step, Ok(server.read())));
    server.write(&write);
    match process.swapped(5, &mut step, Err(unknown())) {
        Next::Done(Err(error)) => assert!(error.is_outcome_unknown()),
        other => panic!("{other:?}"),
    }
    let before = server.tenure();
    let (told, calls) = process.ask(6, &mut server, Ask::Acquire(claim(1)));
    assert!(matches!(told, Told::Claimed(Claimed::Granted { .. })), "{told:?}");
    assert_eq!((server.tenure(), server.writes, calls), (before, 2, [1, 1]));
}

/// The first of two tries of a claim that lands after the second was granted, or after that tenure was released, changes
/// nothing: its version is gone for good.
#[test]
fn a_claim_that_lands_late_lands_nowhere() {
    let (mut server, mut process) = (Server::default(), Process::new());
    let (mut first, _) = process.begin(0, Ask::Acquire(claim(1)));
    let late = write_of(process.seen(0, &mut first, Ok(server.read())));
    process.swapped(5, &mut first, Err(unknown()));
    let term = process.claim(5, &mut server, 1);
    assert!(matches!(server.write(&late), Swap::Conflict(_)));
    assert_eq!(process.ask(6, &mut server, Ask::Release(held(1, term))).0, Told::Released(Released::Freed));
    assert!(matches!(server.write(&late), Swap::Conflict(_)));
    assert_eq!((server.tenure(), server.record().term), (None, Some(term)));
}

/// A renewal and a release that are under way at once: whichever comes first, the key is free in the end, and a renewal
/// that comes second is told of the loss.
#[test]
fn a_release_overtakes_no_renewal() {
    for release_first in [true, false] {
        let (mut server, mut process) = (Server::default(), Process::new());
        let term = process.claim(0, &mut server, 1);
        let (mut renewal, next) = process.begin(1, Ask::Renew(held(1, term)));
        let renew = write_of(next);
        let (release, next) = process.begin(1, Ask::Release(held(1, term)));
        if release_first {
            let (told, calls) = process.finish(1, &mut server, release, next);
            assert_eq!((told, calls), (Told::Released(Released::Freed), [0, 1]));
            let swap = server.write(&renew);
            match process.swapped(2, &mut renewal, Ok(swap)) {
                Next::Done(Ok(told)) => assert_eq!(told, Told::Renewed(Renewed::Lost { to: None })),
                other => panic!("{other:?}"),
            }
        } else {
            let swap = server.write(&renew);
            let (told, calls) = process.finish(1, &mut server, release, next);
            assert_eq!((told, calls), (Told::Released(Released::Freed), [0, 2]));
            // Its answer comes last, and what it says of the version is old by then.
            assert!(matches!(process.swapped(2, &mut renewal, Ok(swap)), Next::Done(Ok(_))));
            let (told, _) = process.ask(3, &mut server, Ask::Renew(held(1, term)));
            assert_eq!(told, Told::Renewed(Renewed::Lost { to: None }));
        }
        assert_eq!((server.tenure(), server.record().term), (None, Some(term)));
    }
}

/// The release of a tenure whose first write is still under way finds nothing to release; the late write then holds the key
/// until it has been silent for a ttl, or is released by whoever finds it.
#[test]
fn a_release_before_its_claim_finds_nothing() {
    let (mut server, mut process) = (Server::default(), Process::new());
    let (mut step, _) = process.begin(0, Ask::Acquire(claim(1)));
    let late = write_of(process.seen(0, &mut step, Ok(server.read())));
    let term = Term::new(process.wall_micros).unwrap();
    assert_eq!(process.ask(1, &mut server, Ask::Release(held(1, term))).0, Told::Released(Released::NotHeld));
    assert!(matches!(server.write(&late), Swap::Done(_)));
    assert_eq!(process.ask(2, &mut server, Ask::Release(held(1, term))).0, Told::Released(Released::Freed));
}

/// A renewal reaches a record that was asked to resign by a conflict, extends it all the same and hears of the request. A
/// second request writes nothing.
#[test]
fn a_request_to_resign_reaches_the_holder() {
    let (mut server, mut holder, mut operator) = (Server::default(), Process::new(), Process::new());
    let term = holder.claim(0, &mut server, 1);
    let request = || Ask::RequestResign(key());
    assert_eq!(operator.ask(1, &mut server, request()), (Told::ResignRequested(true), [1, 1]));
    assert_eq!(operator.ask(1, &mut server, request()), (Told::ResignRequested(true), [1, 0]));
    let (told, calls) = holder.ask(2, &mut server, Ask::Renew(held(1, term)));
    assert_eq!(told, Told::Renewed(Renewed::Extended { resign_requested: true }));
    assert_eq!(calls, [0, 2]);
    assert_eq!(server.tenure(), Some((1, term.get())));
}

/// A request to resign touches no record that is over, whoever wrote it: nobody is asked, and nothing is written.
#[test]
fn a_request_to_resign_leaves_what_is_over() {
    let (mut server, mut operator) = (Server::default(), Process::new());
    let foreign = Record::foreign(HolderId::new("theirs").unwrap(), RecordFormat::Foreign, Lasts::Unchanged(TTL));
    (server.content, server.version) = (Some(Content::Lease(foreign.clone())), Some(0));
    assert_eq!(operator.ask(0, &mut server, Ask::RequestResign(key())), (Told::ResignRequested(false), [1, 0]));
    assert_eq!(operator.ask(20, &mut server, Ask::RequestResign(key())), (Told::ResignRequested(false), [1, 0]));
    assert_eq!(server.record(), &foreign);
    // A removal takes it, and a claim does, each in one write.
    assert_eq!(operator.ask(21, &mut server, Ask::Remove(key())), (Told::Removed(None), [1, 1]));
    assert_eq!(operator.ask(22, &mut server, Ask::Remove(key())), (Told::Removed(None), [1, 0]));
}

/// A request to resign is noted in a record without an end of its own, and changes nothing else of it; a removal frees it.
#[test]
fn a_request_to_resign_leaves_what_is_bound() {
    let (mut server, mut owner, mut operator) = (Server::default(), Process::new(), Process::new());
    let term = owner.claim(0, &mut server, 1);
    let Some(Content::Lease(record)) = &mut server.content else { unreachable!() };
    let Occupancy::Tenure(occupant) = &mut record.occupancy else { unreachable!() };
    occupant.bound = Some(Bound { member: LeaseKey::new("member").unwrap(), term });
    occupant.resign_requested = true;
    let asked = record.clone();
    let Some(Content::Lease(record)) = &mut server.content else { unreachable!() };
    let Occupancy::Tenure(occupant) = &mut record.occupancy else { unreachable!() };
    occupant.resign_requested = false;
    assert_eq!(operator.ask(1, &mut server, Ask::RequestResign(key())), (Told::ResignRequested(true), [1, 1]));
    assert_eq!(operator.refused(100, &mut server, 2), None);
    assert_eq!(server.record(), &Record { beat: server.record().beat, ..asked });
    assert_eq!(operator.ask(100, &mut server, Ask::RequestResign(key())), (Told::ResignRequested(true), [1, 0]));
    assert!(matches!(operator.ask(101, &mut server, Ask::Remove(key())), (Told::Removed(Some(_)), [1, 1])));
    assert_eq!((server.tenure(), server.record().term), (None, Some(term)));
}

/// After a removal by force the old holder's writes land nowhere, its renewal is told of the loss, and terms go on growing.
#[test]
fn a_removal_ends_the_tenure_for_good() {
    let (mut server, mut holder, mut operator) = (Server::default(), Process::new(), Process::new());
    let term = holder.claim(0, &mut server, 1);
    let (mut renewal, next) = holder.begin(1, Ask::Renew(held(1, term)));
    let late = write_of(next);
    assert!(matches!(operator.ask(1, &mut server, Ask::Remove(key())).0, Told::Removed(Some(_))));
    let swap = server.write(&late);
    match holder.swapped(2, &mut renewal, Ok(swap)) {
        Next::Done(Ok(told)) => assert_eq!(told, Told::Renewed(Renewed::Lost { to: None })),
        other => panic!("{other:?}"),
    }
    assert!(operator.claim(3, &mut server, 2) > term);
}

/// A holder that has slept past its ttl does not take the short way, and its record counts as over though nobody took it.
#[test]
fn a_renewal_past_the_end_is_lost() {
    let (mut server, mut holder) = (Server::default(), Process::new());
    let term = holder.claim(0, &mut server, 1);
    let before = server.writes;
    let (told, calls) = holder.ask(11, &mut server, Ask::Renew(held(1, term)));
    assert_eq!((told, calls), (Told::Renewed(Renewed::Lost { to: None }), [1, 0]));
    assert_eq!(server.writes, before);
}

/// Silence counts through a claim whose outcome is unknown: if the version still stands, it has stood all the time, and
/// the next claim does not wait for another ttl.
#[test]
fn an_unknown_outcome_costs_no_second_wait() {
    let (mut server, mut dead, mut other) = (Server::default(), Process::new(), Process::new());
    let term = dead.claim(0, &mut server, 1);
    assert_eq!(other.refused(1, &mut server, 2), Some(TTL));
    let (mut step, next) = other.begin(11, Ask::Acquire(claim(2)));
    let lost = write_of(next);
    other.swapped(13, &mut step, Err(unknown()));
    // It is not known what stands there: the next try looks first, and the first try then lands nowhere.
    let (told, calls) = other.ask(13, &mut server, Ask::Acquire(claim(2)));
    assert!(matches!(told, Told::Claimed(Claimed::Granted { .. })), "{told:?}");
    assert_eq!(calls, [1, 1]);
    assert!(matches!(server.write(&lost), Swap::Conflict(_)));
    assert!(server.record().term > Some(term));
}

/// Where the lost claim was somebody else's gain, silence begins anew with the new version.
#[test]
fn an_unknown_outcome_proves_nothing_of_a_new_version() {
    let (mut server, mut dead, mut one, mut two) = (Server::default(), Process::new(), Process::new(), Process::new());
    dead.claim(0, &mut server, 1);
    assert_eq!(one.refused(1, &mut server, 2), Some(TTL));
    assert_eq!(two.refused(1, &mut server, 3), Some(TTL));
    let (mut step, _) = one.begin(11, Ask::Acquire(claim(2)));
    one.swapped(13, &mut step, Err(unknown()));
    two.claim(12, &mut server, 3);
    assert_eq!(one.refused(13, &mut server, 2), Some(TTL));
}

/// A process that begins has seen nothing and waits one ttl; of another's list it learns nothing.
#[test]
fn a_newcomer_waits_one_ttl() {
    let (mut server, mut dead) = (Server::default(), Process::new());
    dead.claim(0, &mut server, 1);
    let mut newcomer = Process::new();
    assert_eq!(newcomer.refused(100, &mut server, 2), Some(TTL));
    assert_eq!(newcomer.refused(104, &mut server, 2), Some(TTL - Duration::from_secs(4)));
    newcomer.claim(110, &mut server, 2);
    // What a list shows counts from then on as well.
    let mut lister = Process::new();
    let shown = lister.memory.listed(Time::from_millis(200_000), &key(), server.read());
    assert_eq!(shown.and_then(|record| record.remaining), Some(TTL));
    lister.claim(210, &mut server, 3);
}

/// A record that changes under every write makes the step give up without a change, and definitely.
#[test]
fn a_record_that_never_rests_is_left_alone() {
    let (server, mut process) = (Server::default(), Process::new());
    let (mut step, _) = process.begin(0, Ask::Acquire(claim(1)));
    let mut next = process.seen(0, &mut step, Ok(server.read()));
    let mut writes = 0;
    while let Next::Write(_) = next {
        writes += 1;
        next = process.swapped(0, &mut step, Ok(Swap::Conflict(Some(server.read()))));
    }
    match next {
        Next::Done(Err(error)) => assert_eq!((error.is_outcome_unknown(), writes), (false, 4)),
        other => panic!("{other:?}"),
    }
}

/// A read that failed leaves nothing in doubt, whatever its error says of itself; a definite error of a write neither.
#[test]
fn only_writes_have_unknown_outcomes() {
    let (server, mut process) = (Server::default(), Process::new());
    let (mut step, _) = process.begin(0, Ask::Acquire(claim(1)));
    assert!(
        matches!(process.seen(1, &mut step, Err(unknown())), Next::Done(Err(error)) if !error.is_outcome_unknown())
    );
    let (mut step, _) = process.begin(2, Ask::Acquire(claim(1)));
    process.seen(2, &mut step, Ok(server.read()));
    let refused = StoreError::new(StoreErrorKind::Unavailable, "not now");
    assert!(
        matches!(process.swapped(3, &mut step, Err(refused)), Next::Done(Err(error)) if !error.is_outcome_unknown())
    );
}

/// Wall clocks seed terms and do no more: one that is behind mints above what stands there, and where the server tells
/// the time its clock counts, also for what is claimed from memory.
#[test]
fn wall_clocks_only_seed_terms() {
    let mut server = Server::default();
    let (mut ahead, mut behind, mut broken) = (Process::new(), Process::new(), Process::new());
    (ahead.wall_micros, behind.wall_micros, broken.wall_micros) = (7_200_000_000, 5, u64::MAX);
    let mut last = ahead.claim(0, &mut server, 1);
    assert_eq!(last.get(), 7_200_000_000);
    ahead.ask(0, &mut server, Ask::Release(held(1, last)));
    for (process, nonce) in [(&mut behind, 2), (&mut broken, 3)] {
        let term = process.claim(1, &mut server, nonce);
        assert_eq!(term.get(), last.get() + 1);
        process.ask(1, &mut server, Ask::Release(held(nonce, term)));
        last = term;
    }
    server.micros = Some(9_000_000_000);
    let refreshed = behind.ask(10, &mut server, Ask::Look(key())).0;
    assert_eq!(refreshed, Told::Looked(None, Some(last)));
    // Nobody counts on from what the server told: its terms would be ahead of it, and one that comes back with an older state
    // would fall behind them.
    let term = behind.claim(7_200, &mut server, 4);
    assert_eq!(term.get(), 9_000_000_000);
    behind.ask(7_200, &mut server, Ask::Release(held(4, term)));
    // An answer that may have been overtaken takes nothing back.
    server.micros = Some(9_400_000_000);
    let (mut overtaken, _) = behind.begin(7_201, Ask::Look(key()));
    let early = server.read();
    server.micros = Some(9_500_000_000);
    behind.ask(7_202, &mut server, Ask::Look(key()));
    behind.seen(7_203, &mut overtaken, Ok(early));
    let term = behind.claim(7_204, &mut server, 5);
    assert_eq!(term.get(), 9_500_000_000);
    behind.ask(7_204, &mut server, Ask::Release(held(5, term)));
    // A clock that is set back is followed, or a server that forgets its records then would see the same term twice.
    (server.micros, server.content) = (Some(9_100_000_000), None);
    behind.ask(7_205, &mut server, Ask::Look(key()));
    assert_eq!(behind.claim(7_206, &mut server, 6).get(), 9_100_000_000);
}

/// Reads that overlap one after the other, without a lull, follow a clock that is set back as well: a reading counts from when it
/// came, not from when it was last believed.
#[test]
fn overlapping_reads_follow_a_clock() {
    let (mut server, mut process) = (Server { micros: Some(7_000_000_000), ..Server::default() }, Process::new());
    let term = process.claim(0, &mut server, 1);
    process.ask(0, &mut server, Ask::Release(held(1, term)));
    let look = || Ask::Look(key());
    let (mut first, mut second) = (process.begin(1, look()).0, process.begin(5, look()).0);
    server.micros = Some(9_000_000_000);
    process.seen(10, &mut first, Ok(server.read()));
    let mut third = process.begin(12, look()).0;
    server.micros = Some(8_000_000_000);
    process.seen(15, &mut second, Ok(server.read()));
    process.seen(22, &mut third, Ok(server.read()));
    assert_eq!(process.ask(23, &mut server, Ask::Acquire(claim(2))).1, [0, 1]);
    assert_eq!(server.tenure(), Some((2, 8_000_000_000)));
}

/// What a claim meets under its own nonce and considers over begins a new tenure, under a higher term.
#[test]
fn an_own_record_that_is_over_begins_anew() {
    let (mut server, mut process) = (Server::default(), Process::new());
    let term = process.claim(0, &mut server, 1);
    let again = process.claim(11, &mut server, 1);
    assert!(again > term);
    assert_eq!(process.ask(12, &mut server, Ask::Release(held(1, term))).0, Told::Released(Released::NotHeld));
    assert_eq!(server.tenure(), Some((1, again.get())));
}

/// A server that says that it lost writes not long ago frees nothing before everything has run out that may have been promised:
/// to the claimant's like, or to whoever is in the record that came back. An answer that was overtaken lifts no wait.
#[test]
fn what_may_be_lost_is_waited_out() {
    let second = Duration::from_secs(1);
    let (mut server, mut process) = (Server::default(), Process::new());
    server.complete_for = Some(second);
    assert_eq!(process.refused(20, &mut server, 1), Some(second * 9));
    server.complete_for = None;
    assert_eq!(process.refused(21, &mut server, 1), Some(second * 8));
    assert_eq!(server.writes, 0);
    server.complete_for = Some(second * 11);
    let term = process.claim(30, &mut server, 1);
    // Whoever holds goes on, and gives back.
    assert!(matches!(
        process.ask(31, &mut server, Ask::Renew(held(1, term))).0,
        Told::Renewed(Renewed::Extended { .. })
    ));
    let Some(Content::Lease(record)) = &mut server.content else { unreachable!() };
    let Occupancy::Tenure(occupant) = &mut record.occupancy else { unreachable!() };
    occupant.hold = TTL * 3;
    // Another process, much later, finds the record of somebody who is gone: it was promised three times the ttl.
    let mut other = Process::new();
    server.complete_for = Some(TTL);
    assert!(other.refused(100, &mut server, 2).is_some_and(|left| left <= TTL));
    server.complete_for = Some(TTL * 2);
    assert_eq!(other.refused(110, &mut server, 2), Some(TTL));
    server.complete_for = Some(TTL * 3);
    assert!(other.claim(120, &mut server, 2) > term);
}
