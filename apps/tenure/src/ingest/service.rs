//! What a service manager such as systemd is told of the daemon: that it is ready where `/readyz` would say so, which role it has, and
//! that it is alive.

use std::sync::Arc;
use std::time::Duration;

use tenure_ingest::View;
use tenure_store::LeaseStore;

use super::http::{self, Readiness};
use crate::service_manager::ServiceManager;

/// How often the role, and until it is ready readiness, are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The service manager. It started the supervisor, where there is one; signs of life come from here, because a supervisor is well
/// whether or not its worker is.
pub(super) fn manager(supervised: bool) -> Arc<ServiceManager> {
    let started = if supervised { rustix::process::getppid() } else { None };
    let manager = ServiceManager::of_environment(started.unwrap_or_else(rustix::process::getpid));
    manager.set_starting(true);
    manager.set_alive(true);
    manager.status("starting");
    Arc::new(manager)
}

/// Reports on the daemon for as long as this is polled.
pub(super) async fn report(manager: Arc<ServiceManager>, view: View, store: Arc<dyn LeaseStore>) {
    let mut is_ready = false;
    let mut said = String::new();
    loop {
        let (role, reasons) = if is_ready {
            (http::role(&view).0, Vec::new())
        } else {
            let Readiness { role, reasons, .. } = http::readiness(&view, &store).await;
            (role, reasons)
        };
        let status = match reasons.is_empty() {
            true => role.to_owned(),
            false => format!("{role}: not ready: {}", reasons.join(", ")),
        };
        if reasons.is_empty() && !is_ready {
            is_ready = true;
            manager.set_ready();
        }
        if status != said {
            manager.status(&status);
            said = status;
        }
        tokio::time::sleep(LOOK).await;
    }
}
