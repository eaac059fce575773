//! The state machines of Tenure's core, as the simulator drives them. Mutants stand before the real ones.

use tenure_core::{Elector, Held, Input, Output, Slots, SlotsOutput, Standing, Time};

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

/// What a driver asks of slots besides. The simulator drives electors through it too, as one slot.
pub trait SlotsFace: Machine<Input = Input, Output = SlotsOutput> {
    /// See [`Slots::is_current`].
    fn is_current(&self, now: Time) -> bool;
    /// See [`Slots::held`].
    fn held(&self) -> Option<Held>;
    /// See [`Slots::standing`].
    fn standing(&self) -> Standing;
}

/// An elector as the only slot.
pub fn one_slot(elector: Box<dyn ElectorFace>) -> Box<dyn SlotsFace> {
    Box::new(OneSlot(elector))
}

struct OneSlot(Box<dyn ElectorFace>);

impl Machine for OneSlot {
    type Input = Input;
    type Output = SlotsOutput;

    fn handle(&mut self, now: Time, input: Input) {
        self.0.handle(now, input);
    }

    fn poll(&mut self) -> Option<SlotsOutput> {
        self.0.poll().map(|output| match output {
            Output::Send(id, request) => SlotsOutput::Send(id, request),
            Output::Work(order) => SlotsOutput::Work(0, order),
            Output::Event(event) => SlotsOutput::Event(Some(0), event),
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }
}

impl SlotsFace for OneSlot {
    fn is_current(&self, now: Time) -> bool {
        self.0.is_current(now)
    }

    fn held(&self) -> Option<Held> {
        self.0.held()
    }

    fn standing(&self) -> Standing {
        self.0.standing()
    }
}

impl Machine for Slots {
    type Input = Input;
    type Output = SlotsOutput;

    fn handle(&mut self, now: Time, input: Input) {
        Slots::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<SlotsOutput> {
        Slots::poll(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Slots::poll_timeout(self)
    }
}

impl SlotsFace for Slots {
    fn is_current(&self, now: Time) -> bool {
        Slots::is_current(self, now)
    }

    fn held(&self) -> Option<Held> {
        Slots::held(self)
    }

    fn standing(&self) -> Standing {
        Slots::standing(self)
    }
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
