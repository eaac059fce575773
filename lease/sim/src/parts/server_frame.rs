//! A frame around the server of records: a mutant changes how it shows a record or does a write, and nothing else.

use tenure_core::LeaseKey;
use tenure_records::{Seen, Swap, Write};

use crate::server::Server;
use crate::server_model::ServerModel;
use crate::store::{State, StoreTime};

/// What a mutant changes about the server. By default nothing.
pub(crate) trait ServerTwist {
    /// How a record is shown.
    fn shows(&self, _key: &LeaseKey, seen: Seen) -> Seen {
        seen
    }

    /// See [`Server::write`].
    fn write(&mut self, at: StoreTime, write: &Write, model: &mut ServerModel) -> Swap {
        model.write(at, write)
    }
}

struct Frame<T> {
    twist: T,
    model: ServerModel,
}

/// A server with `twist` before it.
pub(crate) fn twisted(has_clock: bool, twist: impl ServerTwist + 'static) -> Box<dyn Server> {
    Box::new(Frame { twist, model: ServerModel::new(has_clock) })
}

impl<T: ServerTwist> Server for Frame<T> {
    fn read(&self, at: StoreTime, key: &LeaseKey) -> Seen {
        self.twist.shows(key, self.model.read(at, key))
    }

    fn write(&mut self, at: StoreTime, write: &Write) -> Swap {
        self.twist.write(at, write, &mut self.model)
    }

    fn scan(&self, at: StoreTime) -> Vec<(LeaseKey, Seen)> {
        let shown = self.model.scan(at).into_iter().map(|(key, seen)| {
            let seen = self.twist.shows(&key, seen);
            (key, seen)
        });
        shown.collect()
    }

    fn forget(&mut self) {
        self.model.forget();
    }

    fn save(&mut self) {
        self.model.save();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        self.model.come_back(at, with);
    }

    fn last_grant(&self) -> u64 {
        self.model.last_grant()
    }

    fn kept(&self) -> usize {
        self.model.kept()
    }
}
