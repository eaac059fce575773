//! The plan: everything that a seed decides before the first event.

use std::time::Duration;

use tenure_core::{Timing, TimingOptions};

use crate::faults::{Aftermath, Fault, Target, Way};
use crate::kind::Kind;
use crate::mode::Mode;
use crate::model::Model;
use crate::network::Network;
use crate::rng::Rng;
use crate::store::State;
use crate::true_time::{MS, Nanos, SECOND, nanos};

/// What one candidate is like.
#[derive(Clone, Debug)]
pub struct CandidatePlan {
    /// Its durations.
    pub timing: Timing,
    /// How fast its clock is, in parts per million.
    pub drift_ppm: i64,
    /// Where its clock starts.
    pub origin: i64,
    /// By how many microseconds its wall clock is ahead.
    pub wall_micros: i64,
    /// Whether it leaves a lease to run out once its work has ended.
    pub leaves: bool,
}

/// What one seed plays.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The mode.
    pub mode: Mode,
    /// Which machine candidates run.
    pub kind: Kind,
    /// Which model of the store they ask.
    pub model: Model,
    /// How many keys there are: one for electors.
    pub slots: u32,
    /// The candidates, at least three.
    pub candidates: Vec<CandidatePlan>,
    /// Every candidate's `Claim::hold`: for how long a tenure may have been promised. Zero where that is the ttl, and all ttls
    /// are equal. Where they differ it is at least the longest, as a store that came back with an older state cannot know
    /// the ttl of a tenure that it forgot.
    pub hold: Nanos,
    /// How fast the store's clock is, in parts per million.
    pub store_drift_ppm: i64,
    /// How the network treats messages.
    pub network: Network,
    /// How long a process waits for one answer of a server of records.
    pub call_timeout: Nanos,
    /// How many of a thousand requests the store fails.
    pub store_fails: u64,
    /// How often a worker acts.
    pub act_every: Nanos,
    /// How many of a thousand workers do not stop when told to.
    pub stubborn: u64,
    /// Whether an independent thread kills the work at its deadline. Where it does not, no loop ever stalls,
    /// and has to do it alone.
    pub watchdog: bool,
    /// Whether the store has hints, and candidates know of it.
    pub hints: bool,
    /// What goes wrong when.
    pub faults: Vec<(Nanos, Fault)>,
    /// From here on nothing goes wrong any more.
    pub calm_from: Nanos,
    /// By then somebody must lead, and lead on.
    pub leads_by: Nanos,
    /// The end of the simulation, at least 60 s.
    pub end: Nanos,
}

