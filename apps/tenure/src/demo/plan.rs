//! The demo's plan: which fault comes when, and what became of each so far.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::Time;

use super::places::Places;

/// The faults that the demo can inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemoFault {
    KillWorker,
    LoseHost,
    Pause,
    Roll,
    Cut,
    LockBus,
    RestartStore,
    RestartBus,
}

/// A fault of the plan, from the time when it is only announced.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) fault: DemoFault,
    /// When it is due, after the chat began.
    pub(super) due: Duration,
    pub(super) state: StepState,
    /// What it does; names the instance as soon as that is known.
    pub(super) text: String,
    pub(super) takeovers: Vec<Takeover>,
}

/// How far a step is. Times count from when the chat began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepState {
    Ahead,
    Running { at: Duration },
    Overcome { at: Duration, lasted: Duration },
}

/// Another instance led, so long after the fault.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    pub(super) leader: String,
    pub(super) took: Duration,
    /// After the chat began.
    pub(super) at: Duration,
}

/// What the demo as a whole is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The instances start.
    #[default]
    Starting,
    /// The chat goes on, and faults come.
    Chat,
    /// The chat is over; what is under way is waited for, and counted.
    Counting,
}

/// The plan. It is shared between whoever injects the faults and whoever shows them.
#[derive(Debug)]
pub(super) struct Plan {
    span: Duration,
    state: Mutex<PlanState>,
}

/// The plan at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct PlanState {
    pub(super) phase: Phase,
    /// When the chat began; before that, when the demo did.
    pub(super) began: Time,
    pub(super) steps: Vec<Step>,
}

impl DemoFault {
    /// The faults of a demo in these places, in their order. A server without a restart command is not restarted.
    pub(super) fn all(places: &Places) -> Vec<DemoFault> {
        use DemoFault::{Cut, KillWorker, LockBus, LoseHost, Pause, RestartBus, RestartStore, Roll};
        let mut faults = vec![KillWorker, LoseHost, Pause, Roll, Cut];
        faults.extend(places.file.is_some().then_some(LockBus));
        faults.extend(places.restart_store.is_some().then_some(RestartStore));
        faults.extend(places.restart_bus.is_some().then_some(RestartBus));
        faults
    }

    /// Its name for programs.
    pub(super) fn kind(self) -> &'static str {
        match self {
            DemoFault::KillWorker => "worker_killed",
            DemoFault::LoseHost => "host_lost",
            DemoFault::Pause => "paused",
            DemoFault::Roll => "rolling_restart",
            DemoFault::Cut => "connection_cut",
            DemoFault::LockBus => "bus_locked",
            DemoFault::RestartStore => "store_restarted",
            DemoFault::RestartBus => "bus_restarted",
        }
    }

    /// What happens, in few words: they stand in a table. `who` is the instance that it happens to.
    pub(super) fn text(self, who: &str) -> String {
        match self {
            DemoFault::KillWorker => format!("kill -9 of {who}'s worker"),
            DemoFault::LoseHost => format!("loss of {who}'s host"),
            DemoFault::Pause => format!("{who} stopped past its lease"),
            DemoFault::Roll => "rolling restart of all three".to_owned(),
            DemoFault::Cut => format!("chat connection of {who} reset"),
            DemoFault::LockBus => "bus locked for 3 s".to_owned(),
            DemoFault::RestartStore => "restart of the store's server".to_owned(),
            DemoFault::RestartBus => "restart of the bus's server".to_owned(),
        }
    }

    /// Why nothing is lost or doubled by it, in a line.
    pub(super) fn why(self) -> &'static str {
        match self {
            DemoFault::KillWorker => "its supervisor sees it die, and releases at once",
            DemoFault::LoseHost => "nobody is left to release: the lease runs out after 2 s",
            DemoFault::Pause => "when it goes on its lease is over, its term refused",
            DemoFault::Roll => "each one drains, and hands over before it ends",
            DemoFault::Cut => "the others read the same, and publish what is missing",
            DemoFault::LockBus => "what cannot be written is kept, and written afterwards",
            DemoFault::RestartStore => "who leads goes on until its deadline, and renews in time",
            DemoFault::RestartBus => "what cannot be sent is kept, and published afterwards",
        }
    }
}

impl Plan {
    /// Spreads the faults over `span`.
    pub(super) fn new(faults: Vec<DemoFault>, span: Duration) -> Plan {
        let gap = span / u32::try_from(faults.len() + 1).unwrap_or(u32::MAX);
        let step = |(number, fault): (u32, DemoFault)| Step {
            fault,
            due: gap * number,
            state: StepState::Ahead,
            text: fault.text("the leader"),
            takeovers: Vec::new(),
        };
        let steps = (1..).zip(faults).map(step).collect();
        let state = PlanState { phase: Phase::Starting, began: tenure::now(), steps };
        Plan { span, state: Mutex::new(state) }
    }

    /// How long the chat is to last.
    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// The plan as it is now.
    pub(super) fn now(&self) -> PlanState {
        self.lock().clone()
    }

    /// The chat begins.
    pub(super) fn chat_begins(&self) {
        let mut state = self.lock();
        (state.phase, state.began) = (Phase::Chat, tenure::now());
    }

    /// The chat is over.
    pub(super) fn counting_begins(&self) {
        self.lock().phase = Phase::Counting;
    }

    /// How long the chat has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        tenure::now().since(self.lock().began)
    }

    /// The step begins, to `who`; returns when.
    pub(super) fn step_begins(&self, number: usize, who: &str) -> Time {
        let now = tenure::now();
        let mut state = self.lock();
        let at = now.since(state.began);
        if let Some(step) = state.steps.get_mut(number) {
            (step.state, step.text) = (StepState::Running { at }, step.fault.text(who));
        }
        now
    }

    /// In this step another instance took over.
    pub(super) fn taken_over(&self, number: usize, leader: &str, took: Duration, at: Time) {
        let mut state = self.lock();
        let at = at.since(state.began);
        if let Some(step) = state.steps.get_mut(number) {
            step.takeovers.push(Takeover { leader: leader.to_owned(), took, at });
        }
    }

    /// The step is overcome.
    pub(super) fn step_ends(&self, number: usize) {
        let mut state = self.lock();
        let elapsed = tenure::now().since(state.began);
        if let Some(step) = state.steps.get_mut(number)
            && let StepState::Running { at } = step.state
        {
            step.state = StepState::Overcome { at, lasted: elapsed.saturating_sub(at) };
        }
    }

    fn lock(&self) -> MutexGuard<'_, PlanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlanState {
    /// The step that is being played.
    pub(super) fn running(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step.state, StepState::Running { .. }))
    }

    /// The step that comes next.
    pub(super) fn ahead(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.state == StepState::Ahead)
    }
}
