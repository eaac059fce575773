//! Commands that may live no longer than their lease.
//!
//! Whoever runs a program under a lease has to answer three questions, whatever that program does: is it dead by the deadline,
//! is *everything that it started* dead, and who releases the lease when the process that held it was killed? This crate
//! answers them for one host.
//!
//! # Proof of death
//!
//! A process that called [`become_subreaper`] adopts every orphan below it, whatever process group or session the orphan has
//! moved to. So when `wait(2)` says that there is no child left ([`ChildEvent::NoneLeft`]), nothing that was started below this
//! process is alive, and its leases can be released at once rather than after their ttl. [`kill_and_reap_all`] brings that about
//! for everything below the calling process; [`ReapedChild`] for one child.
//!
//! What this cannot see: processes that somebody else starts on the command's behalf (`docker run`, `at`), and, on systems other
//! than Linux, processes that have left their process group. There only the term (the fencing token) protects.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use std::process::Command;
//! use tenure_supervise::{ReapedChild, become_subreaper};
//!
//! become_subreaper()?;
//! // It leaves a process behind in a session of its own.
//! let child = Command::new("sh").args(["-c", "setsid sleep 1000 & exit 7"]).spawn()?;
//! let mut child = ReapedChild::new(&child, |notice| eprintln!("{notice:?}"))?;
//! let status = child.reaped().await?;
//! // Nothing that it started is alive: its leases can be released.
//! assert_eq!(status.code(), Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! # Deadlines
//!
//! [`SupervisedCommand`] is one command with its deadline: a state machine that says when it has to be looked at
//! ([`SupervisedCommand::due`]) and stops, then kills a [`ProcessTree`]. Its timer is on the boottime clock. [`DeadlineGuard`] is
//! a second thread for the case that the process that drives it hangs.
//!
//! # Two processes
//!
//! A command outlives a parent that is killed, so the process that renews the lease is not the command's parent: between them is a
//! watchdog, a process that only supervises. They talk over a [`message_socket::MessageSocket`]; [`WatchdogTimeouts`] says when a
//! watchdog that does not answer has failed, and [`RespawnBackoff`] when to start another one. The [`exec_shim`] is the step between
//! fork and exec.
//!
//! # At a limit
//!
//! The end of a command needs no thread, process, descriptor or memory that was not there before it started: a command that has
//! used up a limit must not stay alive for that reason. Whatever is needed is made by the constructors ([`ProcessTree::new`],
//! [`ReaperThread::start`], [`StandbyThread::start`]).
//!
//! # Release for the dead
//!
//! [`Releases`] releases the leases of worker processes that have died; [`Settler`] settles an [`OwedLease`]: releases it, or
//! has it last until a moment that was promised. Both compare nonce and term, so neither can touch another tenure.

mod children;
mod control_group;
mod deadline_guard;
mod descendants;
pub mod exec_shim;
mod executable;
mod exit_watch;
mod inherited_descriptors;
mod job_control;
mod kill_all;
mod limits;
pub mod message_socket;
mod notice;
mod proc;
mod process_group;
mod process_list;
mod process_tree;
mod reaped_child;
mod reaper_thread;
mod records;
mod releases;
mod respawn_backoff;
pub mod script;
pub mod service_environment;
mod settler;
mod signal;
mod signal_mask;
mod standby_thread;
pub mod status_file;
mod supervised;
mod terminal;
mod watchdog_timeouts;

pub use children::{ChildEvent, become_subreaper, own_program, wait_for_child};
pub use control_group::ControlGroup;
pub use deadline_guard::{DeadlineGuard, GuardedTree};
pub use descendants::{Descendants, has_exited, parent_of, reap_orphans};
pub use executable::{CannotRun, check_executable};
pub use exit_watch::ExitWatch;
pub use inherited_descriptors::InheritedDescriptors;
pub use job_control::JobControl;
pub use kill_all::kill_and_reap_all;
pub use limits::{LimitError, check_descriptors, check_threads};
pub use notice::{Notice, Notify};
pub use proc::Comm;
pub use process_group::{group_of, is_in_own_session, own_group};
pub use process_list::ProcessList;
pub use process_tree::ProcessTree;
pub use reaped_child::ReapedChild;
pub use reaper_thread::ReaperThread;
pub use records::records_of;
pub use releases::Releases;
pub use respawn_backoff::RespawnBackoff;
pub use settler::{OpenStore, OwedLease, Settler};
pub use signal::Delivery;
pub use signal_mask::SignalMask;
pub use standby_thread::StandbyThread;
pub use status_file::{StatusFile, StatusLine, time_namespace};
pub use supervised::{StopPlan, SupervisedCommand};
pub use terminal::Terminal;
pub use watchdog_timeouts::{Expired, WatchdogTimeouts};
