//! A run: every fault in rounds over one store, then what was left behind, then the verdict.

use std::time::Duration;

use crate::arena::Arena;
use crate::faults::{FAULTS, Fault};
use crate::fleet::{Fleet, LONG_LIVED, Resources};
use crate::journal::boottime;
use crate::judge::{self, Millis, Verdict, Window};
use crate::rig::{Plays, Rig};
use crate::row::Row;

/// The margin that the library keeps for this ttl: two fifteenths of it, and at least this.
const MARGIN: Duration = Duration::from_millis(200);
/// How many tenures a long run sees at least.
const ELECTIONS: usize = 60;
/// By how much the threads and the other descriptors of a worker that lives long may be more than in the beginning, when it
/// may have had no use for some of them yet. Its connections are bounded by [`Rig::connections_to_each`].
const WARM: [usize; 2] = [2, 3];
/// How many elections without a fault close a run: before them a client's pool is as warm as it gets, and whatever each of
/// them leaves behind is there as many times afterwards.
const CALM: usize = 12;
/// How many come before these are counted.
const CALMING: usize = 6;
/// How long what is left behind may take to go.
const GOING: Duration = Duration::from_secs(15);

/// How much is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Only what must be in a short run.
    brief: bool,
    /// How often each fault is.
    rounds: usize,
    /// How many tenures there must have been.
    elections: usize,
    /// For how long at least.
    at_least: Duration,
}

impl Plan {
    /// As `TENURE_FAULT_ROUNDS` and `TENURE_FAULT_MINUTES` say; without them what must be in a short run, once.
    pub(crate) fn from_environment() -> Plan {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
        let (rounds, minutes) = (number("TENURE_FAULT_ROUNDS"), number("TENURE_FAULT_MINUTES").unwrap_or(0));
        Plan {
            brief: rounds.is_none(),
            rounds: rounds.unwrap_or(1),
            elections: if rounds.is_some_and(|rounds| rounds >= 5) { ELECTIONS } else { 0 },
            at_least: Duration::from_secs(60 * minutes as u64),
        }
    }
}

/// What was played so far.
#[derive(Default)]
struct Played {
    windows: Vec<Window>,
    missing: Vec<String>,
    /// How many tenures there must have been in the end.
    elections: usize,
}

/// Plays everything and judges it; what goes wrong is in the row.
pub(crate) fn play(name: &'static str, rig: Box<dyn Rig>, plan: &Plan) -> Row {
    let (version, ttl, remark) = (rig.version(), rig.ttl(), rig.remark());
    let mut played = Played { elections: plan.elections, ..Played::default() };
    // Before the workers, so that only what they leave behind is more.
    let mut rig = rig;
    let connections = rig.connections();
    let fleet = match Fleet::start(rig.as_ref()) {
        Ok(fleet) => fleet,
        Err(why) => return Row { version, ..Row::failed(name, why) },
    };
    let mut arena = Arena { rig, fleet, ttl };
    let went = rounds(name, &mut arena, plan, &mut played).and_then(|()| leave(&mut arena, connections));
    let judged = (|| {
        let sink = arena.fleet.sink()?;
        let acts = arena.fleet.acts()?;
        Ok(judge::judge(acts, &sink, &played.windows, ttl, MARGIN.max(ttl * 2 / 15)))
    })();
    let mut verdict = judged.unwrap_or_else(|why: String| Verdict { broken: vec![why], ..Verdict::default() });
    if went.is_ok() && verdict.elections < played.elections {
        verdict.broken.push(format!("only {} elections, not {}", verdict.elections, played.elections));
    }
    verdict.broken.extend(went.err());
    if !verdict.broken.is_empty() {
        println!("{name}: what the workers wrote is kept in {}", arena.fleet.keep().display());
    }
    println!(
        "{name}: {} acts, {} of them held up, the fenced file refused {}",
        verdict.acts, verdict.held_up, verdict.refused
    );
    Row { store: name, version, faults: played.windows.len(), verdict, remark, missing: played.missing }
}

