//! Reports what happens during a run: to the hooks, the logs, and the user.

use tenure::HolderId;

use super::events::RunEvent;
use super::hooks::Hooks;
use super::service::Service;

/// Reports to the hooks, to the service manager, and to the user on standard error what only a user can act on; everything else is in the logs.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    hooks: Hooks,
    service: Service,
    /// Whether waiting is not told of.
    quiet: bool,
    /// What was said since the last tenure began: nothing is said twice in a row.
    said: Said,
}

#[derive(Debug, Default)]
struct Said {
    waiting: bool,
    holder: Option<HolderId>,
}

impl Notifier {
    /// Reports to these hooks, and to this service manager.
    pub(super) fn new(hooks: Hooks, service: Service) -> Notifier {
        Notifier { hooks, service, ..Notifier::default() }
    }

    /// Where `quiet`, users are not told of waiting.
    pub(super) fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Reports an event.
    pub(super) fn report(&mut self, event: &RunEvent) {
        tracing::debug!(component = "run", ?event);
        self.hooks.handle(event);
        self.service.handle(event);
        if !self.quiet || !event.is_about_waiting() {
            self.said.say(event);
        }
    }

    /// The run ends: waits for hooks that still run, each for a bounded time.
    pub(super) async fn finish(&mut self) {
        self.service.handle(&RunEvent::Ending);
        self.hooks.finish().await;
        self.service.finish().await;
    }
}

impl Said {
    fn say(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Waiting { key, holder } => {
                if !self.waiting || self.holder != *holder {
                    match holder {
                        Some(holder) => say!("tenure: waiting for {key}, held by {holder}"),
                        None => say!("tenure: waiting for {key}"),
                    }
                }
                *self = Said { waiting: true, holder: holder.clone() };
            }
            RunEvent::NotAcquired(why) => say!("tenure: {why}"),
            RunEvent::StoreFailed { message } => {
                say!("tenure: the store does not do what it is asked, trying on: {message}");
            }
            RunEvent::StoreAway { message, since: None } => {
                say!("tenure: waiting until the store can be reached: {message}")
            }
            RunEvent::StoreAway { message, since: Some(since) } => {
                let waited = tenure_base_net::durations::short(tenure::now().since(*since));
                say!("tenure: still waiting until the store can be reached, for {waited}: {message}");
            }
            RunEvent::StoreReached => say!("tenure: the store can be reached"),
            RunEvent::Elected { .. } => *self = Said::default(),
            RunEvent::Lost { key, reason } => say!("tenure: lost {key}: {reason}; ending the command"),
            RunEvent::WatchdogFailed => say!("tenure: the watchdog has failed; killing the command"),
            RunEvent::Kept { key, until } => {
                let left = tenure_base_net::durations::short(until.since(tenure::now()));
                tracing::info!(component = "run", %key, left, "the lease is kept");
            }
            RunEvent::Begun | RunEvent::Campaigning { .. } | RunEvent::Started | RunEvent::Ending | RunEvent::Ended => {
            }
        }
    }
}
