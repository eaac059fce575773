//! The server of records, and the processes that ask it.

use std::collections::BTreeMap;
use std::rc::Rc;

use tenure_core::RequestId;

use crate::mutant::Mutant;
use crate::server::Server;
use crate::shell::{Call, Shell, Wanted};
use crate::true_time::Nanos;

/// The server, and whoever asks it.
pub(super) struct Records {
    pub(super) server: Box<dyn Server>,
    pub(super) clients: BTreeMap<u64, Client>,
    numbers: u64,
}

/// One process that asks the server. It knows what it has seen, and nothing of others.
pub(super) struct Client {
    pub(super) host: usize,
    pub(super) shell: Box<dyn Shell>,
    /// It does one verb, and ends: an operator, or whoever proved a death.
    pub(super) is_lone: bool,
    pub(super) verbs: BTreeMap<u64, Verb>,
    /// The calls that are not answered: of which verb, and what they are.
    pub(super) calls: BTreeMap<u64, (u64, Call)>,
}

/// One verb that is under way.
pub(super) struct Verb {
    pub(super) id: RequestId,
    pub(super) wanted: Rc<Wanted>,
    /// Until when whoever wanted it waits.
    pub(super) until: Nanos,
}

impl Records {
    /// An empty server, which nobody asks yet.
    pub(super) fn new(mutant: &Mutant, has_clock: bool) -> Records {
        Records { server: (mutant.server)(has_clock), clients: BTreeMap::new(), numbers: 0 }
    }

    /// The number of the next verb or call.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Client {
    /// A process that has asked for nothing yet.
    pub(super) fn new(host: usize, shell: Box<dyn Shell>, is_lone: bool) -> Client {
        Client { host, shell, is_lone, verbs: BTreeMap::new(), calls: BTreeMap::new() }
    }
}
