//! One connection's protocol, sentence by sentence.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod jitter;
mod joining;
mod life;
mod login;
