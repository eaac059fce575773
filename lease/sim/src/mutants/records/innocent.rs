//! The frames around a server of records and around those who ask it, without a bug. Nothing may catch it.

use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::server_frame::{self, ServerTwist};
use crate::parts::shell_frame::{self, ShellTwist};

pub(super) const MUTANT: Mutant = Mutant {
    name: "innocent_records",
    bug: "none: the frames around records",
    model: Model::Silence,
    server: |has_clock| server_frame::twisted(has_clock, Nothing),
    shell: |random| shell_frame::twisted(random, Nothing),
    ..Mutant::HONEST
};

struct Nothing;

impl ServerTwist for Nothing {}

impl ShellTwist for Nothing {}
