//! The mutants: known bugs, put around elector, slots, store model, server of records, those who ask it, clock or worker, one file each.
//!
//! The core holds no switch for them. Each is a bug that somebody shipped, or one that this design must not have; each
//! must be caught by some invariant, or the invariants prove nothing. A file holds what is replaced, and names whose bug it is.

mod campaigns_once;
mod cancels_after_release;
mod claims_without_compare;
mod clock_stops_in_suspend;
mod comes_back_unaware;
mod deadline_from_the_reply;
mod error_taken_for_success;
mod flag_not_deadline;
mod force_release;
mod identity_is_the_host_name;
mod ignores_definite_loss;
mod ignores_the_hold;
mod innocent;
mod keeps_an_unused_grant;
mod no_watchdog;
mod nonce_per_host;
mod phantom_leadership;
mod records;
mod refused_claim_leaves_a_lease;
mod release_before_the_end;
mod release_lifts_the_wait;
mod releases_all_the_same;
mod renewals_starve;
mod renews_any_record;
mod renews_the_session;
mod retry_does_not_extend;
mod slots;
mod takes_it_back;
mod term_read_before_claim;
mod token_inversion;
mod waits_for_hints_only;

use crate::mutant::Mutant;

/// Bugs of electors, and of what they rely on.
pub const ALL: &[Mutant] = &[
    token_inversion::MUTANT,
    term_read_before_claim::MUTANT,
    flag_not_deadline::MUTANT,
    ignores_definite_loss::MUTANT,
    cancels_after_release::MUTANT,
    release_before_the_end::MUTANT,
    claims_without_compare::MUTANT,
    force_release::MUTANT,
    clock_stops_in_suspend::MUTANT,
    phantom_leadership::MUTANT,
    deadline_from_the_reply::MUTANT,
    retry_does_not_extend::MUTANT,
    nonce_per_host::MUTANT,
    no_watchdog::MUTANT,
    takes_it_back::MUTANT,
    releases_all_the_same::MUTANT,
    comes_back_unaware::MUTANT,
    release_lifts_the_wait::MUTANT,
    ignores_the_hold::MUTANT,
    renews_any_record::MUTANT,
    renews_the_session::MUTANT,
    identity_is_the_host_name::MUTANT,
    error_taken_for_success::MUTANT,
    campaigns_once::MUTANT,
    keeps_an_unused_grant::MUTANT,
    refused_claim_leaves_a_lease::MUTANT,
    waits_for_hints_only::MUTANT,
    renewals_starve::MUTANT,
];

/// Bugs of slots.
pub const SLOTS: &[Mutant] = slots::ALL;

/// Bugs of stores over records.
pub const RECORDS: &[Mutant] = records::ALL;

/// All of them.
pub fn every() -> impl Iterator<Item = &'static Mutant> {
    ALL.iter().chain(SLOTS).chain(RECORDS)
}

/// The parts that mutants are made of, without any bug; nothing may catch it.
pub const INNOCENT: Mutant = innocent::MUTANT;

/// The frame that mutants of slots are put in, without any bug; nothing may catch it.
pub const INNOCENT_SLOTS: Mutant = slots::INNOCENT;

/// The frames that mutants of records are put in, without any bug; nothing may catch it.
pub const INNOCENT_RECORDS: Mutant = records::INNOCENT;
