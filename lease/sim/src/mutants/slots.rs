//! The mutants of slots: known bugs of semaphores, one file each.

mod claims_all_free_slots;
mod counts_released_as_held;
mod counts_then_takes;
mod ends_with_a_failed_list;
mod forgets_its_slot;
mod innocent;
mod keeps_what_it_gave_up;
mod knows_one_slot_only;
mod waits_for_hints_only;
mod waits_for_the_end;

use crate::mutant::Mutant;

pub(super) const ALL: &[Mutant] = &[
    claims_all_free_slots::MUTANT,
    forgets_its_slot::MUTANT,
    counts_then_takes::MUTANT,
    counts_released_as_held::MUTANT,
    knows_one_slot_only::MUTANT,
    waits_for_hints_only::MUTANT,
    waits_for_the_end::MUTANT,
    ends_with_a_failed_list::MUTANT,
    keeps_what_it_gave_up::MUTANT,
];

pub(super) const INNOCENT: Mutant = innocent::MUTANT;
