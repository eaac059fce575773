//! The checker: pure, reads what every process wrote, trusts none of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// One act of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// Which process: each start of a worker is another one.
    pub(crate) process: usize,
    pub(crate) term: u64,
    pub(crate) begin: Duration,
    /// `None` where the process ended before the act did.
    pub(crate) end: Option<Duration>,
    /// Whether the fenced file refused it.
    pub(crate) refused: bool,
}

/// A span of time in which a fault was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) fault: &'static str,
    /// Whether the fault model covers it.
    pub(crate) inside: bool,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// A span in which nobody may begin to act, because nobody can have been answered for a ttl.
    pub(crate) nobody: Option<(Duration, Duration)>,
    /// How long it took until the key was taken again, and how long it may have taken.
    pub(crate) retaken: Duration,
    pub(crate) bound: Duration,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How many tenures acted.
    pub(crate) elections: usize,
    pub(crate) acts: usize,
    /// Acts that took longer than the margin, because their process was stopped or starved: from there only the fence stands.
    pub(crate) held_up: usize,
    /// How many the fenced file refused.
    pub(crate) refused: usize,
    /// The longest overlap of two tenures, by whether the fault model covers what was played then.
    pub(crate) inside: Duration,
    pub(crate) outside: Duration,
    pub(crate) slowest_retake: Duration,
    /// What is wrong, worst first.
    pub(crate) broken: Vec<String>,
}

/// The span in which a tenure acted.
struct Tenure {
    term: u64,
    process: usize,
    first: Duration,
    last: Duration,
}

/// Judges a run.
///
/// An act counts from its beginning, at which its process was current, to its end, but for no longer than the `margin` that
/// every deadline keeps from the moment at which the store lets others in. What took longer was stopped in the middle, by a
/// driver or by the machine: no lease can prevent that, and the sink must refuse it.
pub(crate) fn judge(acts: &[Act], sink: &[u64], windows: &[Window], ttl: Duration, margin: Duration) -> Verdict {
    let mut verdict = Verdict { acts: acts.len(), ..Verdict::default() };
    let tenures = tenures(acts, margin, &mut verdict);
    verdict.elections = tenures.len();
    for (at, tenure) in tenures.iter().enumerate() {
        if tenures[at + 1..].iter().any(|other| other.term == tenure.term) {
            verdict.broken.push(format!("two processes acted under the term {}", tenure.term));
        }
        // Those are sorted by their first act.
        for later in tenures[at + 1..].iter().take_while(|later| later.first < tenure.last) {
            let overlap = tenure.last.min(later.last).saturating_sub(later.first);
            let here = windows.iter().find(|window| window.from <= later.first && later.first < window.until);
            let inside = here.is_none_or(|window| window.inside);
            let fault = here.map_or("no fault", |window| window.fault);
            let (longest, allowed) =
                if inside { (&mut verdict.inside, Duration::ZERO) } else { (&mut verdict.outside, ttl) };
            *longest = overlap.max(*longest);
            if overlap > allowed {
                verdict.broken.push(format!(
                    "the terms {} and {} acted together for {} under {fault}",
                    tenure.term,
                    later.term,
                    Millis(overlap)
                ));
            }
        }
    }
    for pair in tenures.windows(2).filter(|pair| pair[1].term < pair[0].term) {
        let within = |window: &&Window| window.from <= pair[1].first && pair[1].first < window.until;
        if windows.iter().find(within).is_none_or(|window| window.inside) {
            verdict.broken.push(format!("the term {} followed {}", pair[1].term, pair[0].term));
        }
    }
    if let Some(pair) = sink.windows(2).find(|pair| pair[1] < pair[0]) {
        verdict.broken.push(format!("the fenced file went back from {} to {}", pair[0], pair[1]));
    }
    // The file hides from its own lines what it refuses. Whoever acts in time inside the model has the highest term of all.
    let mut unfit = BTreeMap::new();
    for act in acts.iter().filter(|act| act.refused) {
        verdict.refused += 1;
        let held_up = act.end.is_none_or(|end| end > act.begin + margin);
        let here = windows.iter().find(|window| window.from <= act.begin && act.begin < window.until);
        if !held_up && here.is_none_or(|window| window.inside) {
            unfit.entry(act.term).or_insert(here.map_or("no fault", |window| window.fault));
        }
    }
    for (term, fault) in unfit {
        verdict
            .broken
            .push(format!("the fenced file refused the term {term}, whose act nothing held up, under {fault}"));
    }
    for window in windows {
        if let Some((from, until)) = window.nobody
            && let Some(act) = acts.iter().find(|act| from < act.begin && act.begin < until)
        {
            let late = Millis(act.begin.saturating_sub(from));
            verdict.broken.push(format!("the term {} acted {late} after its time, under {}", act.term, window.fault));
        }
        if window.retaken > window.bound {
            let (took, bound) = (Millis(window.retaken), Millis(window.bound));
            verdict.broken.push(format!("the key was taken again after {took}, not {bound}, under {}", window.fault));
        }
        verdict.slowest_retake = verdict.slowest_retake.max(window.retaken);
    }
    verdict
}

