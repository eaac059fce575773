//! Every fault, and what must come of it.

use std::time::Duration;

use rustix::process::Signal;
use tenure_test_servers::Cut;

use crate::arena::{Arena, Outcome};
use crate::journal::boottime;
use crate::judge::longest_pause;
use crate::rig::{Deed, Plays};

/// How often a leader may be lost for another reason than the one that is played.
const TRIES: usize = 3;

/// One kind of fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    needs: Needs,
    /// Whether it is played in a short run too: what others show as well is not.
    pub(crate) brief: bool,
    /// Plays it once and mends it.
    pub(crate) play: fn(&mut Arena, usize) -> Result<Outcome, String>,
}

/// What it is played on.
enum Needs {
    /// Processes alone.
    Workers,
    /// Connections.
    Ways,
    /// Wall clocks that can be set.
    Clocks,
    /// Servers to which this can be done.
    Servers(Deed),
}

/// Those that strike one worker come first, and the servers' own behind them.
pub(crate) const FAULTS: &[Fault] = &[
    Fault { name: "client_stopped_past_the_ttl", needs: Needs::Workers, brief: true, play: client_stopped },
    Fault { name: "client_killed", needs: Needs::Workers, brief: true, play: client_killed },
    Fault { name: "client_clocks_an_hour_off", needs: Needs::Clocks, brief: true, play: clocks_an_hour_off },
    Fault {
        name: "connection_black_holed",
        needs: Needs::Ways,
        brief: true,
        play: |arena, _| way_cut(arena, Cut::Silent),
    },
    Fault {
        name: "connection_forgotten",
        needs: Needs::Ways,
        brief: false,
        play: |arena, _| way_cut(arena, Cut::Lost),
    },
    Fault { name: "vanished_by_port", needs: Needs::Ways, brief: true, play: |arena, _| way_cut(arena, Cut::Vanished) },
    Fault {
        name: "cut_inside_a_reply",
        needs: Needs::Ways,
        brief: true,
        play: |arena, _| way_cut(arena, Cut::InsideReply),
    },
    Fault { name: "answers_later_than_a_ttl", needs: Needs::Ways, brief: false, play: answers_late },
    Fault { name: "all_answers_later_than_a_ttl", needs: Needs::Ways, brief: true, play: all_answers_late },
    Fault { name: "outage_during_the_release", needs: Needs::Ways, brief: true, play: outage_during_release },
    Fault {
        name: "servers_stopped",
        needs: Needs::Servers(Deed::Pause),
        brief: true,
        play: |arena, _| servers_away(arena, Deed::Pause),
    },
    Fault {
        name: "servers_stopped_during_the_release",
        needs: Needs::Servers(Deed::Pause),
        brief: false,
        play: |arena, _| servers_stopped_during_release(arena),
    },
    Fault {
        name: "servers_killed",
        needs: Needs::Servers(Deed::Kill),
        brief: false,
        play: |arena, _| servers_away(arena, Deed::Kill),
    },
    Fault {
        name: "servers_restarted_at_once",
        needs: Needs::Servers(Deed::Kill),
        brief: false,
        play: |arena, _| servers_restarted(arena),
    },
    Fault {
        name: "older_state",
        needs: Needs::Servers(Deed::Rewind),
        brief: true,
        play: |arena, _| state_forgotten(arena, Deed::Rewind),
    },
    Fault {
        name: "leader_node_killed",
        needs: Needs::Servers(Deed::KillNode),
        brief: true,
        play: |arena, _| node(arena, Deed::KillNode),
    },
    Fault {
        name: "leader_node_stopped",
        needs: Needs::Servers(Deed::PauseNode),
        brief: true,
        play: |arena, _| node(arena, Deed::PauseNode),
    },
    Fault {
        name: "leader_node_cut_off",
        needs: Needs::Servers(Deed::CutOffNode),
        brief: true,
        play: |arena, _| node(arena, Deed::CutOffNode),
    },
    Fault {
        name: "data_lost",
        needs: Needs::Servers(Deed::Lose),
        brief: true,
        play: |arena, _| state_forgotten(arena, Deed::Lose),
    },
    Fault {
        name: "store_clock_stepped",
        needs: Needs::Servers(Deed::StepClock),
        brief: true,
        play: |arena, _| store_clock(arena),
    },
];

impl Fault {
    /// Whether it comes after every fault by which a store forgets: once a clock that seeds terms was ahead, the store's or
    /// that of a client where the store has none, terms count on from there for as long, one by one; an older state then
    /// brings a term back that was used.
    pub(crate) fn comes_last(&self) -> bool {
        matches!(self.needs, Needs::Clocks | Needs::Servers(Deed::StepClock))
    }

