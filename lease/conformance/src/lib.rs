//! The suite: the behaviours that every lease store must show, gated on what its [`StoreInfo`] and builder offer.
//!
//! A store's test makes a [`StoreBuilder`] and calls [`suite`]; every case is an `async fn` in the file of its topic,
//! and its first sentence says what it demands. A builder that can do more (delete records, stop its store) gets more
//! cases; the report names those that were left out, and why. So do those about documents, of a store that keeps none.
//! [`ServerBuilder`] is a builder over whatever server a test has started.
//!
//! [`StoreInfo`]: tenure_store::StoreInfo

mod batches;
mod bound;
mod builder;
mod claims;
mod documents;
mod expiry;
mod faults;
mod keys;
mod kit;
mod notes;
mod races;
mod report;
mod restarts;
mod server_builder;
mod shards;
mod table_builder;
mod terms;
mod watch;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use builder::{
    BuildError, Killable, Records, Rewindable, ShardFault, Shards, Stoppable, StoppableClient, StoreBuilder,
};
pub use kit::Options;
use kit::{CaseVerdict, Kit, Outcome};
pub use report::{Line, Report, Result as CaseResult};
pub use server_builder::{Opening, Relay, ServerBuilder, TestServer};
pub use table_builder::{Act, TableBuilder};

/// Runs every case with [`Options::from_env`], prints a line for each, and panics at the end if any failed.
pub async fn suite(builder: &dyn StoreBuilder) -> Report {
    suite_with(builder, Options::from_env()).await
}

/// Runs every case, prints a line for each, and panics at the end, with the names of the cases that failed and what
/// they expected, if any did.
pub async fn suite_with(builder: &dyn StoreBuilder, options: Options) -> Report {
    let report = examine(builder, options).await;
    let failures = report.failures();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        report.lines().len(),
        failures.join("\n")
    );
    report
}

/// Runs every case and prints a line for each; failures are in the report.
pub async fn examine(builder: &dyn StoreBuilder, options: Options) -> Report {
    let mut report = Report::new(builder.name());
    for (case, run) in CASES.iter().filter(|(case, _)| case.contains(&options.only)) {
        let kit = Kit::new(builder, options.clone(), case);
        let begun = tokio::time::Instant::now();
        // A case that panics or hangs is a failure like another; the cases after it still run.
        let run = AssertUnwindSafe(run(&kit)).catch_unwind();
        let verdict = match tokio::time::timeout(CASE_LIMIT + options.race_time, run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err("panicked; see above".to_owned()),
            Err(_) => Err(format!("did not end within {CASE_LIMIT:?}")),
        };
        let result = match verdict {
            Ok(Outcome::Passed(detail)) => CaseResult::Passed(detail),
            Ok(Outcome::Skipped(reason)) => CaseResult::Skipped(reason),
            Err(expected) => CaseResult::Failed(expected),
        };
        report.add(case, begun.elapsed(), result);
    }
    report
}

/// How long one case may take, besides the time for races.
const CASE_LIMIT: Duration = Duration::from_secs(120);

type CaseFn = for<'a> fn(&'a Kit<'a>) -> BoxFuture<'a, CaseVerdict>;

macro_rules! cases {
    ($($topic:ident::$case:ident,)*) => {
        &[$((concat!(stringify!($topic), "::", stringify!($case)), |kit| $topic::$case(kit).boxed()),)*]
    };
}

