//! Votes: which answer most of several servers gave to the same question.

/// The different answers so far, in the order in which they came, and how many servers gave each.
pub(crate) struct Votes<T>(Vec<(T, usize)>);

impl<T: Clone + PartialEq> Votes<T> {
    /// Nobody has answered yet.
    pub(crate) fn new() -> Self {
        Votes(Vec::new())
    }

    /// Counts an answer; returns it once more than half of all `voters` gave it.
    pub(crate) fn cast(&mut self, answer: T, voters: usize) -> Option<T> {
        let at = self.0.iter().position(|(known, _)| *known == answer).unwrap_or_else(|| {
            self.0.push((answer, 0));
            self.0.len() - 1
        });
        let (answer, count) = self.0.get_mut(at)?;
        *count += 1;
        (*count * 2 > voters).then(|| answer.clone())
    }

    /// How many servers have answered.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The answer that most gave, the first of them where several did; `None` where nobody answered.
    pub(crate) fn leading(&self) -> Option<T> {
        // Of equals `max_by_key` takes the last.
        self.0.iter().rev().max_by_key(|(_, count)| *count).map(|(answer, _)| answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than half of the voters decide at once; without them the answer that most gave leads, the first of equals.
    #[test]
    fn a_majority_decides_and_a_plurality_leads() {
        let mut votes = Votes::new();
        assert_eq!(votes.leading(), None);
        assert_eq!((votes.cast("a", 4), votes.cast("b", 4), votes.leading()), (None, None, Some("a")));
        assert_eq!((votes.cast("b", 4), votes.leading(), votes.count()), (None, Some("b"), 3));
        assert_eq!(votes.cast("b", 4), Some("b"));
        assert_eq!(Votes::new().cast("only", 1), Some("only"));
    }
}
