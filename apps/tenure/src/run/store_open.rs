//! Opening the store at the start: once, or until it can be reached, as a candidate would go on asking it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, anyhow};
use rustix::process::Signal;
use tenure::{LeaseStore, Time};
use tenure_base_net::durations;

use super::config::{Config, Wait};
use super::events::RunEvent;
use super::forwarded_signals::ForwardedSignals;
use super::notifier::Notifier;
use crate::exit::{self, Exit};
use crate::store;

/// How long any store may take, also where less time was given: it is not away because nobody waited for it.
const FIRST_ANSWER: Duration = Duration::from_millis(250);
/// How often a wait is told of.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What came of it.
pub(super) enum Opening {
    /// The store is open.
    Open(Arc<dyn LeaseStore>),
    /// It cannot be opened, or not in time.
    Failed(Error),
    /// A signal asked for an end.
    Asked(Signal),
}

/// Opens the store. Where the configuration waits for it, a store that cannot be reached is tried again until it can, or until the
/// moment `until`; one that refuses is not.
pub(super) async fn open(
    config: &Config,
    until: Option<Time>,
    signals: &mut ForwardedSignals,
    notifier: &mut Notifier,
) -> Opening {
    let began = tenure::now();
    let until = until.map(|until| until.max(began + FIRST_ANSWER));
    let mut told: Option<Time> = None;
    let mut last = None;
    loop {
        let error = tokio::select! {
            biased;
            signal = signals.next_end() => return Opening::Asked(signal),
            opened = store::open(&config.store) => match opened {
                Ok(store) => {
                    if told.is_some() {
                        notifier.report(&RunEvent::StoreReached);
                    }
                    return Opening::Open(store);
                }
                Err(error) => error,
            },
            () = sleep_until(until) => return Opening::Failed(too_late(config, last)),
        };
        if !store::is_away(&error) {
            return Opening::Failed(error);
        }
        if !config.waits_for_store() {
            let hint =
                if config.wait == Wait::No { "" } else { "; `tenure run` waits for it with --wait D or --restart" };
            return Opening::Failed(Exit::unreachable(anyhow!("{}{hint}", exit::told(&error))));
        }
        let now = tenure::now();
        if told.is_none_or(|told| now >= told + TELL_EVERY) {
            let since = told.map(|_| began);
            notifier.report(&RunEvent::StoreAway { message: exit::told(&error), since });
            told = Some(now);
        }
        last = Some(error);
        tokio::select! {
            biased;
            signal = signals.next_end() => return Opening::Asked(signal),
            () = sleep_until(until) => return Opening::Failed(too_late(config, last)),
            () = tokio::time::sleep(config.timing.retry_interval()) => {}
        }
    }
}

/// The wait is over, and the store has never answered.
fn too_late(config: &Config, last: Option<Error>) -> Error {
    let shown = tenure_open::shown(&config.store);
    let why = last.map_or_else(|| format!("the store {shown}: no answer"), |error| exit::told(&error));
    let waited = match config.wait {
        Wait::AtMost(span) => format!("; gave up after {}, in which the store never answered", durations::show(span)),
        Wait::No | Wait::Forever => String::new(),
    };
    Exit::unreachable(anyhow!("{why}{waited}"))
}

/// Waits until then; for ever where there is no such moment.
async fn sleep_until(until: Option<Time>) {
    match until {
        Some(until) => tokio::time::sleep(until.since(tenure::now())).await,
        None => std::future::pending().await,
    }
}