const CASES: &[(&str, CaseFn)] = cases![
    claims::two_claimers,
    claims::a_free_key_is_granted_after_release,
    claims::a_repeated_nonce_gets_the_unchanged_term,
    claims::foreign_renewals_and_releases_are_refused,
    claims::a_second_release_does_nothing,
    claims::a_released_lease_cannot_be_renewed,
    claims::a_foreign_record_counts_as_held,
    claims::a_request_to_resign_reaches_the_holder,
    claims::a_removed_lease_is_lost,
    claims::a_removal_ends_what_has_run_out,
    expiry::a_lease_lasts_its_ttl_and_no_more,
    expiry::a_retried_claim_lasts_its_ttl_from_the_retry,
    expiry::a_renewal_lasts_its_ttl_from_the_renewal,
    expiry::a_longer_ttl_is_told,
    expiry::a_request_to_resign_keeps_nothing,
    expiry::renewing_an_expired_lease_is_lost,
    expiry::an_expired_nonce_gets_a_new_term,
    expiry::remaining_is_a_lower_bound_and_falls,
    expiry::a_silent_holder_is_replaced,
    terms::grow_over_releases,
    terms::grow_over_expiry,
    terms::grow_over_deletion,
    terms::grow_over_the_loss_of_the_record,
    terms::exceed_above,
    terms::stay_the_same_over_renewals,
    terms::exhausted_terms_are_refused,
    terms::the_last_one_is_told_after_its_end,
    batches::an_empty_batch_answers_nothing,
    batches::a_batch_of_one,
    batches::a_batch_of_a_thousand,
    batches::one_bad_item_fails_alone,
    batches::a_key_twice_is_refused,
    batches::too_large_a_batch_is_refused,
    batches::answers_come_in_order,
    keys::odd_keys_are_kept_apart,
    keys::the_longest_keys_work,
    keys::a_prefix_is_literal,
    keys::lists_are_sorted_and_complete,
    keys::released_and_expired_leases_are_not_listed,
    keys::one_key_is_told_as_lists_show_it,
    notes::odd_notes_are_carried_whole,
    notes::a_renewal_replaces_the_note,
    notes::the_last_note_reaches_the_next_holder,
    notes::a_repeated_claim_gets_the_same_last_note,
    notes::an_empty_note_hides_no_earlier_one,
    notes::a_late_release_keeps_its_note,
    watch::a_release_wakes_within_a_deadline,
    watch::every_watcher_is_woken,
    watch::a_deleted_lease_wakes,
    watch::a_new_tenure_wakes,
    documents::one_of_many_creates,
    documents::one_swap_of_many_wins,
    documents::no_count_is_lost,
    documents::a_stale_version_is_refused,
    documents::versions_never_repeat,
    documents::deletion_is_conditional,
    documents::lists_are_literal_sorted_and_complete,
    documents::odd_keys_and_values_come_back_whole,
    documents::too_large_a_value_is_refused,
    documents::a_change_wakes,
    documents::a_lease_of_the_same_name_is_apart,
    documents::a_stopped_store_says_what_is_unknown,
    documents::they_outlive_the_store,
    races::one_of_many_is_granted,
    races::disjoint_batches_do_not_disturb_each_other,
    bound::a_bound_lease_outlives_its_ttl,
    bound::a_repeat_gets_the_unchanged_term,
    bound::a_bound_claim_needs_the_last_term,
    bound::a_copy_after_the_release_is_refused,
    bound::a_delayed_release_frees_no_later_tenure,
    bound::displacement_goes_by_the_bound_term,
    bound::only_the_named_member_is_displaced,
    bound::a_claim_with_a_ttl_displaces,
    bound::a_bound_lease_is_not_renewed,
    bound::requests_and_removals_work,
    bound::lists_and_refusals_tell_the_member,
    bound::batches_mix_what_is_bound_and_what_is_not,
    bound::watchers_are_woken,
    bound::one_of_many_displacers_is_granted,
    faults::a_stopped_client_loses,
    faults::a_store_that_stops_and_goes_on,
    faults::a_store_that_dies_and_comes_back,
    faults::clients_close_cleanly,
    restarts::an_older_state_frees_no_key_early,
    restarts::what_was_promised_outlasts_a_restart,
    restarts::what_is_forgotten_is_waited_out,
    bound::an_older_state_ends_no_bound_lease,
    shards::a_dead_one_touches_its_own_keys_alone,
    shards::a_stopped_one_touches_its_own_keys_alone,
];
