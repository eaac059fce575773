//! A frame around a state machine: a mutant changes what goes in or what comes out, and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{Held, Slots, SlotsConfig, Standing, Time};

use crate::machine::{ElectorFace, Machine, SlotsFace};

/// What a mutant changes about a machine, which is an elector unless it says otherwise. By default nothing.
pub(crate) trait Twist<M: Machine + ?Sized = dyn ElectorFace> {
    /// Something happens to the machine: by default it is told.
    fn input(&mut self, now: Time, input: M::Input, frame: &mut Framed<M>) {
        frame.handle(now, input);
    }

    /// The machine wants something done: by default it is done.
    fn output(&mut self, _now: Time, output: M::Output, frame: &mut Framed<M>) {
        frame.out.push_back(output);
    }

    /// How far behind the driver's clock the machine's clock is. A twist that answers more than zero also moves the times
    /// in inputs and outputs.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// The machine in a frame, and what leaves the frame.
pub(crate) struct Framed<M: Machine + ?Sized = dyn ElectorFace> {
    machine: Box<M>,
    /// What the driver gets to see.
    pub(crate) out: VecDeque<M::Output>,
}

impl<M: Machine + ?Sized> Framed<M> {
    /// Tells the machine.
    pub(crate) fn handle(&mut self, now: Time, input: M::Input) {
        self.machine.handle(now, input);
    }
}

impl Framed {
    /// What the elector holds.
    pub(crate) fn held(&self) -> Option<Held> {
        self.machine.held()
    }
}

/// A machine with a twist before it.
struct Frame<M: Machine + ?Sized, T> {
    twist: T,
    framed: Framed<M>,
}

/// Puts `twist` before an elector.
pub(crate) fn twisted(elector: Box<dyn ElectorFace>, twist: impl Twist + 'static) -> Box<dyn ElectorFace> {
    Box::new(Frame { twist, framed: Framed { machine: elector, out: VecDeque::new() } })
}

/// Puts `twist` before slots.
pub(crate) fn twisted_slots(config: SlotsConfig, twist: impl Twist<dyn SlotsFace> + 'static) -> Box<dyn SlotsFace> {
    let machine: Box<dyn SlotsFace> = Box::new(Slots::new(config));
    Box::new(Frame { twist, framed: Framed { machine, out: VecDeque::new() } })
}

impl<M: Machine + ?Sized, T: Twist<M>> Machine for Frame<M, T> {
    type Input = M::Input;
    type Output = M::Output;

    fn handle(&mut self, now: Time, input: M::Input) {
        self.twist.input(now, input, &mut self.framed);
        // What the twist tells the machine in reply to an output makes more outputs.
        while let Some(output) = self.framed.machine.poll() {
            self.twist.output(now, output, &mut self.framed);
        }
    }

    fn poll(&mut self) -> Option<M::Output> {
        self.framed.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.framed.machine.poll_timeout().map(|due| due + self.twist.lag())
    }
}

impl<T: Twist> ElectorFace for Frame<dyn ElectorFace, T> {
    fn is_current(&self, now: Time) -> bool {
        self.framed.machine.is_current(now - self.twist.lag())
    }

    fn held(&self) -> Option<Held> {
        self.framed.machine.held()
    }

    fn standing(&self) -> Standing {
        self.framed.machine.standing()
    }
}

impl<T: Twist<dyn SlotsFace>> SlotsFace for Frame<dyn SlotsFace, T> {
    fn is_current(&self, now: Time) -> bool {
        self.framed.machine.is_current(now - self.twist.lag())
    }

    fn held(&self) -> Option<Held> {
        self.framed.machine.held()
    }

    fn standing(&self) -> Standing {
        self.framed.machine.standing()
    }
}