impl Plan {
    /// The plan of `seed`: for slots what it is for electors, with several keys; on every model of the store the same, but
    /// for the faults that it covers.
    pub fn new(seed: u64, mode: Mode, kind: Kind, model: Model) -> Plan {
        let mut rng = Rng::new(seed, if mode == Mode::Inside { 1 } else { 2 });
        let count = rng.range(3, 6) as usize;
        let same = timing(&mut rng);
        let differ = rng.chance(150);
        let timings: Vec<Timing> = (0..count).map(|_| if differ { timing(&mut rng) } else { same }).collect();
        let ttl = timings.iter().map(|timing| nanos(timing.ttl())).max().unwrap_or(SECOND);

        let answer_within = timings.iter().map(|timing| nanos(timing.request_timeout())).min().unwrap_or(SECOND);

        let drift_most = match mode {
            // Two clocks, each off by half the bound, never differ by more than the bound.
            Mode::Inside => timings.iter().map(half_bound_ppm).min().unwrap_or(0),
            Mode::Outside => 300_000,
        };
        let drift = |rng: &mut Rng| match rng.below(3) {
            0 => 0,
            1 if rng.chance(500) => drift_most,
            1 => -drift_most,
            _ => rng.range(0, 2 * drift_most as u64 + 1) as i64 - drift_most,
        };
        let store_drift_ppm = drift(&mut rng);
        let mut leaving = Rng::new(seed, 5);
        let some_leave = leaving.chance(150);
        let mut keeping = Rng::new(seed, 6);
        let hold = match (keeping.chance(300), differ) {
            (true, _) => keeping.range(ttl, 5 * ttl / 2),
            (false, true) => ttl,
            (false, false) => 0,
        };
        // Mostly fewer than candidates, so that some have to wait.
        let slots = match kind {
            Kind::Elector => 1,
            Kind::Slots => Rng::new(seed, 7).range(2, count as u64 + 1).min(4) as u32,
        };
        let mut walls = Rng::new(seed, 8);
        let walls_apart = walls.chance(600);
        let candidates = timings
            .into_iter()
            .map(|timing| CandidatePlan {
                timing,
                drift_ppm: drift(&mut rng),
                origin: rng.below(100 * SECOND) as i64,
                wall_micros: if walls_apart { walls.below(7_200_000_000) as i64 - 3_600_000_000 } else { 0 },
                leaves: some_leave && leaving.chance(600),
            })
            .collect();

        // A network whose ordinary round trip outlasts the request timeout elects nobody, and rightly so.
        let slowest = if rng.chance(700) { rng.range(MS / 2, 5 * MS) } else { rng.range(5 * MS, 100 * MS) };
        // On records one request is up to three calls, one after the other.
        let slowest = slowest.min(answer_within / if model.has_records() { 8 } else { 3 });
        let network = Network {
            fastest: slowest / 5,
            slowest,
            lost: rng.below(2) * rng.below(120),
            late: rng.below(2) * rng.below(150),
            latest: rng.range(100 * MS, ttl * 3 / 2),
            doubled: rng.below(2) * rng.below(100),
        };
        let patience = hold
            + match mode {
                Mode::Inside => 4 * ttl + 4 * SECOND,
                Mode::Outside => 7 * ttl + 6 * SECOND,
            };
        let end = (60 * SECOND).max(35 * SECOND + patience + 3 * ttl);
        let leads_by = end - 3 * ttl;
        let calm_from = leads_by - patience;
        let mut faults = faults(&mut rng, mode, model, count, ttl, calm_from);
        let watchdog = rng.chance(800);
        if !watchdog {
            faults.retain(|(_, fault)| !matches!(fault, Fault::Stall { .. }));
        }
        Plan {
            seed,
            mode,
            kind,
            model,
            slots,
            candidates,
            hold,
            store_drift_ppm,
            network,
            call_timeout: Rng::new(seed, 9).range(ttl / 6, ttl * 3 / 2),
            store_fails: rng.below(3) / 2 * rng.below(60),
            // So many writes are enough, however many write.
            act_every: rng.range(ttl / 20, ttl / 5) * Nanos::from(slots),
            stubborn: rng.below(3) / 2 * 500,
            watchdog,
            hints: !Rng::new(seed, 10).chance(250),
            faults,
            calm_from,
            leads_by,
            end,
        }
    }

    /// The longest ttl of any candidate.
    pub fn ttl(&self) -> Nanos {
        self.candidates.iter().map(|candidate| nanos(candidate.timing.ttl())).max().unwrap_or(SECOND)
    }

    /// Since when a candidate that does not lead must have asked for a key by the end.
    pub fn asks_since(&self, host: usize) -> Nanos {
        if self.hints {
            return self.leads_by;
        }
        let timing = &self.candidates[host].timing;
        let retry = timing.retry_interval();
        // Its jitter, the answer of the attempt before, and a clock that may be slow by a third.
        let turn = (retry + retry / 8 + timing.claim_delay() + timing.request_timeout()) * 3 / 2;
        self.leads_by.max(self.end - nanos(turn))
    }
}

fn half_bound_ppm(timing: &Timing) -> i64 {
    (nanos(timing.margin()) * 1_000_000 / nanos(timing.ttl()) / 2 * 999 / 1_000) as i64
}

/// Durations with a ttl of 1 to 5 s: mostly the derived ones, now and then others that are allowed.
fn timing(rng: &mut Rng) -> Timing {
    let ttl = Duration::from_nanos(rng.range(SECOND, 5 * SECOND + 1));
    let mut options = TimingOptions::with_ttl(ttl);
    if rng.chance(300) {
        let mut some = |least: u32, most: u32| {
            let part = rng.range(u64::from(least), u64::from(most)) as u32;
            rng.chance(500).then(|| ttl * part / 1_000)
        };
        options.renew_interval = some(100, 400);
        options.stop_timeout = some(50, 400);
        options.margin = some(60, 200);
        options.retry_interval = some(50, 300);
        options.grace_period = some(150, 500);
        options.claim_delay = some(0, 300);
    }
    let derived = TimingOptions::with_ttl(ttl);
    options.resolve().or_else(|_| derived.resolve()).unwrap_or_else(|_| unreachable!("derived values never conflict"))
}