/// The longest span within `from` and `until` in which nobody began to act.
pub(crate) fn longest_pause(acts: &[Act], from: Duration, until: Duration) -> Duration {
    let mut begins: Vec<Duration> = acts.iter().map(|act| act.begin).filter(|at| (from..until).contains(at)).collect();
    begins.extend([from, until]);
    begins.sort_unstable();
    begins.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn tenures(acts: &[Act], margin: Duration, verdict: &mut Verdict) -> Vec<Tenure> {
    let mut spans: BTreeMap<(u64, usize), (Duration, Duration)> = BTreeMap::new();
    for act in acts {
        let capped = act.begin + margin;
        let end = act.end.unwrap_or(act.begin);
        verdict.held_up += usize::from(end > capped);
        let span = spans.entry((act.term, act.process)).or_insert((act.begin, act.begin));
        *span = (span.0.min(act.begin), span.1.max(end.min(capped)));
    }
    let tenure = |((term, process), (first, last))| Tenure { term, process, first, last };
    let mut tenures: Vec<Tenure> = spans.into_iter().map(tenure).collect();
    tenures.sort_unstable_by_key(|tenure| (tenure.first, tenure.process));
    tenures
}

/// A span in whole milliseconds, rounded up: what is not nothing is not shown as nothing.
pub(crate) struct Millis(pub(crate) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0.as_nanos().div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_millis(1_000);
    const MARGIN: Duration = Duration::from_millis(200);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn act(process: usize, term: u64, begin: u64, end: u64) -> Act {
        Act { process, term, begin: ms(begin), end: Some(ms(end)), refused: false }
    }

    fn window(inside: bool, from: u64, until: u64) -> Window {
        let (from, until) = (ms(from), ms(until));
        Window { fault: "a fault", inside, from, until, nobody: None, retaken: ms(0), bound: ms(0) }
    }

    fn judged(acts: &[Act], windows: &[Window]) -> Verdict {
        judge(acts, &[], windows, TTL, MARGIN)
    }

    /// Tenures one after the other pass, also where an act began last thing and its process was killed.
    #[test]
    fn tenures_one_after_the_other_pass() {
        let unfinished = Act { end: None, ..act(0, 5, 8, 0) };
        let verdict = judged(&[act(0, 5, 1, 3), act(0, 5, 4, 6), unfinished, act(1, 6, 9, 10), act(0, 7, 20, 21)], &[]);
        assert_eq!(verdict, Verdict { elections: 3, acts: 5, ..Verdict::default() });
    }

    /// An overlap inside the model is found, and how long it was, in whatever order the files are read.
    #[test]
    fn a_planted_overlap_is_found() {
        let mut acts = vec![act(0, 5, 1, 3), act(0, 5, 40, 50), act(1, 6, 30, 31), act(1, 6, 60, 61)];
        for _ in 0..acts.len() {
            let verdict = judged(&acts, &[window(true, 0, 100)]);
            assert_eq!((verdict.inside, verdict.broken.len()), (ms(20), 1), "{verdict:?}");
            acts.rotate_left(1);
        }
        assert_eq!(judged(&acts, &[]).broken.len(), 1, "also while no fault is played");
    }

    /// Outside of the model the same overlap is told and allowed, for at most a ttl.
    #[test]
    fn outside_of_the_model_a_ttl_is_allowed() {
        let acts = [act(0, 5, 1, 3), act(0, 5, 900, 901), act(1, 6, 30, 31), act(1, 6, 1_400, 1_401)];
        let verdict = judged(&acts, &[window(false, 0, 2_000)]);
        assert_eq!((verdict.inside, verdict.outside, verdict.broken.len()), (ms(0), ms(871), 0), "{verdict:?}");
        let acts = [act(0, 5, 1, 3), act(0, 5, 1_100, 1_101), act(1, 6, 30, 31), act(1, 6, 1_400, 1_401)];
        assert_eq!(judged(&acts, &[window(false, 0, 2_000)]).broken.len(), 1);
        assert_eq!(judged(&acts, &[window(false, 500, 2_000)]).broken.len(), 1, "it began before the fault");
    }

    /// A process that is stopped in an act overlaps nobody with it: its deadline was a margin before the others' turn.
    #[test]
    fn an_act_that_was_held_up_ends_after_the_margin() {
        let verdict = judged(&[act(0, 5, 100, 5_000), act(1, 6, 301, 302)], &[]);
        assert_eq!((verdict.held_up, verdict.broken.len()), (1, 0), "{verdict:?}");
        assert_eq!(judged(&[act(0, 5, 100, 5_000), act(1, 6, 299, 302)], &[]).broken.len(), 1);
    }

    /// A term of two processes, a term that falls and a file that goes back are found.
    #[test]
    fn terms_and_the_file_only_grow() {
        assert!(judged(&[act(0, 5, 1, 2), act(1, 5, 10, 11)], &[]).broken[0].contains("two processes"));
        assert!(judged(&[act(0, 5, 1, 2), act(1, 4, 10, 11)], &[]).broken[0].contains("followed"));
        assert!(judged(&[act(0, 5, 1, 2), act(1, 4, 10, 11)], &[window(false, 5, 20)]).broken.is_empty());
        let broken = judge(&[], &[4, 5, 5, 4], &[window(false, 0, 9)], TTL, MARGIN).broken;
        assert!(broken[0].contains("went back"), "{broken:?}");
    }

    /// What the file refuses inside the model although nothing held it up is found, also where no two acts overlap and no term
    /// falls: the file has seen a higher one that is forgotten.
    #[test]
    fn what_the_file_refuses_is_judged() {
        let acts = [act(0, 5, 1, 2), Act { refused: true, ..act(1, 6, 10, 11) }];
        let verdict = judge(&acts, &[9, 9], &[window(true, 0, 100)], TTL, MARGIN);
        assert!(verdict.broken.len() == 1 && verdict.broken[0].contains("refused the term 6"), "{verdict:?}");
        assert_eq!((verdict.refused, judged(&acts, &[]).broken.len()), (1, 1), "also while no fault is played");
        assert!(judged(&acts, &[window(false, 0, 100)]).broken.is_empty());
        let stopped =
            [Act { refused: true, ..act(0, 5, 1, 500) }, Act { refused: true, end: None, ..act(1, 6, 510, 0) }];
        assert!(judged(&stopped, &[]).broken.is_empty());
    }

    /// Whoever acts where nobody may, and a key that is taken again too late, are found.
    #[test]
    fn deadlines_and_bounds_are_held() {
        let acts = [act(0, 5, 1, 2), act(0, 5, 50, 51)];
        let nobody = Window { nobody: Some((ms(40), ms(90))), ..window(true, 0, 100) };
        assert!(judged(&acts, std::slice::from_ref(&nobody)).broken[0].contains("after its time"));
        assert!(judged(&acts[..1], &[nobody]).broken.is_empty());
        let slow = Window { retaken: ms(7), bound: ms(6), ..window(false, 0, 100) };
        let verdict = judged(&acts, &[slow]);
        assert!(verdict.broken[0].contains("taken again") && verdict.slowest_retake == ms(7));
        assert_eq!(longest_pause(&acts, ms(0), ms(100)), ms(50));
    }
}
