//! A process that is told that its latest claim was granted works under the grant, releases it, or claims again with the
//! same nonce, within a ttl. Asked in both modes, of every process that runs.
//!
//! Otherwise the key is held by somebody who does not lead, and nobody else can. A grant is gone, and owed to nobody, once
//! its process was told of a higher term. The late answer to a claim that was repeated since is not asked about: the answer
//! to the repeated one settles both.

use std::time::Duration;

use tenure_core::{Nonce, RequestId, Term, Time};

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "grants_are_used_or_released";

/// What it remembers of one process.
#[derive(Debug, Default)]
pub struct GrantsAreUsedOrReleased {
    /// Its latest claim.
    claim: Option<RequestId>,
    /// The grants that it was told of and did nothing about, and when it was told by its host's clock.
    open: Vec<(Nonce, Term, Time)>,
    /// The highest term that it worked under or sent a release of. Late copies tell of such grants again.
    settled: Option<Term>,
}

impl GrantsAreUsedOrReleased {
    /// The process is told that the claim of this number was granted.
    pub fn granted(&mut self, now: Time, id: RequestId, nonce: Nonce, term: Term) {
        let known = self.open.iter().any(|(open, under, _)| (*open, *under) == (nonce, term));
        if self.claim == Some(id) && !known && Some(term) > self.settled {
            self.open.push((nonce, term, now));
        }
    }

    /// The process starts work under this term, or sends a release of it.
    pub fn settled(&mut self, term: Term) {
        self.settled = self.settled.max(Some(term));
        self.open.retain(|(_, open, _)| *open > term);
    }

    /// The process is told of this term, by whatever answer.
    pub fn saw(&mut self, term: Term) {
        self.open.retain(|(_, open, _)| *open >= term);
    }

    /// The process claims with this nonce.
    pub fn claims(&mut self, id: RequestId, nonce: Nonce) {
        self.claim = Some(id);
        self.open.retain(|(open, _, _)| *open != nonce);
    }

    /// Asks it after the process had its say.
    pub fn check(&self, now: Time, ttl: Duration) -> Verdict {
        match self.open.iter().find(|(_, _, told)| now > *told + ttl) {
            Some((_, term, told)) => {
                Err(format!("the grant of term {term} is neither used nor released after {:?}", now.since(*told)))
            }
            None => Ok(()),
        }
    }
}
