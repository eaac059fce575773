//! Slots: one candidate for any one of several keys, which is a semaphore, as a pure state machine.

mod face;
mod keys;
mod lanes;
mod machine;
mod search;
#[cfg(test)]
mod tests;

pub use face::{SlotsConfig, SlotsOutput};
pub use keys::SlotKeys;
pub use machine::Slots;