    /// Whether it can be played here.
    pub(crate) fn plays(&self, arena: &Arena) -> Plays {
        match self.needs {
            Needs::Workers => Plays::Inside,
            Needs::Ways if arena.fleet.has_ways() => Plays::Inside,
            Needs::Ways => Plays::Nothing,
            Needs::Clocks if arena.fleet.has_clocks() => Plays::Inside,
            Needs::Clocks => Plays::Missing("libfaketime is absent: apt-get install faketime"),
            Needs::Servers(deed) => arena.rig.plays(deed),
        }
    }
}

// ---- clients -------------------------------------------------------------------------------------------------------

fn client_stopped(arena: &mut Arena, _: usize) -> Result<Outcome, String> {
    let leader = arena.fleet.settled()?;
    let from = boottime();
    arena.fleet.signal(leader.worker, Signal::STOP);
    let followed = arena.followed(leader, from);
    // Past the ttl, however early somebody else took over.
    std::thread::sleep((from + arena.ttl * 5 / 4).saturating_sub(boottime()));
    arena.fleet.signal(leader.worker, Signal::CONT);
    let (_, retaken) = followed?;
    Ok(Outcome { retaken, bound: arena.after_a_loss(), nobody: None })
}

fn client_killed(arena: &mut Arena, _: usize) -> Result<Outcome, String> {
    let leader = arena.mortal_leader()?;
    let from = boottime();
    arena.fleet.kill(leader.worker);
    let followed = arena.followed(leader, from);
    arena.fleet.start_worker(leader.worker)?;
    Ok(Outcome { retaken: followed?.1, bound: arena.after_a_loss(), nobody: None })
}

/// The leader's clock jumps an hour one way and the others' the other way, in the next round the other way about; the
/// leader goes on, and hands over to somebody two hours apart.
fn clocks_an_hour_off(arena: &mut Arena, round: usize) -> Result<Outcome, String> {
    // A busy machine may take the leadership away as well, but not each time.
    for _ in 0..TRIES {
        let leader = arena.fleet.settled()?;
        let (own, others) = if round.is_multiple_of(2) { ("+1h", "-1h") } else { ("-1h", "+1h") };
        for worker in 0..arena.fleet.count() {
            arena.fleet.set_clock(worker, if worker == leader.worker { own } else { others })?;
        }
        arena.outlast();
        let now = arena.fleet.settled()?;
        let handed = arena.hand_over(now);
        for worker in 0..arena.fleet.count() {
            arena.fleet.set_clock(worker, "+0")?;
        }
        let (_, retaken) = handed?;
        if now == leader {
            return Ok(Outcome { retaken, bound: arena.after_a_loss(), nobody: None });
        }
    }
    Err(format!("a leader lost its leadership {TRIES} times because wall clocks jumped"))
}

// ---- connections ---------------------------------------------------------------------------------------------------

fn way_cut(arena: &mut Arena, how: Cut) -> Result<Outcome, String> {
    let leader = arena.fleet.settled()?;
    let from = boottime();
    let cut = arena.fleet.cut(Some(leader.worker), how);
    let followed = arena.followed(leader, from);
    drop(cut);
    Ok(Outcome { retaken: followed?.1, bound: arena.after_a_loss(), nobody: None })
}

fn answers_late(arena: &mut Arena, _: usize) -> Result<Outcome, String> {
    way_cut(arena, Cut::Late(arena.ttl * 5 / 4))
}

/// Whatever is granted is granted too late: nobody may act on it.
fn all_answers_late(arena: &mut Arena, _: usize) -> Result<Outcome, String> {
    arena.fleet.settled()?;
    let from = boottime();
    let cut = arena.fleet.cut(None, Cut::Late(arena.ttl * 5 / 4));
    std::thread::sleep(arena.ttl * 3);
    let mended = boottime();
    drop(cut);
    // What was on its way late arrives late.
    back(arena, from, mended, arena.after_mending() + arena.ttl * 5 / 4)
}

/// The leader gives up and cannot say so; it stands by again while its lease runs out.
fn outage_during_release(arena: &mut Arena, _: usize) -> Result<Outcome, String> {
    let leader = arena.fleet.settled()?;
    let from = boottime();
    let cut = arena.fleet.cut(Some(leader.worker), Cut::Silent);
    arena.fleet.signal(leader.worker, Signal::USR1);
    let followed = arena.followed(leader, from);
    drop(cut);
    Ok(Outcome { retaken: followed?.1, bound: arena.after_a_loss(), nobody: None })
}

