//! The elector: one candidate for one key, as a pure state machine.

mod face;

pub use face::{
    Answer, ElectorConfig, Failure, Input, Observed, Order, Output, Request, RequestId, Standing,
};
