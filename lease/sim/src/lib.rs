//! The simulator: real electors and slots against a model of everything else, one seed at a time.
//!
//! A seed fixes a plan ([`plan`]): how many candidates, their clocks, how the network treats messages, which fault strikes
//! when.
//! The world ([`world`]) then plays at least 60 simulated seconds of it, event by event: candidates campaign and lead,
//! workers write to a fenced sink, and after every event the invariants ([`invariants`]) are asked. Nothing here reads
//! a clock or a random source, so a seed always tells the same story.
//!
//! Two kinds of machine ([`kind`]): electors contend for one key, slots for any one of two to four. The plan of a seed is the
//! same for both, and so are the invariants, each asked of every key.
//!
//! Three models of the store ([`model`]). On one the store takes each step itself; on the two others it keeps records with
//! compare-and-swap, with a clock of its own or without, and each process takes the steps of `tenure-records` with its own
//! memory: every read and every write is a message, and can be lost, late or doubled.
//!
//! Two modes. *Inside* the fault model every promise must hold. *Outside* it, the store may forget, its clock may step,
//! clocks may drift beyond the bound, and a server of records may come back with an older state, which it does not notice; then the weaker promises must hold. Mutants ([`mutants`]) are known bugs put
//! around elector, slots, store model, clock or worker; they show that the invariants can fail.
//!
//! To read it: [`event`] says what can happen, [`world`] makes it happen, [`machine`] and [`store`] are the faces of the two
//! things that are tested, [`shell`] and [`server`] those of records, [`mutant`] says which of their parts can be replaced.

pub mod candidate;
pub mod clock;
pub mod event;
pub mod faults;
pub mod invariants;
pub mod kind;
pub mod lease_store;
pub mod machine;
pub mod mode;
pub mod model;
pub mod mutant;
pub mod mutants;
pub mod network;
mod parts;
pub mod plan;
pub mod queue;
pub mod record_store;
pub mod report;
pub mod rng;
pub mod run;
pub mod server;
pub mod server_model;
pub mod shell;
pub mod sink;
pub mod store;
pub mod store_model;
pub mod tenure;
pub mod trace;
pub mod true_time;
pub mod worker;
pub mod world;
