//! What is done to the leader, and what must come of it.

use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::{Fleet, Leader, TTL, Work, is_alive, signal};
use crate::writer::boottime;

/// One kind of fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What the candidates run.
    pub(crate) command: Work,
    /// Strikes once, mends what it broke, and says how long the lease was without a child.
    pub(crate) strike: fn(&mut Fleet) -> Result<Duration, String>,
}

/// Every kind.
pub(crate) const FAULTS: &[Fault] = &[
    Fault { name: "tenure_is_killed", command: Work::Writer, strike: kill_tenure },
    Fault { name: "the_watchdog_is_killed", command: Work::Writer, strike: kill_watchdog },
    Fault { name: "the_command_is_killed", command: Work::Writer, strike: kill_child },
    Fault { name: "tenure_is_stopped", command: Work::Writer, strike: stop_tenure },
    Fault { name: "tenure_watchdog_and_command_are_stopped", command: Work::Writer, strike: stop_all },
    Fault { name: "the_store_is_away_for_three_ttls", command: Work::Writer, strike: store_away },
    Fault { name: "tenure_of_a_setsid_grandchild_is_killed", command: Work::Daemon, strike: kill_tenure },
    Fault { name: "the_watchdog_of_a_setsid_grandchild_is_killed", command: Work::Daemon, strike: kill_watchdog },
    Fault { name: "the_command_of_a_setsid_grandchild_is_killed", command: Work::Daemon, strike: kill_child },
    Fault { name: "tenure_is_killed_at_the_limit_of_processes", command: Work::Full, strike: kill_tenure },
    Fault { name: "the_watchdog_is_killed_at_the_limit_of_processes", command: Work::Full, strike: kill_watchdog },
    Fault { name: "tenure_is_killed_without_handles", command: Work::WithoutHandles, strike: kill_tenure },
    Fault { name: "the_watchdog_is_killed_without_handles", command: Work::WithoutHandles, strike: kill_watchdog },
    Fault { name: "tenure_of_a_crowd_is_stopped", command: Work::Crowd, strike: stop_tenure },
    Fault { name: "the_watchdog_of_a_crowd_is_killed", command: Work::Crowd, strike: kill_watchdog },
    Fault { name: "a_command_with_other_rights_is_to_end", command: Work::OtherRights, strike: outlive },
    Fault {
        name: "the_watchdog_of_a_dead_command_is_stopped",
        command: Work::Writer,
        strike: stop_watchdog_and_kill_child,
    },
];

/// Those that a file alone can suffer.
pub(crate) const OF_A_FILE: &[Fault] =
    &[Fault { name: "the_log_of_the_file_is_removed", command: Work::Writer, strike: remove_log }];

/// How often the leader is struck until somebody of the other build follows.
const STRIKES: u32 = 8;

/// Those that are played where there is another build beside this one.
pub(crate) const OF_TWO_BUILDS: &[Fault] = &[
    Fault { name: "two_builds_hand_over_at_the_end", command: Work::Writer, strike: end_tenure },
    Fault { name: "two_builds_follow_a_kill", command: Work::Writer, strike: kill_all },
];

/// Ends the leader as a rolling upgrade does: the other build follows, and must have waited for the release.
fn end_tenure(fleet: &mut Fleet) -> Result<Duration, String> {
    handed_over(fleet, |leader| signal(leader.tenure, Signal::TERM))
}

/// Nobody is left to release the lease: the other build must read how long it lasts, as the first one wrote it.
fn kill_all(fleet: &mut Fleet) -> Result<Duration, String> {
    handed_over(fleet, |leader| {
        for pid in [leader.tenure, leader.watchdog, leader.child] {
            signal(pid, Signal::STOP);
        }
        for pid in [leader.child, leader.watchdog, leader.tenure] {
            signal(pid, Signal::KILL);
        }
    })
}

/// Strikes until the other candidate follows, which is of the other build: whoever was struck is started again, and may win.
fn handed_over(fleet: &mut Fleet, strike: impl Fn(Leader)) -> Result<Duration, String> {
    for _ in 0..STRIKES {
        let leader = fleet.steady_leader()?;
        let before = fleet.candidate_of(leader);
        let took = struck_at(fleet, leader, boottime(), &strike)?;
        let next = fleet.leader_after(leader.term)?;
        if fleet.candidate_of(next) != before {
            return Ok(took);
        }
    }
    Err(format!("the same build followed itself {STRIKES} times"))
}

