//! Calls to the server with a bound on their time, many at once where there are many.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Write};

/// A server whose calls end in time: a read that takes longer is unavailable, the outcome of such a write unknown.
///
/// A verb may take many calls, many batches or many conflicts one after the other. It asks for nothing more once the time of
/// one call is over, so that it ends within twice that time, and none of its calls is cut short for the sake of those before.
#[derive(Debug)]
pub(crate) struct Calls<R> {
    pub(crate) records: R,
    pub(crate) info: RecordsInfo,
}

/// Answers to many questions, in their order.
type Answers<T> = Vec<Result<T, StoreError>>;

/// A scan may take so many times as long as a call: a server tells what it has page by page.
const SCAN: u32 = 10;

/// No verb goes on asking for longer, whatever time a server gives its calls; no clock reaches every moment.
const DAY: Duration = Duration::from_secs(86_400);

const READ: StoreErrorKind = StoreErrorKind::Unavailable;
const WRITE: StoreErrorKind = StoreErrorKind::TimedOut;

impl<R: Records> Calls<R> {
    pub(crate) fn new(records: R) -> Calls<R> {
        let info = records.info();
        Calls { records, info }
    }

    /// Until when a verb that begins now may ask for something.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.info.call_timeout.min(DAY)
    }

    /// How long a scan may take. A server that tells of no changes looks through everything when it is asked to follow them.
    pub(crate) fn scan_timeout(&self) -> Duration {
        self.info.call_timeout.saturating_mul(SCAN)
    }

    /// How many steps are taken together: what the server bears, and not so few that one slow answer holds all others up.
    pub(crate) fn at_a_time(&self) -> usize {
        self.info.batch.saturating_mul(self.info.in_flight).max(256)
    }

    pub(crate) async fn read_one(&self, until: Instant, place: &Place) -> Result<Seen, StoreError> {
        self.asked_by(until)?;
        self.in_time(READ, self.records.read(place)).await?
    }

    pub(crate) async fn write_one(&self, until: Instant, write: &Write) -> Result<Swap, StoreError> {
        self.asked_by(until)?;
        self.in_time(WRITE, self.records.write(write)).await?
    }

    pub(crate) async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        self.within(self.scan_timeout(), READ, self.records.scan(kind, prefix)).await?
    }

    pub(crate) async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        self.within(self.scan_timeout(), READ, self.records.changes(kind, prefix)).await?
    }

    pub(crate) async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.in_time(READ, self.records.diagnose()).await?
    }

    pub(crate) async fn read(&self, until: Instant, places: &[Place]) -> Answers<Seen> {
        let one = |place| self.records.read(place).map(|seen| vec![seen]).boxed();
        self.all(until, places, READ, one, |places| self.records.read_many(places)).await
    }

    pub(crate) async fn write(&self, until: Instant, writes: &[Write]) -> Answers<Swap> {
        let one = |write| self.records.write(write).map(|swap| vec![swap]).boxed();
        self.all(until, writes, WRITE, one, |writes| self.records.write_many(writes)).await
    }

    /// As many requests at a time as the server bears, each of which asks for as many things as it takes.
    async fn all<'a, I: Sync, T: Send>(
        &'a self,
        until: Instant,
        items: &'a [I],
        late: StoreErrorKind,
        one: impl Fn(&'a I) -> BoxFuture<'a, Answers<T>>,
        many: impl Fn(&'a [I]) -> BoxFuture<'a, Answers<T>>,
    ) -> Answers<T> {
        let ask = |items: &'a [I]| match items {
            [item] => self.each(until, 1, late, one(item)).boxed(),
            items => self.each(until, items.len(), late, many(items)).boxed(),
        };
        let requests: Vec<_> = items.chunks(self.info.batch.max(1)).map(ask).collect();
        stream::iter(requests).buffered(self.info.in_flight.max(1)).concat().await
    }

    /// One answer for each item, whatever becomes of the request.
    async fn each<T>(
        &self,
        until: Instant,
        items: usize,
        late: StoreErrorKind,
        request: BoxFuture<'_, Answers<T>>,
    ) -> Answers<T> {
        let answers = match self.asked_by(until) {
            Ok(()) => self.in_time(late, request).await,
            Err(error) => Err(error),
        };
        let error = match answers {
            Ok(answers) if answers.len() == items => return answers,
            Ok(_) => self.error(late, "not as many answers as questions".to_owned()),
            Err(error) => error,
        };
        (0..items).map(|_| Err(error.clone())).collect()
    }

    /// Fails where it is too late to begin a call: nothing of it was sent.
    fn asked_by(&self, until: Instant) -> Result<(), StoreError> {
        if Instant::now() < until {
            return Ok(());
        }
        let within = self.info.call_timeout;
        Err(self.error(READ, format!("not asked any more, as what came before it took longer than {within:?}")))
    }

    /// Ends within the time of one call.
    async fn in_time<T>(&self, late: StoreErrorKind, call: impl Future<Output = T>) -> Result<T, StoreError> {
        self.within(self.info.call_timeout, late, call).await
    }

    /// Ends in time; `late` says what is known of what did not.
    async fn within<T>(
        &self,
        time: Duration,
        late: StoreErrorKind,
        call: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let ended = tokio::time::timeout(time, call).await;
        ended.map_err(|_| self.error(late, format!("no answer within {time:?}")))
    }

    fn error(&self, kind: StoreErrorKind, what: String) -> StoreError {
        StoreError::new(kind, format!("{}: {what}", self.info.store.scheme))
    }
}
