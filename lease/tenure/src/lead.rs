//! Work under leadership: begun with it, told to stop before it ends, dropped when it ends.

use std::future::Future;
use std::pin::pin;

use tenure_core::LossReason;

use crate::election::Election;
use crate::error::ElectionError;
use crate::leadership::Leadership;

impl Election {
    /// Campaigns, then runs `work` while leading, and releases after it has ended.
    ///
    /// The tenure lasts until the work's future is gone, whether it has captured the [`Leadership`] or not: returned,
    /// dropped together with this call, or unwound by a panic. A leadership that outlives the future (in a task that it has
    /// spawned) keeps the lease further; [`Leadership::resign`] alone ends it before, as it says that the work has ended.
    ///
    /// Work that has to stop sees it at [`Leadership::lost`]; what still runs when the right to act ends is dropped, and
    /// the answer is [`ElectionError::Lost`]. Dropping cannot end code that does not yield, nor tasks and threads that the
    /// work has started: see [`crate::OnOverrun`].
    pub async fn lead<F, T>(&self, work: impl FnOnce(Leadership) -> F) -> Result<T, ElectionError>
    where
        F: Future<Output = T>,
    {
        let leadership = self.campaign().await?;
        // Before the work, so that it is dropped after it.
        let hold = leadership.hold();
        let mut work = pin!(work(leadership));
        tokio::select! {
            biased;
            () = hold.tenure().killed() => {
                Err(ElectionError::Lost(hold.tenure().reason().unwrap_or(LossReason::Expired)))
            }
            output = &mut work => Ok(output),
        }
    }

    /// Takes part until `stop` completes: campaigns, runs `work` while leading, and campaigns again after each loss. At the
    /// end the work drains, the lease is released, and the election has ended, as after [`Election::stop`].
    ///
    /// `stop` is any future; what it answers does not matter. [`Election::stop`], called elsewhere, ends this as well.
    ///
    /// `work` begins with each tenure and gets its [`Leadership`]:
    ///
    /// | The work | Then |
    /// |---|---|
    /// | is still running when it has to stop | sees [`Leadership::lost`], has the stop timeout to end, and is dropped after that |
    /// | was dropped, or returns `Ok` after its tenure was lost | a new campaign begins, with the election's own timers; after `stop` none does |
    /// | returns `Ok` while it still leads | it has done what it was for: the lease is released, and the answer is `Ok` |
    /// | returns an error, at whatever moment | the lease is released, and the error is the answer: what a loss makes fail and the next tenure makes good is therefore no error of the work |
    /// | panics | the lease is released as the panic goes on |
    ///
    /// `work` may be an `async` closure that borrows what it needs. One that owns something and lends it to its future, or
    /// changes something outside, is no function that can be called again in Rust's eyes: drop its `move`, or clone what each
    /// tenure needs before an `async move` block.
    ///
    /// The tenure lasts as long as the work's future, as with [`Election::lead`]. A call that is dropped drops the work,
    /// and the lease is released; the election can be used on.
    ///
    /// # Errors
    /// The work's own. None comes from the election, whose store may fail for as long as it likes: see
    /// [`crate::Status::store_failing_since`].
    pub async fn run_until<F, E>(&self, stop: impl Future, mut work: impl FnMut(Leadership) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let mut stop = pin!(stop);
        let mut asked = false;
        let mut outcome = Ok(());
        while !asked && !self.is_stopped() {
            let leadership = tokio::select! {
                biased;
                _ = &mut stop => break,
                // Whoever resigns ends a campaign, and the next one begins.
                leadership = self.campaign() => match leadership { Ok(leadership) => leadership, Err(_) => continue },
            };
            // Before the work, so that it is dropped after it.
            let hold = leadership.hold();
            let ends = self.ends_wished();
            let mut running = pin!(work(leadership));
            let returned = loop {
                tokio::select! {
                    biased;
                    () = hold.tenure().killed() => break None,
                    returned = &mut running => break Some(returned),
                    _ = &mut stop, if !asked => {
                        asked = true;
                        self.resign();
                    }
                }
            };
            match returned {
                // Work that ends because its time is up has not done what it was for.
                Some(Ok(())) if hold.tenure().is_undisturbed() && ends == self.ends_wished() => break,
                Some(Err(error)) => {
                    outcome = Err(error);
                    break;
                }
                _ => {}
            }
        }
        self.stop().await;
        outcome
    }
}
