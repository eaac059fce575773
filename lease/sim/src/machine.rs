//! The state machines of Tenure's core, as the simulator drives them. Mutants stand before the real ones.

use tenure_core::{Elector, Held, Input, Output, Standing, Time};

/// A pure state machine: inputs go in with the time, outputs are drained after every call.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants done.
    type Output;

    /// See [`Elector::handle`].
    fn handle(&mut self, now: Time, input: Self::Input);
    /// See [`Elector::poll`].
    fn poll(&mut self) -> Option<Self::Output>;
    /// See [`Elector::poll_timeout`].
    fn poll_timeout(&self) -> Option<Time>;
}

/// What a driver asks of an elector besides.
pub trait ElectorFace: Machine<Input = Input, Output = Output> {
    /// See [`Elector::is_current`].
    fn is_current(&self, now: Time) -> bool;
    /// See [`Elector::held`].
    fn held(&self) -> Option<Held>;
    /// See [`Elector::standing`].
    fn standing(&self) -> Standing;
}

impl Machine for Elector {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        Elector::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<Output> {
        Elector::poll(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Elector::poll_timeout(self)
    }
}

impl ElectorFace for Elector {
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
