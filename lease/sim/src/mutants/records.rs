//! The mutants of records: known bugs of stores over compare-and-swap, one file each.

mod absence_has_no_version;
mod believes_what_it_lost;
mod conflict_taken_for_success;
mod forgets_unaware;
mod innocent;
mod own_nonce_writes_nothing;
mod renews_without_the_version;
mod silence_from_the_sending;
mod stale_read_taken_for_silence;
mod term_read_first;
mod time_stamp_tells_the_age;
mod versions_repeat;

use crate::mutant::Mutant;

pub(super) const ALL: &[Mutant] = &[
    time_stamp_tells_the_age::MUTANT,
    versions_repeat::MUTANT,
    renews_without_the_version::MUTANT,
    term_read_first::MUTANT,
    stale_read_taken_for_silence::MUTANT,
    conflict_taken_for_success::MUTANT,
    believes_what_it_lost::MUTANT,
    silence_from_the_sending::MUTANT,
    own_nonce_writes_nothing::MUTANT,
    forgets_unaware::MUTANT,
    absence_has_no_version::MUTANT,
];

pub(super) const INNOCENT: Mutant = innocent::MUTANT;
