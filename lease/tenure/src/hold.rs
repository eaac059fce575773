//! What keeps a tenure's lease.

use std::sync::Arc;

use crate::tenure::Tenure;

/// A hold on a tenure: its lease is released once nobody has one any more, or somebody has said that the work has ended.
#[derive(Clone, Debug)]
pub(crate) struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held {
    tenure: Arc<Tenure>,
}

impl Hold {
    /// The first hold; the others are its clones.
    pub(crate) fn new(tenure: Arc<Tenure>) -> Hold {
        Hold(Arc::new(Held { tenure }))
    }

    pub(crate) fn tenure(&self) -> &Arc<Tenure> {
        &self.0.tenure
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.tenure.has_ended() {
            self.tenure.end();
        }
    }
}
