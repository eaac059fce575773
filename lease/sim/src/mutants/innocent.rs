//! The parts of mutants put together without a bug. Nothing may catch it: what is caught would be the parts' own fault.

use crate::mutant::Mutant;
use crate::parts::machine_frame::{self, Twist};
use crate::parts::plain_store::{self, Table};

pub(super) const MUTANT: Mutant = Mutant {
    name: "innocent",
    bug: "none: the mutants' parts without a bug",
    elector: |elector| machine_frame::twisted(elector, Nothing),
    store: || plain_store::with(Table::step),
    ..Mutant::HONEST
};

struct Nothing;

impl Twist for Nothing {}
