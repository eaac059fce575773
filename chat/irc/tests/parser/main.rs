//! The parser against the public suite, captured lines, another parser, and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod captured;
mod corpora;
mod differential;
mod public_suite;
mod total;
