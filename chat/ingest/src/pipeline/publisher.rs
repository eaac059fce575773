//! The publisher: a task that hands one publication after the other to the bus, while the pipeline reads on.
//!
//! Two publications are in its hands at most: the one that the bus has, and one that is ready when that is answered. The
//! second begins only where the first went through whole; else it comes back untouched, so that the order holds.

use futures_util::future::BoxFuture;
use tenure_envelope::EnvelopeId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::publication::Outcome;

/// How many publications may be without an outcome.
const MOST: usize = 2;

/// One publication that has not begun.
pub(super) struct Work {
    /// The messages that it publishes.
    pub(super) ids: Vec<EnvelopeId>,
    /// Publishes them, unless the right to has ended when it begins.
    pub(super) run: BoxFuture<'static, Outcome>,
}

/// What was handed to the bus and has no outcome yet.
#[derive(Default)]
pub(super) struct Publisher {
    task: Option<Running>,
    outstanding: usize,
}

struct Running {
    work: mpsc::Sender<(Work, bool)>,
    outcomes: mpsc::Receiver<Outcome>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Whether anything is without an outcome.
    pub(super) fn is_busy(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether another publication may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.outstanding < MOST
    }

    /// Takes a publication, which begins when what is in hand has gone through.
    pub(super) fn hand_over(&mut self, work: Work) {
        let behind = self.is_busy();
        let running = self.task.get_or_insert_with(Running::start);
        self.outstanding += 1;
        // Neither full, for there was room, nor closed, unless the task has panicked: `outcome` tells that.
        let _ = running.work.try_send((work, behind));
    }

    /// What became of the oldest publication; never returns while there is none. `None` where the task has panicked.
    /// Loses nothing where it is dropped.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        match &mut self.task {
            Some(running) if self.outstanding > 0 => {
                let outcome = running.outcomes.recv().await;
                self.outstanding -= 1;
                outcome
            }
            _ => std::future::pending().await,
        }
    }

    /// Gives up what is in hand: when this returns, nothing more of it is handed to the bus.
    pub(super) async fn abandon(&mut self) {
        if std::mem::take(&mut self.outstanding) > 0
            && let Some(mut running) = self.task.take()
        {
            running.task.abort();
            // It may be in the midst of a step, on another thread.
            let _ = (&mut running.task).await;
        }
    }
}

impl Running {
    fn start() -> Running {
        let (work, receiver) = mpsc::channel(MOST);
        let (sender, outcomes) = mpsc::channel(MOST);
        Running { work, outcomes, task: tokio::spawn(publish(receiver, sender)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish(mut work: mpsc::Receiver<(Work, bool)>, outcomes: mpsc::Sender<Outcome>) {
    let mut whole = true;
    while let Some((Work { ids, run }, behind)) = work.recv().await {
        let outcome = if whole || !behind { run.await } else { Outcome::NotHandedOver { handed_out: ids } };
        whole = outcome.is_whole();
        if outcomes.send(outcome).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    fn id(n: u8) -> EnvelopeId {
        EnvelopeId([n; 16])
    }

    fn returned(outcome: Option<Outcome>) -> Vec<EnvelopeId> {
        match outcome {
            Some(Outcome::NotHandedOver { handed_out }) => handed_out,
            _ => panic!("not a publication that came back"),
        }
    }

    /// What stands behind a publication that failed comes back without having begun; what is handed over later begins.
    #[tokio::test]
    async fn what_is_behind_a_failure_does_not_begin() {
        let mut publisher = Publisher::default();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let work = |n: u8| {
            let begun = Arc::clone(&begun);
            let run = Box::pin(async move {
                begun.lock().unwrap().push(n);
                Outcome::NotHandedOver { handed_out: vec![id(n)] }
            });
            Work { ids: vec![id(n)], run }
        };
        publisher.hand_over(work(1));
        assert!(publisher.is_busy() && publisher.has_room());
        publisher.hand_over(work(2));
        assert!(!publisher.has_room());
        assert_eq!(returned(publisher.outcome().await), [id(1)]);
        assert_eq!(returned(publisher.outcome().await), [id(2)]);
        publisher.hand_over(work(3));
        assert_eq!(returned(publisher.outcome().await), [id(3)]);
        assert_eq!(*begun.lock().unwrap(), [1, 3]);
    }

    /// What was given up is dropped before the call returns, and the next publication begins all the same.
    #[tokio::test]
    async fn what_is_abandoned_has_ended() {
        let mut publisher = Publisher::default();
        let (held, mut dropped) = oneshot::channel::<()>();
        let (tell, begun) = oneshot::channel();
        let hang = Box::pin(async move {
            let _held = held;
            let _ = tell.send(());
            std::future::pending().await
        });
        publisher.hand_over(Work { ids: vec![id(1)], run: hang });
        begun.await.unwrap();
        publisher.abandon().await;
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        let run = Box::pin(async { Outcome::NotHandedOver { handed_out: vec![id(2)] } });
        publisher.hand_over(Work { ids: vec![id(2)], run });
        assert_eq!(returned(publisher.outcome().await), [id(2)]);
    }

    /// A bus that panics is told, not waited for.
    #[tokio::test]
    async fn a_panic_is_told() {
        let mut publisher = Publisher::default();
        publisher.hand_over(Work { ids: Vec::new(), run: Box::pin(async { panic!("as told") }) });
        assert!(publisher.outcome().await.is_none());
    }
}