fn faults(rng: &mut Rng, mode: Mode, model: Model, hosts: usize, ttl: Nanos, calm_from: Nanos) -> Vec<(Nanos, Fault)> {
    let kinds = if mode == Mode::Outside { 21 } else { 17 };
    // A few kinds per seed, so that each is also seen without the others.
    let enabled: Vec<u64> = (0..kinds).filter(|_| rng.chance(400)).collect();
    let count = if enabled.is_empty() { 0 } else { rng.range(2, 24) };
    let mut planned: Vec<(Nanos, Fault)> = Vec::with_capacity(count as usize);
    // Every step back makes the record live longer: their sum is part of what recovery may take.
    let mut back_left = 2 * ttl;
    for _ in 0..count {
        let at = rng.range(ttl / 10, calm_from - ttl / 10);
        let target = if rng.chance(600) { Target::Leader } else { Target::Host(rng.below(hosts as u64) as usize) };
        // Short ones, and ones that outlast a lease. All end before the calm.
        let most = if rng.chance(500) { ttl / 2 } else { ttl * 5 / 2 };
        let lasts = rng.range(MS, most).min(calm_from - at);
        let fault = match enabled[rng.below(enabled.len() as u64) as usize] {
            0 => Fault::Suspend { target, lasts },
            1 => Fault::Stall { target, lasts },
            2 => Fault::Crash { target, lasts, then: Aftermath::Nothing },
            3 => Fault::Crash { target, lasts: lasts / 4, then: Aftermath::Released },
            4 => {
                let way = [Way::Requests, Way::Replies, Way::Both][rng.below(3) as usize];
                Fault::Partition { target, way, lasts }
            }
            5 => Fault::Partition { target, way: Way::Both, lasts },
            6 => Fault::StoreRestart { lasts: lasts / 2 },
            7 => Fault::Resign { target },
            8 => Fault::Unhealthy { target, lasts },
            9 => Fault::WorkEnds,
            10 => Fault::FalseWakes { count: rng.range(1, 20) },
            11 => Fault::WallClockSteps { by: rng.below(7_200_000_000) as i64 - 3_600_000_000 },
            12 => Fault::ResignRequest,
            13 => Fault::Crash { target, lasts: lasts / 4, then: Aftermath::Kept },
            kind @ (14 | 15 | 17) => {
                let with = match kind {
                    14 => State::Saved,
                    15 => State::Empty,
                    _ => State::TakenForAll,
                };
                // Every lease in an older state has run out, so that it is no different from an empty one.
                if with != State::Empty {
                    let before = rng.below(3 * ttl);
                    planned.push((at.saturating_sub(before), Fault::StoreSaves));
                    // The saved state then holds a lease that was handed over since.
                    if rng.chance(500) {
                        let handed_over = at.saturating_sub(rng.below(before.min(ttl / 2) + 1));
                        planned.push((handed_over, Fault::Resign { target: Target::Leader }));
                    }
                }
                Fault::StoreComesBack { lasts: lasts / 2, with }
            }
            16 => Fault::StoreSaves,
            18 => Fault::StoreForgets,
            19 => Fault::StoreClockSteps { by: rng.below(3 * ttl) as i64 },
            _ => {
                let by = rng.below(back_left);
                back_left -= by;
                Fault::StoreClockSteps { by: -(by as i64) }
            }
        };
        planned.push((at, fault));
    }
    // A server without a clock does not notice an older state: inside the model it comes back with all that it acknowledged.
    if mode == Mode::Inside && !model.notices_older_states() {
        for (_, fault) in &mut planned {
            if let Fault::StoreComesBack { lasts, .. } = fault {
                *fault = Fault::StoreRestart { lasts: *lasts };
            }
        }
    }
    // A store that has forgotten and whose clock went back cannot mint higher terms: that is outside the model.
    if mode == Mode::Inside && planned.iter().any(|(_, fault)| matches!(fault, Fault::StoreComesBack { .. })) {
        for (_, fault) in &mut planned {
            if let Fault::WallClockSteps { by } = fault {
                *by = by.abs();
            }
        }
    }
    planned.sort_by_key(|(at, _)| *at);
    planned
}