// ---- servers -------------------------------------------------------------------------------------------------------

/// Away for longer than a ttl: whoever leads is out of time meanwhile.
fn servers_away(arena: &mut Arena, deed: Deed) -> Result<Outcome, String> {
    arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(deed)?;
    let struck = boottime();
    arena.outlast();
    let mending = boottime();
    arena.rig.mend(deed)?;
    let mut outcome = back(arena, from, boottime(), arena.after_mending())?;
    outcome.nobody = Some((struck + arena.ttl, mending));
    Ok(outcome)
}

fn servers_stopped_during_release(arena: &mut Arena) -> Result<Outcome, String> {
    let leader = arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(Deed::Pause)?;
    arena.fleet.signal(leader.worker, Signal::USR1);
    let struck = boottime();
    arena.outlast();
    let mending = boottime();
    arena.rig.mend(Deed::Pause)?;
    let mut outcome = back(arena, from, boottime(), arena.after_mending())?;
    outcome.nobody = Some((struck + arena.ttl, mending));
    Ok(outcome)
}

/// Back before anybody is out of time.
fn servers_restarted(arena: &mut Arena) -> Result<Outcome, String> {
    arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(Deed::Kill)?;
    arena.rig.mend(Deed::Kill)?;
    let mended = boottime();
    let outcome = back(arena, from, mended, arena.after_mending())?;
    let retaken = longest_pause(arena.fleet.acts()?, mended, boottime());
    Ok(Outcome { retaken, nobody: None, ..outcome })
}

/// The servers forget a tenure that was granted and goes on.
fn state_forgotten(arena: &mut Arena, deed: Deed) -> Result<Outcome, String> {
    let before = arena.fleet.settled()?;
    if deed == Deed::Rewind {
        arena.rig.save()?;
    }
    arena.hand_over(before)?;
    arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(deed)?;
    arena.rig.mend(deed)?;
    // How long servers take to start is their own affair.
    let mended = boottime();
    let outcome = back(arena, from, mended, arena.after_mending() + arena.ttl)?;
    // Whoever was forgotten acts on until it asks.
    let retaken = longest_pause(arena.fleet.acts()?, mended, boottime());
    Ok(Outcome { retaken, nobody: None, ..outcome })
}

/// The others go on without that node, as far as they can.
fn node(arena: &mut Arena, deed: Deed) -> Result<Outcome, String> {
    arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(deed)?;
    // Whoever leads may go on, or run out of time and be followed.
    arena.outlast();
    if deed == Deed::CutOffNode {
        // Clients that reach the node need not notice; the others shall have put another one in its place meanwhile.
        std::thread::sleep(arena.rig.failover() / 2);
    }
    let recovered = arena.fleet.settled();
    arena.rig.mend(deed)?;
    recovered?;
    // What only the old node knew of is lost now.
    arena.outlast();
    arena.fleet.settled()?;
    let retaken = longest_pause(arena.fleet.acts()?, from, boottime());
    Ok(Outcome { retaken, bound: arena.after_mending(), nobody: None })
}

/// An hour ahead: every lease has run out for the server, and its holders do not know.
fn store_clock(arena: &mut Arena) -> Result<Outcome, String> {
    arena.fleet.settled()?;
    let from = boottime();
    arena.rig.strike(Deed::StepClock)?;
    arena.outlast();
    let ahead = arena.fleet.settled();
    arena.rig.mend(Deed::StepClock)?;
    ahead?;
    arena.outlast();
    arena.fleet.settled()?;
    let retaken = longest_pause(arena.fleet.acts()?, from, boottime());
    Ok(Outcome { retaken, bound: arena.after_mending(), nobody: None })
}

/// Waits until somebody acts who was answered after the servers came back: whoever was current before is out of time a
/// ttl later, so that a steady leader then is one of these.
fn back(arena: &mut Arena, from: Duration, mended: Duration, bound: Duration) -> Result<Outcome, String> {
    let (_, began) = arena.fleet.act("somebody who acts again", |act| act.begin >= mended)?;
    arena.fleet.settled()?;
    if boottime() < mended + arena.ttl {
        std::thread::sleep((mended + arena.ttl).saturating_sub(boottime()));
        arena.fleet.settled()?;
    }
    let nobody = Some((from + arena.ttl, mended)).filter(|(first, last)| first < last);
    Ok(Outcome { retaken: began.saturating_sub(mended), bound, nobody })
}