fn rounds(name: &str, arena: &mut Arena, plan: &Plan, played: &mut Played) -> Result<(), String> {
    let started = boottime();
    arena.fleet.settled()?;
    let warm = arena.fleet.resources(LONG_LIVED);
    let connections = arena.rig.connections_to_each() * arena.rig.ports().len();
    let may_be = Resources { threads: warm.threads + WARM[0], descriptors: warm.descriptors + WARM[1], connections };
    let mut rounds = 0;
    while rounds < plan.rounds || boottime() < started + plan.at_least {
        round(name, arena, rounds, plan, played, false)?;
        rounds += 1;
    }
    for number in 0..rounds {
        round(name, arena, number, plan, played, true)?;
    }
    let now = within(GOING, || {
        let now = arena.fleet.resources(LONG_LIVED);
        let is_more = now.is_more_than(may_be);
        is_more.map_or(Ok(now), |what| Err(format!("{what} of a worker grew from {warm} to {now}, not to {may_be}")))
    })?;
    let beside = arena.fleet.connections_beside(&arena.rig.ports());
    if beside > 0 {
        return Err(format!("{beside} connections of workers lead past their proxies, where no fault reaches them"));
    }
    println!("{name}: a worker had {warm} in the beginning, and {now} after the faults (at most {may_be})");
    calm_elections(name, arena, plan)
}

/// Elections without a fault: nothing grows with their number. Where faults brought fewer than there must be, the rest too.
fn calm_elections(name: &str, arena: &mut Arena, plan: &Plan) -> Result<(), String> {
    let missing = plan.elections.saturating_sub(arena.fleet.terms()?).saturating_sub(CALM);
    (0..missing.max(CALMING)).try_for_each(|_| arena.resign())?;
    arena.fleet.settled()?;
    let before = arena.fleet.all_resources();
    (0..CALM).try_for_each(|_| arena.resign())?;
    arena.fleet.settled()?;
    // A pool may open one more here or there, by chance; what each election leaves behind is there twelve times.
    let few = CALM / 3;
    let may_be = Resources {
        threads: before.threads + few,
        descriptors: before.descriptors + few,
        connections: before.connections + few,
    };
    let now = within(GOING, || {
        let now = arena.fleet.all_resources();
        let is_more = now.is_more_than(may_be);
        is_more.map_or(Ok(now), |what| {
            Err(format!("{what} of all workers grew from {before} to {now} in {CALM} elections"))
        })
    })?;
    println!("{name}: all workers had {before} before {CALM} elections without a fault, and {now} after them");
    Ok(())
}

/// Every fault once, of those that come last or of the others.
fn round(
    name: &str,
    arena: &mut Arena,
    number: usize,
    plan: &Plan,
    played: &mut Played,
    last: bool,
) -> Result<(), String> {
    for fault in FAULTS.iter().filter(|fault| (fault.brief || !plan.brief) && fault.comes_last() == last) {
        match fault.plays(arena) {
            Plays::Inside => one(name, arena, fault, true, number, plan, played)?,
            Plays::Outside => one(name, arena, fault, false, number, plan, played)?,
            Plays::Missing(why) if number == 0 => played.missing.push(format!("{}: {why}", fault.name)),
            Plays::Missing(_) | Plays::Nothing => {}
        }
    }
    Ok(())
}

fn one(
    name: &str,
    arena: &mut Arena,
    fault: &Fault,
    inside: bool,
    round: usize,
    plan: &Plan,
    played: &mut Played,
) -> Result<(), String> {
    let from = boottime();
    let outcome = (fault.play)(arena, round).map_err(|why| format!("{}: {why}", fault.name))?;
    // The next one begins with somebody who leads undisturbed.
    arena.fleet.settled().map_err(|why| format!("after {}: {why}", fault.name))?;
    println!(
        "{name}: round {} of {}, {}: taken again after {}, {} elections so far",
        round + 1,
        plan.rounds.max(round + 1),
        fault.name,
        Millis(outcome.retaken),
        arena.fleet.terms()?
    );
    let (retaken, bound, nobody) = (outcome.retaken, outcome.bound, outcome.nobody);
    played.windows.push(Window { fault: fault.name, inside, from, until: boottime(), nobody, retaken, bound });
    Ok(())
}

/// Ends the workers and looks for what they have left.
fn leave(arena: &mut Arena, connections: Option<usize>) -> Result<(), String> {
    arena.fleet.end()?;
    let left = &arena.fleet.tasks_left;
    if left.len() < arena.fleet.count() || left.iter().any(|tasks| *tasks > 0) {
        return Err(format!("tasks that were left in workers that had ended: {left:?}"));
    }
    let Some(before) = connections else { return Ok(()) };
    within(GOING, || match arena.rig.connections() {
        Some(now) if now > before => {
            Err(format!("{now} connections at the server, {before} before there were workers"))
        }
        _ => Ok(()),
    })
}

/// Tries until it is so; answers the last error where it is not in time.
fn within<T>(limit: Duration, mut is_so: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let give_up = boottime() + limit;
    loop {
        match is_so() {
            Err(why) if boottime() > give_up => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(found) => return Ok(found),
        }
    }
}