fn kill_tenure(fleet: &mut Fleet) -> Result<Duration, String> {
    struck(fleet, |leader| signal(leader.tenure, Signal::KILL))
}

fn kill_watchdog(fleet: &mut Fleet) -> Result<Duration, String> {
    struck(fleet, |leader| signal(leader.watchdog, Signal::KILL))
}

fn kill_child(fleet: &mut Fleet) -> Result<Duration, String> {
    struck(fleet, |leader| signal(leader.child, Signal::KILL))
}

/// The watchdog alone must end the child by the deadline; `tenure` goes on afterwards and finds it so.
fn stop_tenure(fleet: &mut Fleet) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    signal(leader.tenure, Signal::STOP);
    let took = followed(fleet, leader);
    signal(leader.tenure, Signal::CONT);
    gone(fleet, leader.child)?;
    took
}

/// A child that nobody of its user can end keeps the lease, whoever is asked or killed; then it dies.
fn outlive(fleet: &mut Fleet) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    signal(leader.watchdog, if leader.term % 2 == 0 { Signal::KILL } else { Signal::STOP });
    signal(leader.tenure, Signal::TERM);
    let from = boottime();
    fleet.until("two ttls", |fleet| (boottime() > from + 2 * TTL || fleet.leads_since(leader.term)).then_some(()))?;
    if fleet.leads_since(leader.term) {
        return Err("somebody else began beside a child that lives".to_owned());
    }
    struck_at(fleet, leader, boottime(), |leader| signal(leader.child, Signal::KILL))
}

/// A stopped watchdog sees no end: `tenure` does.
fn stop_watchdog_and_kill_child(fleet: &mut Fleet) -> Result<Duration, String> {
    struck(fleet, |leader| {
        signal(leader.watchdog, Signal::STOP);
        signal(leader.child, Signal::KILL);
    })
}

/// Nobody is left to end the child, but it is stopped itself. The watchdog goes on first, and must end it unseen.
fn stop_all(fleet: &mut Fleet) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    for pid in [leader.child, leader.watchdog, leader.tenure] {
        signal(pid, Signal::STOP);
    }
    let took = followed(fleet, leader);
    for pid in [leader.watchdog, leader.tenure] {
        signal(pid, Signal::CONT);
    }
    let ended = gone(fleet, leader.child);
    signal(leader.child, Signal::CONT);
    ended.and(took)
}

/// Everybody must stop while nobody can renew; with its data back, somebody leads again.
fn store_away(fleet: &mut Fleet) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    let from = boottime();
    fleet.store.go_away()?;
    let ended = gone(fleet, leader.child);
    let after = boottime().saturating_sub(from);
    if after < 3 * TTL {
        std::thread::sleep(3 * TTL - after);
    }
    fleet.store.come_back()?;
    ended?;
    if after > TTL + Duration::from_millis(500) {
        return Err(format!("the child was alive {after:?} after the store went away, with a ttl of {TTL:?}"));
    }
    let back = boottime();
    fleet.leader_after(leader.term)?;
    Ok(boottime().saturating_sub(back))
}

/// Whoever leads must notice, also through a symlink, and nobody begins before what was in the log has run out.
fn remove_log(fleet: &mut Fleet) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    fleet.store.remove_log()?;
    followed(fleet, leader)
}

fn struck(fleet: &mut Fleet, strike: impl FnOnce(Leader)) -> Result<Duration, String> {
    let leader = fleet.steady_leader()?;
    struck_at(fleet, leader, boottime(), strike)
}

fn struck_at(fleet: &mut Fleet, leader: Leader, at: Duration, strike: impl FnOnce(Leader)) -> Result<Duration, String> {
    strike(leader);
    fleet.leader_after(leader.term)?;
    let first = fleet.first_line_after(leader.term).unwrap_or_else(boottime);
    Ok(first.saturating_sub(at))
}

/// Waits for the next leader, which begins when the stopped one's lease has run out.
fn followed(fleet: &mut Fleet, leader: Leader) -> Result<Duration, String> {
    let at = boottime();
    fleet.leader_after(leader.term)?;
    Ok(boottime().saturating_sub(at))
}

fn gone(fleet: &mut Fleet, child: u32) -> Result<(), String> {
    fleet.until("the end of the old child", |_| (!is_alive(child)).then_some(()))
}
