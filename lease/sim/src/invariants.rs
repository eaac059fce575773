//! The invariants: what must hold after every event, one file each.
//!
//! Each file says what is promised, where the promise is made, and in which mode it is asked.

pub mod bounded_overlap;
pub mod candidates_take_part;
pub mod dead_by_deadline;
pub mod events_in_order;
pub mod grants_are_used_or_released;
pub mod leads_after_faults_stop;
pub mod leases_last;
pub mod leaves_the_key;
pub mod left_runs_out;
pub mod loss_stops_work;
pub mod no_more_than_slots;
pub mod one_actor;
pub mod one_slot_each;
pub mod refused_claims_leave_nothing;
pub mod release_after_work;
pub mod requests_are_bounded;
pub mod sink_never_goes_back;
pub mod terms_grow;
pub mod verdict;
pub mod waits_only_while_all_held;
pub mod wakes_are_hints;
pub mod work_is_wanted;
