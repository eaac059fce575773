//! The simulator: real electors against a model of everything else, one seed at a time.
//!
//! A seed fixes a plan ([`plan`]): how many candidates, their clocks, the network's manners, which fault strikes when.
//! The world ([`world`]) then plays at least 60 simulated seconds of it, event by event: electors campaign and lead,
//! workers write to a fenced sink, and after every event the invariants ([`invariants`]) are asked. Nothing here reads
//! a clock or a random source, so a seed always tells the same story.
//!
//! Two modes. *Inside* the fault model every promise must hold. *Outside* it, the store may forget, its clock may step,
//! clocks may drift beyond the bound; then the weaker promises must hold. Mutants ([`mutants`]) are known bugs put
//! around elector, store model, clock or worker; they show that the invariants can fail.

pub mod candidate;
pub mod clock;
pub mod faults;
pub mod invariants;
pub mod mutants;
pub mod network;
pub mod plan;
pub mod queue;
pub mod report;
pub mod rng;
pub mod run;
pub mod sink;
pub mod store_model;
pub mod trace;
pub mod worker;
pub mod world;

/// True time in the simulation: nanoseconds since its start. No process of the simulation can read it.
pub type Nanos = u64;

/// One millisecond of true time.
pub const MS: Nanos = 1_000_000;

/// One second of true time.
pub const SECOND: Nanos = 1_000_000_000;
