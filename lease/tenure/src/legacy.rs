//! The constructor of before, while `tenure run` is being rewritten: to be removed with its last caller.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{HolderId, Note, TimingOptions};
use tenure_store::LeaseStore;

use crate::election::Election;
use crate::error::ElectionError;
use crate::overrun::OnOverrun;

#[derive(Clone, Debug, Default)]
pub struct ElectionConfig {
    pub holder: Option<HolderId>,
    pub timing: TimingOptions,
    pub note: Note,
    pub hold_for: Duration,
    pub leave_lease: bool,
    pub on_overrun: OnOverrun,
    pub process: Option<u64>,
    pub silent: bool,
}

#[derive(Debug)]
pub struct Begun(Election);

impl Begun {
    pub fn start(self) -> Election {
        self.0
    }
}

impl Election {
    #[doc(hidden)]
    #[expect(clippy::new_ret_no_self, reason = "as before")]
    pub fn new(
        store: Arc<dyn LeaseStore>,
        key: impl AsRef<str>,
        config: ElectionConfig,
    ) -> Result<Begun, ElectionError> {
        let ElectionConfig { holder, timing, note, hold_for, leave_lease, on_overrun, process, silent } = config;
        let builder = Election::builder(store, key).timing(timing).note(note).hold_for(hold_for);
        let mut builder = builder.leave_lease(leave_lease).on_overrun(on_overrun).silent(silent);
        if let Some(holder) = holder {
            builder = builder.holder(holder);
        }
        if let Some(process) = process {
            builder = builder.process(process);
        }
        Ok(Begun(builder.start()?))
    }
}
