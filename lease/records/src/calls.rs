//! Calls to the server with a bound on their time, many at once where there are many.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind};

use crate::records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Write};

/// A server whose calls end in time: a read that takes longer is unavailable, the outcome of such a write unknown.
#[derive(Debug)]
pub(crate) struct Calls<R> {
    pub(crate) records: R,
    pub(crate) info: RecordsInfo,
}

/// Answers to many questions, in their order.
type Answers<T> = Vec<Result<T, StoreError>>;

const READ: StoreErrorKind = StoreErrorKind::Unavailable;
const WRITE: StoreErrorKind = StoreErrorKind::TimedOut;

impl<R: Records> Calls<R> {
    pub(crate) fn new(records: R) -> Calls<R> {
        let info = records.info();
        Calls { records, info }
    }

    pub(crate) async fn read_one(&self, place: &Place) -> Result<Seen, StoreError> {
        self.in_time(READ, self.records.read(place)).await?
    }

    pub(crate) async fn write_one(&self, write: &Write) -> Result<Swap, StoreError> {
        self.in_time(WRITE, self.records.write(write)).await?
    }

    pub(crate) async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        self.in_time(READ, self.records.scan(kind, prefix)).await?
    }

    pub(crate) async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        self.in_time(READ, self.records.changes(kind, prefix)).await?
    }

    pub(crate) async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.in_time(READ, self.records.diagnose()).await?
    }

    pub(crate) async fn read(&self, places: &[Place]) -> Answers<Seen> {
        let one = |place| self.records.read(place).map(|seen| vec![seen]).boxed();
        self.all(places, READ, one, |places| self.records.read_many(places)).await
    }

    pub(crate) async fn write(&self, writes: &[Write]) -> Answers<Swap> {
        let one = |write| self.records.write(write).map(|swap| vec![swap]).boxed();
        self.all(writes, WRITE, one, |writes| self.records.write_many(writes)).await
    }

    /// As many requests at a time as the server bears, each of which asks for as many things as it takes.
    async fn all<'a, I, T: Send>(
        &'a self,
        items: &'a [I],
        late: StoreErrorKind,
        one: impl Fn(&'a I) -> BoxFuture<'a, Answers<T>>,
        many: impl Fn(&'a [I]) -> BoxFuture<'a, Answers<T>>,
    ) -> Answers<T> {
        let ask = |items: &'a [I]| match items {
            [item] => self.each(1, late, one(item)).boxed(),
            items => self.each(items.len(), late, many(items)).boxed(),
        };
        let requests: Vec<_> = items.chunks(self.info.batch.max(1)).map(ask).collect();
        stream::iter(requests).buffered(self.info.in_flight.max(1)).concat().await
    }

    /// One answer for each item, whatever becomes of the request.
    async fn each<T>(&self, items: usize, late: StoreErrorKind, request: BoxFuture<'_, Answers<T>>) -> Answers<T> {
        let error = match self.in_time(late, request).await {
            Ok(answers) if answers.len() == items => return answers,
            Ok(_) => self.error(late, "not as many answers as questions".to_owned()),
            Err(error) => error,
        };
        (0..items).map(|_| Err(error.clone())).collect()
    }

    /// Ends in time; `late` says what is known of what did not.
    async fn in_time<T>(&self, late: StoreErrorKind, call: impl Future<Output = T>) -> Result<T, StoreError> {
        let within = self.info.call_timeout;
        let ended = tokio::time::timeout(within, call).await;
        ended.map_err(|_| self.error(late, format!("no answer within {within:?}")))
    }

    fn error(&self, kind: StoreErrorKind, what: String) -> StoreError {
        StoreError::new(kind, format!("{}: {what}", self.info.store.scheme))
    }
}
