//! The ids that were lately seen on the bus, so that a line read after its publication is not held for repair.

use std::collections::VecDeque;

use tenure_envelope::EnvelopeId;

use crate::ids::IdSet;

/// Remembers the last `capacity` ids; the oldest is forgotten first. What it forgets costs a publication that the bus
/// drops, nothing else.
#[derive(Debug)]
pub struct RecentIds {
    capacity: usize,
    ids: IdSet,
    order: VecDeque<EnvelopeId>,
}

impl RecentIds {
    /// Remembers nothing yet.
    pub fn new(capacity: usize) -> Self {
        RecentIds { capacity, ids: IdSet::default(), order: VecDeque::new() }
    }

    /// Remembers this id; false where it was remembered already.
    pub fn insert(&mut self, id: EnvelopeId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Whether this id is remembered.
    pub fn contains(&self, id: &EnvelopeId) -> bool {
        self.ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The oldest id is forgotten first, and a repeated one takes no second place.
    #[test]
    fn forgets_the_oldest_first() {
        let id = |n| EnvelopeId([n; 16]);
        let mut seen = RecentIds::new(2);
        assert!(seen.insert(id(1)));
        assert!(!seen.insert(id(1)));
        assert!(seen.insert(id(2)));
        assert!(seen.insert(id(3)));
        assert!(!seen.contains(&id(1)) && seen.contains(&id(2)) && seen.contains(&id(3)));
    }
}
