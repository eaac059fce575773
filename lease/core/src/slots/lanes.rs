//! Request ids that are unique over several electors and the slots' own lists.

use crate::RequestId;

/// Each elector numbers its requests from 1; so do the lists. Each of these has a lane of its own among the ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes(u64);

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The elector of this slot.
    Slot(usize),
    /// A list of all slots.
    List,
}

impl Lanes {
    /// Lanes for so many slots. One slot alone keeps its elector's numbers.
    pub(super) fn new(slots: usize) -> Lanes {
        Lanes(if slots == 1 { 1 } else { slots as u64 + 1 })
    }

    /// The id of a request that its owner has numbered `own`.
    pub(super) fn id(self, lane: Lane, own: RequestId) -> RequestId {
        let lane = match lane {
            Lane::Slot(slot) => slot as u64,
            Lane::List => self.0 - 1,
        };
        RequestId(own.0.wrapping_mul(self.0).wrapping_add(lane))
    }

    /// Whose request this id names, and its owner's number.
    pub(super) fn owner(self, id: RequestId) -> (Lane, RequestId) {
        let (own, lane) = (id.0 / self.0, id.0 % self.0);
        let lane = if self.0 > 1 && lane == self.0 - 1 { Lane::List } else { Lane::Slot(lane as usize) };
        (lane, RequestId(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every id leads back to its owner and number; any other number leads to somebody too.
    #[test]
    fn ids_lead_back() {
        for slots in [1, 2, 7] {
            let lanes = Lanes::new(slots);
            for own in [1, 2, 1_000].map(RequestId) {
                for slot in 0..slots {
                    assert_eq!(lanes.owner(lanes.id(Lane::Slot(slot), own)), (Lane::Slot(slot), own));
                }
                if slots > 1 {
                    assert_eq!(lanes.owner(lanes.id(Lane::List, own)), (Lane::List, own));
                }
            }
            assert!(matches!(lanes.owner(RequestId(u64::MAX)), (Lane::List, _) | (Lane::Slot(0), _)) || slots == 2);
        }
        assert_eq!(Lanes::new(1).id(Lane::Slot(0), RequestId(9)), RequestId(9));
    }
}
