//! The running score of the demo: how much was sent, how much is on the bus, and what is missing or there twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tenure_base_time::unix_millis;
use tenure_bus::{Bus, FollowFrom};
use tenure_twitch_sim::{LiveCount, Sim};

/// A line that has not appeared on the bus for so long counts as lost. The slowest repair, after a lost host and a locked
/// bus, takes less.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(15);
/// How often the numbers are told.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// The numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) sent: u64,
    pub(super) published: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

/// Keeps the score while the demo runs. It is a display: the verdict at the end reads everything anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Scorer {
    score: Arc<Mutex<Score>>,
}

impl Scorer {
    /// Follows the bus from now on, on the current runtime.
    pub(super) fn follow(sim: Arc<Sim>, bus: Arc<dyn Bus>, subject: String) -> Scorer {
        let scorer = Scorer::default();
        tokio::spawn(follow(sim, bus, subject, Arc::clone(&scorer.score)));
        scorer
    }

    pub(super) fn now(&self) -> Score {
        *self.score.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Score {
    /// Lines that are sent and not yet on the bus, but not given up either.
    pub(super) fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.published).saturating_sub(self.lost)
    }
}

async fn follow(sim: Arc<Sim>, bus: Arc<dyn Bus>, subject: String, score: Arc<Mutex<Score>>) {
    let mut count = LiveCount::default();
    let mut from = FollowFrom::Start;
    let mut tell = tokio::time::interval(TOLD_EVERY);
    loop {
        let mut stream = bus.follow(&subject, from).await.ok();
        loop {
            let followed = async {
                match &mut stream {
                    Some(stream) => stream.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tell.tick() => {
                    count.sent(&sim.lines_from(count.next_line()));
                    let now = read(&mut count, &sim);
                    *score.lock().unwrap_or_else(PoisonError::into_inner) = now;
                    if stream.is_none() {
                        break;
                    }
                }
                followed = followed => match followed {
                    Some(Ok(followed)) => {
                        count.envelope(&followed.body);
                        from = FollowFrom::After(followed.pos);
                    }
                    // A bus that restarts is followed again from where it was left.
                    Some(Err(_)) | None => stream = None,
                },
            }
        }
    }
}

fn read(count: &mut LiveCount, sim: &Sim) -> Score {
    let overdue = unix_millis().saturating_sub(LOST_AFTER.as_millis() as u64);
    let missing = count.missing_since(i64::try_from(overdue).unwrap_or(i64::MAX));
    // A line that no socket took was sent to nobody. That is looked up, which costs, only where one is missing.
    let lost = match missing.is_empty() {
        true => 0,
        false => {
            let ledger = sim.ledger();
            missing.into_iter().filter(|line| ledger.was_written(*line)).count() as u64
        }
    };
    let so_far = count.so_far();
    Score { sent: so_far.sent, published: so_far.published, lost, doubled: so_far.doubled }
}
