//! The mutants: known bugs, put around elector, store model, clock or worker, one file each.
//!
//! The core holds no switch for them. Each is a bug that somebody shipped, or one that this design must not have; each
//! must be caught by some invariant, or the invariants prove nothing.

mod cancels_after_release;
mod claims_without_compare;
mod clock_stops_in_suspend;
mod comes_back_unaware;
mod deadline_from_the_reply;
mod flag_not_deadline;
mod force_release;
mod ignores_definite_loss;
mod ignores_the_hold;
mod innocent;
mod no_watchdog;
mod nonce_per_host;
mod phantom_leadership;
mod release_before_the_end;
mod release_lifts_the_wait;
mod releases_all_the_same;
mod retry_does_not_extend;
mod takes_it_back;
mod term_read_before_claim;
mod token_inversion;

use crate::mutant::Mutant;

/// All mutants.
pub fn all() -> Vec<Box<dyn Mutant>> {
    vec![
        Box::new(token_inversion::TokenInversion),
        Box::new(term_read_before_claim::TermReadBeforeClaim),
        Box::new(flag_not_deadline::FlagNotDeadline),
        Box::new(ignores_definite_loss::IgnoresDefiniteLoss),
        Box::new(cancels_after_release::CancelsAfterRelease),
        Box::new(release_before_the_end::ReleaseBeforeTheEnd),
        Box::new(claims_without_compare::ClaimsWithoutCompare),
        Box::new(force_release::ForceRelease),
        Box::new(clock_stops_in_suspend::ClockStopsInSuspend),
        Box::new(phantom_leadership::PhantomLeadership),
        Box::new(deadline_from_the_reply::DeadlineFromTheReply),
        Box::new(retry_does_not_extend::RetryDoesNotExtend),
        Box::new(nonce_per_host::NoncePerHost),
        Box::new(no_watchdog::NoWatchdog),
        Box::new(takes_it_back::TakesItBack),
        Box::new(releases_all_the_same::ReleasesAllTheSame),
        Box::new(comes_back_unaware::ComesBackUnaware),
        Box::new(release_lifts_the_wait::ReleaseLiftsTheWait),
        Box::new(ignores_the_hold::IgnoresTheHold),
    ]
}

/// The parts of mutants without any bug; nothing may catch it.
pub fn innocent() -> Box<dyn Mutant> {
    Box::new(innocent::Innocent)
}
