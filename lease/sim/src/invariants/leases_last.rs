//! What the store has promised lasts: nobody is granted the key before the moment until which the store has last granted
//! or extended another tenure, unless that one was released. Asked inside the fault model, by the store's own clock; of records,
//! whose ends others decide, by true time less what their clocks may be fast.
//!
//! It holds over a restart that brings back an older state or none, as long as the store knows that it may have forgotten,
//! and claims say for how long a tenure may have been promised: see [`tenure_core::Claim::hold`].

use std::time::Duration;

use tenure_core::{Answer, Claim, Claimed, Held, Nonce, Released, Renewed, Request, Term, Time};

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "leases_last";

/// What it remembers: the last tenure, until when it was promised, and for how long at most.
#[derive(Debug, Default)]
pub struct LeasesLast {
    promise: Option<((Nonce, Term), Time)>,
    longest: Duration,
}

impl LeasesLast {
    /// The store has answered a request at this moment of its clock. Where others decide when a promise is over, their
    /// clocks are fast by at most `fast_ppm` parts per million.
    pub fn answered(&mut self, now: Time, fast_ppm: u64, request: &Request, answer: &Answer) -> Verdict {
        if let Request::Acquire(Claim { ttl, .. }) | Request::Renew(Held { ttl, .. }) = request {
            self.longest = self.longest.max(*ttl);
        }
        let slack = self.longest * u32::try_from(fast_ppm).unwrap_or(u32::MAX) / 1_000_000;
        // What a clock shows is rounded.
        let slack = if fast_ppm == 0 { slack } else { slack + Duration::from_nanos(9) };
        match (request, answer) {
            (Request::Acquire(claim), Answer::Claimed(Claimed::Granted { term, .. })) => {
                let tenure = (claim.nonce, *term);
                match self.promise {
                    // A late copy of an old claim meets the lease that an older state brought back: its holder gives it back.
                    Some((other, _)) if tenure.1 < other.1 => {}
                    Some((other, until)) if other != tenure && until.since(now) > slack => {
                        let early = until.since(now);
                        return Err(format!("term {term} is granted {early:?} before term {} ends", other.1));
                    }
                    // A repeated claim never shortens the lease.
                    Some((other, until)) if other == tenure => {
                        self.promise = Some((tenure, until.max(now + claim.ttl)))
                    }
                    _ => self.promise = Some((tenure, now + claim.ttl)),
                }
            }
            (Request::Renew(held), Answer::Renewed(Renewed::Extended { .. })) => {
                let tenure = (held.nonce, held.term);
                // One that an older state brought back is nobody's any more, and promises nothing to anybody.
                if self.promise.is_none_or(|(other, until)| other == tenure || until <= now) {
                    self.promise = Some((tenure, now + held.ttl));
                }
            }
            (Request::Release(held), Answer::Released(Released::Freed)) => {
                self.promise.take_if(|(tenure, _)| *tenure == (held.nonce, held.term));
            }
            _ => {}
        }
        Ok(())
    }
}
