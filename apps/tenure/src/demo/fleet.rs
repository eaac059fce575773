//! The state of the three instances, asked of each one's `/debug/vars` in the background.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::instance::Probe;

/// How often each instance is asked.
const ASKED_EVERY: Duration = Duration::from_millis(250);

/// What one instance says of itself; `None` where it does not answer.
#[derive(Clone, Debug, Default)]
pub(super) struct InstanceState {
    pub(super) name: String,
    pub(super) counts: Option<Counts>,
}

/// An instance's own counters. They begin at zero with each of its processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Lines read from the chat.
    pub(super) read: u64,
    /// Lines that it put on the bus.
    pub(super) published: u64,
    /// Of those, lines that another instance should have put there.
    pub(super) repaired: u64,
    /// Lines that it keeps until they are on the bus.
    pub(super) held: u64,
    /// Lines that the bus had already.
    pub(super) deduplicated: u64,
}

/// Asks the instances, each by itself: one that does not answer delays no other.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    states: Arc<Mutex<Vec<InstanceState>>>,
}

impl Fleet {
    /// Asks from now on, on the current runtime.
    pub(super) fn watch(probes: Vec<Probe>) -> Fleet {
        let state = |probe: &Probe| InstanceState { name: probe.name.clone(), counts: None };
        let states: Arc<Mutex<Vec<_>>> = Arc::new(Mutex::new(probes.iter().map(state).collect()));
        for (number, probe) in probes.into_iter().enumerate() {
            let states = Arc::clone(&states);
            tokio::spawn(async move {
                loop {
                    let counts = probe.vars().await.ok().map(|vars| Counts::of(&vars));
                    if let Some(state) = states.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                        state.counts = counts;
                    }
                    tokio::time::sleep(ASKED_EVERY).await;
                }
            });
        }
        Fleet { states }
    }

    /// What they said last.
    pub(super) fn now(&self) -> Vec<InstanceState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Counts {
    fn of(vars: &Value) -> Counts {
        let number = |pointer: &str| vars.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        Counts {
            read: number("/ingest/received"),
            published: number("/ingest/published"),
            repaired: number("/ingest/repaired"),
            held: number("/ingest/ringEntries"),
            deduplicated: number("/ingest/deduplicated"),
        }
    }
}
