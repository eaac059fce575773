//! How long to wait before something that was lost is made again.

use std::time::Duration;

/// The pauses between attempts at something that is to stand, a subscription or a connection: each twice as long as the one
/// before, up to a bound, and short again after what has stood for as long as that bound. So whatever ends as soon as it has
/// begun is asked for no more often than what cannot be begun at all.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    /// The first pause, and the longest.
    pub const fn new(first: Duration, longest: Duration) -> Pauses {
        Pauses { first, longest, next: first }
    }

    /// The pause after an attempt whose outcome stood for so long: not at all where it failed.
    pub fn after(&mut self, stood: Duration) -> Duration {
        if stood >= self.longest {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses grow up to their bound, also after what stood for a moment, and begin anew after what has lasted.
    #[test]
    fn pauses_grow_until_something_lasts() {
        let ms = Duration::from_millis;
        let mut pauses = Pauses::new(ms(50), ms(300));
        let taken = [0, 0, 299, 1, 0].map(|stood| pauses.after(ms(stood)));
        assert_eq!(taken, [50, 100, 200, 300, 300].map(ms));
        assert_eq!([300, 0, 60_000].map(|stood| pauses.after(ms(stood))), [50, 100, 50].map(ms));
    }
}
