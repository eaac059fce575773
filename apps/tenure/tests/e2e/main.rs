//! End to end: the built binary, real processes, the simulated Twitch, and a checker that trusts none of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod budgets;
mod clocks;
mod commands;
mod config;
mod coverage;
mod demo;
mod endpoints;
mod fleet;
mod lines;
mod log_lines;
mod looking;
mod operators;
mod operators_resign;
mod operators_run;
mod operators_watch;
mod replay;
mod restarts;
mod run;
mod servers;
mod signals;
mod stdout;
mod takeover;
mod wrong_calls;
mod unplaced;
