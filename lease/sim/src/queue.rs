//! The event queue: what happens next, by time, then by the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::true_time::Nanos;

/// Events by time. Events of one moment come out in the order in which they went in, so that a run repeats exactly.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    // Events are large, heap entries move often: the heap holds places in here.
    events: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<E> Queue<E> {
    /// A queue without events.
    pub fn new() -> Self {
        Queue { heap: BinaryHeap::with_capacity(128), events: Vec::with_capacity(128), free: Vec::new(), pushed: 0 }
    }

    /// Plans `event` for the moment `at`.
    pub fn push(&mut self, at: Nanos, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                (self.events.len() - 1) as u32
            }
        };
        self.pushed += 1;
        self.heap.push(Reverse((at, self.pushed, place)));
    }

    /// Takes the next event and its moment.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        let event = self.events[place as usize].take()?;
        self.free.push(place);
        Some((at, event))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By time; within one moment, first in, first out.
    #[test]
    fn events_come_out_in_order() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (3, "b")] {
            queue.push(at, name);
        }
        let mut seen = Vec::new();
        while let Some((_, name)) = queue.pop() {
            seen.push(name);
            if name == "b" {
                queue.push(5, "e");
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }
}
