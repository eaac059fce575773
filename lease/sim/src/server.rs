//! The server of records as the simulator sees it: reads, and conditional writes.

use tenure_core::LeaseKey;
use tenure_records::{Seen, Swap, Write};

use crate::store::{State, StoreTime};

/// A server of records, as the simulator sees it.
pub trait Server {
    /// What stands there now.
    fn read(&self, at: StoreTime, key: &LeaseKey) -> Seen;
    /// Does the write where the version is the one that it expects.
    fn write(&mut self, at: StoreTime, write: &Write) -> Swap;
    /// All that it keeps.
    fn scan(&self, at: StoreTime) -> Vec<(LeaseKey, Seen)>;
    /// Loses every record.
    fn forget(&mut self);
    /// Keeps what it knows now for [`Server::come_back`].
    fn save(&mut self);
    /// Comes back from a restart with an older state, or with none. One without a clock never notices: outside the fault model.
    fn come_back(&mut self, at: StoreTime, with: State);
    /// As [`crate::store::Store::last_grant`].
    fn last_grant(&self) -> u64;
    /// How many records it keeps.
    fn kept(&self) -> usize;
}
