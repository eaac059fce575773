//! The elector's face, as the simulator drives it.

use tenure_core::{Elector, Held, Input, Output, Standing, Time};

/// The elector's face, as the simulator drives it. Mutants stand before the real elector.
pub trait Face {
    /// See [`Elector::handle`].
    fn handle(&mut self, now: Time, input: Input);
    /// See [`Elector::poll`].
    fn poll(&mut self) -> Option<Output>;
    /// See [`Elector::poll_timeout`].
    fn poll_timeout(&self) -> Option<Time>;
    /// See [`Elector::is_current`].
    fn is_current(&self, now: Time) -> bool;
    /// See [`Elector::held`].
    fn held(&self) -> Option<Held>;
    /// See [`Elector::standing`].
    fn standing(&self) -> Standing;
}

impl Face for Elector {
    fn handle(&mut self, now: Time, input: Input) {
        Elector::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<Output> {
        Elector::poll(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Elector::poll_timeout(self)
    }

    fn is_current(&self, now: Time) -> bool {
        Elector::is_current(self, now)
    }

    fn held(&self) -> Option<Held> {
        Elector::held(self)
    }

    fn standing(&self) -> Standing {
        Elector::standing(self)
    }
}
