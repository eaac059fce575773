//! Elector and work share one pool of connections. While the work holds them all, renewals wait behind it until they are
//! given up, and a healthy leader loses the key again and again.
//!
//! Source: river#695. The simulator has no pool: here the work holds every connection for as long as it runs.

use tenure_core::{Output, Request, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "renewals_starve",
    bug: "renewals wait for a connection behind the work that they are for",
    elector: |elector| twisted(elector, Starves),
    ..Mutant::HONEST
};

struct Starves;

impl Twist for Starves {
    fn output(&mut self, _now: Time, output: Output, frame: &mut Framed) {
        // A request that never gets a connection is never sent, and never answered.
        if !matches!(output, Output::Send(_, Request::Renew(_))) {
            frame.out.push_back(output);
        }
    }
}
