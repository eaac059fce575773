//! What is remembered of servers that are one: which of them is asked first, and whether their data went back.

use tokio::time::Instant;

use crate::protocol::Counted;

/// How things stand. Whoever follows changes begins anew where [`Standing::learn`] or [`Standing::avoid`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The endpoint that is asked first.
    pub(crate) first: usize,
    /// How often the data were found to be older than before, or others, and when that was noticed last.
    pub(crate) epoch: u64,
    pub(crate) went_back: Option<Instant>,
    /// The newest that was told.
    newest: Option<Counted>,
}

/// What an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// Nothing that anybody has to know.
    Nothing,
    /// Another endpoint is asked first.
    Moved,
    /// The data went back, from the first to the second, so that there is another epoch.
    WentBack(Counted, Counted),
}

impl Standing {
    /// The endpoint has answered a question that was asked when things stood as `before`.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        before: &Standing,
        endpoint: usize,
        counted: Option<Counted>,
    ) -> Learned {
        let mut learned = Learned::Nothing;
        // Another call may have seen meanwhile that this endpoint has failed since.
        if self.first == before.first && endpoint != before.first {
            self.first = endpoint;
            learned = Learned::Moved;
        }
        let Some(found) = counted.filter(|_| self.epoch == before.epoch) else { return learned };
        // Answers may cross each other: only what was known before the question must not be undone.
        let undone = before.newest.filter(|old| found.cluster != old.cluster || found.count < old.count);
        if let Some(old) = undone {
            (self.epoch, self.went_back, self.newest) = (self.epoch + 1, Some(now), Some(found));
            return Learned::WentBack(old, found);
        }
        if self.newest.is_none_or(|newest| found.count > newest.count) {
            self.newest = Some(found);
        }
        learned
    }

    /// The endpoint has failed: the next of `count` is asked first from now on, if no other call has seen to that. Says whether
    /// this is news: also where there is no other one, because several servers may stand behind one address, and the next call
    /// may reach another one than whoever follows changes hangs on.
    pub(crate) fn avoid(&mut self, endpoint: usize, count: usize) -> bool {
        let is_first = self.first == endpoint;
        if is_first {
            self.first = (endpoint + 1) % count.max(1);
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(standing: &mut Standing, before: &Standing, endpoint: usize, counted: Option<Counted>) -> Learned {
        standing.learn(Instant::now(), before, endpoint, counted)
    }

    fn at(cluster: u64, count: u64) -> Option<Counted> {
        Some(Counted { cluster, count })
    }

    /// Whoever answers is asked first, unless another call moved on meanwhile. One endpoint stays the first, and its failure is
    /// news.
    #[test]
    fn who_answers_is_asked_first() {
        let mut standing = Standing::default();
        let before = standing;
        assert_eq!(learn(&mut standing, &before, 0, None), Learned::Nothing);
        assert_eq!((learn(&mut standing, &before, 2, None), standing.first), (Learned::Moved, 2));
        assert_eq!((learn(&mut standing, &before, 1, None), standing.first), (Learned::Nothing, 2));
        assert!(standing.avoid(2, 3) && standing.first == 0);
        assert!(!standing.avoid(2, 3) && standing.first == 0);
        assert!(standing.avoid(0, 1) && standing.first == 0);
    }

    /// A number below one that was known before the question begins an epoch; answers that cross each other do not.
    #[test]
    fn data_that_went_back_begin_an_epoch() {
        let mut standing = Standing::default();
        let first = standing;
        assert_eq!(learn(&mut standing, &first, 0, at(7, 10)), Learned::Nothing);
        // It was asked before the ten were known.
        assert_eq!(learn(&mut standing, &first, 0, at(7, 9)), Learned::Nothing);
        let second = standing;
        assert_eq!(standing.went_back, None);
        let back = Learned::WentBack(Counted { cluster: 7, count: 10 }, Counted { cluster: 7, count: 9 });
        assert_eq!((learn(&mut standing, &second, 0, at(7, 9)), standing.epoch), (back, 1));
        assert!(standing.went_back.is_some());
        // Told by whoever had asked in the old epoch, it is no further news.
        assert_eq!((learn(&mut standing, &second, 0, at(7, 8)), standing.epoch), (Learned::Nothing, 1));
        let third = standing;
        assert!(matches!(learn(&mut standing, &third, 0, at(8, 50)), Learned::WentBack(..)));
        let last = standing;
        assert_eq!(learn(&mut standing, &last, 0, None), Learned::Nothing);
    }
}
