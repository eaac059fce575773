//! What a service manager such as systemd is told of a run.
//!
//! While a command runs it is the command's to say that it is ready and alive, unless it does not speak to service managers. While none
//! runs this process gives the signs of life: a standby is as well as it can be.

use std::time::Duration;

use super::args::Sdnotify;
use super::config::Config;
use super::events::RunEvent;
use crate::service_manager::ServiceManager;

/// How long a command may take to become ready once it leads, before it has to ask for more by itself: what systemd grants by default.
const COMMAND_START: Duration = Duration::from_secs(90);

/// Reports what happens during a run.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: ServiceManager,
    ready_as_standby: bool,
    /// The command does not speak to service managers.
    speaks_for_command: bool,
    /// A tenure that is lost is the last one.
    ends_with_loss: bool,
    is_ending: bool,
}

impl Service {
    /// Reports for a run with this configuration.
    pub(super) fn of(config: &Config) -> Service {
        Service {
            ready_as_standby: config.ready_as_standby,
            speaks_for_command: config.sdnotify == Sdnotify::Tenure,
            ends_with_loss: config.restart.is_none(),
            ..Service::default()
        }
    }

    /// Reports an event.
    pub(super) fn handle(&mut self, event: &RunEvent) {
        let manager = &self.manager;
        match event {
            RunEvent::Begun => {
                self.manager = ServiceManager::of_environment(rustix::process::getpid());
                self.manager.set_alive(true);
                self.manager.set_starting(true);
                self.manager.status("starting: opening the store");
            }
            RunEvent::Campaigning { key } => {
                if self.ready_as_standby {
                    manager.set_ready();
                }
                manager.set_starting(true);
                manager.status(format!("standby: waiting for {key}"));
            }
            RunEvent::Waiting { key, holder: Some(holder) } => {
                manager.status(format!("standby: waiting for {key}, held by {holder}"));
            }
            RunEvent::Elected { key, term, .. } => {
                manager.set_starting(false);
                manager.extend_start(COMMAND_START);
                manager.status(format!("leader: holds {key} under term {term}"));
            }
            RunEvent::Started => {
                if self.speaks_for_command {
                    manager.set_ready();
                }
                manager.set_alive(self.speaks_for_command);
            }
            RunEvent::Lost { key, reason } => {
                manager.status(format!("ending: lost {key}: {reason}"));
                if self.ends_with_loss {
                    manager.set_stopping();
                    self.is_ending = true;
                }
            }
            RunEvent::Ended => manager.set_alive(true),
            RunEvent::Ending => {
                manager.set_stopping();
                if !std::mem::replace(&mut self.is_ending, true) {
                    manager.status("ending");
                }
            }
            _ => {}
        }
    }

    /// Delivers the last report; waits for that, but not for long.
    pub(super) async fn finish(&self) {
        self.manager.finish().await;
    }
}
