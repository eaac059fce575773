//! Between a record, whose end nobody wrote down, and the slot that the steps of all stores are taken on.

use std::time::Duration;

use tenure_store::{Claim, Ends, HolderId, Nonce, Occupant as InSlot, RecordFormat, Slot, Tenure, Time};

use crate::content::{Content, Lasts, Occupancy, Occupant, Record};
use crate::observations::Observed;

/// The record that was seen; a value of another kind in its place counts as another program's.
pub(crate) fn record_of(content: Option<Content>) -> Option<Record> {
    content.map(|content| match content {
        Content::Lease(record) => record,
        Content::Document(_) => {
            let holder = tenure_store::foreign::stand_in("");
            Record::foreign(holder, RecordFormat::Foreign, Lasts::ForEver)
        }
    })
}

/// The slot as it is now, as far as can be proven from here: a tenure is over once either proof of its age suffices. However
/// long a bound one has stood, nothing follows from it.
pub(crate) fn slot(observed: &Observed, now: Time) -> Slot {
    let Some(record) = &observed.record else { return Slot::default() };
    let until = |lasts: Duration| now + lasts.saturating_sub(observed.age(now));
    let tenure = match &record.occupancy {
        Occupancy::Nobody => InSlot::Nobody,
        Occupancy::Tenure(Occupant { holder, nonce, ttl, resign_requested, bound, .. }) => InSlot::Tenure(Tenure {
            holder: holder.clone(),
            nonce: *nonce,
            ttl: *ttl,
            ends: bound.clone().map_or_else(|| Ends::At(until(*ttl)), Ends::With),
            resign_requested: *resign_requested,
        }),
        Occupancy::Foreign { holder, format, lasts } => {
            let over = match lasts {
                Lasts::ForEver => false,
                Lasts::Unchanged(span) => until(*span) <= now,
                Lasts::Left(span) => observed.read_at + *span <= now,
            };
            match over {
                true => InSlot::Nobody,
                false => InSlot::Foreign { holder: holder.clone(), format: *format },
            }
        }
    };
    Slot {
        tenure,
        term: record.term,
        note: record.note.clone(),
        previous_note: record.previous_note.clone(),
        promised: match &record.occupancy {
            Occupancy::Tenure(occupant) => occupant.ttl.max(occupant.hold),
            Occupancy::Nobody | Occupancy::Foreign { .. } => Duration::ZERO,
        },
        // No record says when its tenure was granted, so that after a server has lost writes every claim waits for its time.
        granted: None,
    }
}

/// The record that says what the slot says. `before` is what stood there, `claim` what was granted by this step.
pub(crate) fn record(slot: Slot, before: Option<&Record>, claim: Option<&Claim>, beat: u64) -> Record {
    let occupancy = match slot.tenure {
        InSlot::Nobody => Occupancy::Nobody,
        InSlot::Tenure(tenure) => Occupancy::Tenure(Occupant {
            hold: hold(&tenure, before, claim),
            bound: tenure.bound().cloned(),
            holder: tenure.holder,
            nonce: tenure.nonce,
            ttl: tenure.ttl,
            resign_requested: tenure.resign_requested,
        }),
        // No step that changes anything leaves one.
        InSlot::Foreign { holder, format } => Occupancy::Foreign { holder, format, lasts: Lasts::ForEver },
    };
    Record { occupancy, term: slot.term, note: slot.note, previous_note: slot.previous_note, beat }
}

/// The longest that the tenure was ever promised to its holder.
fn hold(tenure: &Tenure, before: Option<&Record>, claim: Option<&Claim>) -> Duration {
    let known = before.and_then(|record| match &record.occupancy {
        Occupancy::Tenure(occupant) if occupant.nonce == tenure.nonce => Some(occupant.hold),
        _ => None,
    });
    let claimed = claim.map(|claim| claim.hold).unwrap_or_default();
    known.unwrap_or_default().max(claimed).max(tenure.ttl)
}

/// The holder that a record names, where it is a tenure, and its nonce: what tells one tenure from the next.
pub(crate) fn tenure_of(record: Option<&Record>) -> Option<(&HolderId, Option<Nonce>)> {
    match &record?.occupancy {
        Occupancy::Nobody => None,
        Occupancy::Tenure(occupant) => Some((&occupant.holder, Some(occupant.nonce))),
        Occupancy::Foreign { holder, .. } => Some((holder, None)),
    }
}
