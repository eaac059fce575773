//! Calls to the server with a bound on their time, many at once where there are many.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tenure_store::{StoreError, StoreErrorKind};

use crate::records::{Place, Records, RecordsInfo, Seen, Swap, Write};

/// A server whose calls end in time: a read that takes longer is unavailable, the outcome of such a write unknown.
#[derive(Debug)]
pub(crate) struct Calls<R> {
    pub(crate) records: R,
    pub(crate) info: RecordsInfo,
}

impl<R: Records> Calls<R> {
    pub(crate) fn new(records: R) -> Calls<R> {
        let info = records.info();
        Calls { records, info }
    }

    pub(crate) async fn read(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let records = &self.records;
        let requests = self.chunks(places).map(|places| match places {
            [place] => records.read(place).map(|answer| vec![answer]).boxed(),
            places => records.read_many(places).boxed(),
        });
        self.all(places.len(), StoreErrorKind::Unavailable, requests.collect()).await
    }

    pub(crate) async fn write(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let records = &self.records;
        let requests = self.chunks(writes).map(|writes| match writes {
            [write] => records.write(write).map(|answer| vec![answer]).boxed(),
            writes => records.write_many(writes).boxed(),
        });
        self.all(writes.len(), StoreErrorKind::TimedOut, requests.collect()).await
    }

    pub(crate) async fn read_one(&self, place: &Place) -> Result<Seen, StoreError> {
        self.in_time(StoreErrorKind::Unavailable, self.records.read(place)).await?
    }

    pub(crate) async fn write_one(&self, write: Write) -> Result<Swap, StoreError> {
        self.in_time(StoreErrorKind::TimedOut, self.records.write(&write)).await?
    }

    /// Ends in time; `late` says what is known of what did not.
    pub(crate) async fn in_time<T>(
        &self,
        late: StoreErrorKind,
        call: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(self.info.call_timeout, call).await.map_err(|_| self.late(late, self.info.call_timeout))
    }

    fn chunks<'a, I>(&self, items: &'a [I]) -> std::slice::Chunks<'a, I> {
        items.chunks(self.info.batch.max(1))
    }

    /// The answers of requests that ask for `count` things in all, as many requests at a time as the server bears.
    async fn all<T: Send>(
        &self,
        count: usize,
        late: StoreErrorKind,
        requests: Vec<BoxFuture<'_, Vec<Result<T, StoreError>>>>,
    ) -> Vec<Result<T, StoreError>> {
        let mut left = count;
        let bounded: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let items = left.min(self.info.batch.max(1));
                left -= items;
                self.one_each(items, late, request).boxed()
            })
            .collect();
        let answers: Vec<_> = stream::iter(bounded).buffered(self.info.in_flight.max(1)).collect().await;
        answers.into_iter().flatten().collect()
    }

    /// One answer for each item, whatever becomes of the request.
    async fn one_each<T>(
        &self,
        items: usize,
        late: StoreErrorKind,
        request: BoxFuture<'_, Vec<Result<T, StoreError>>>,
    ) -> Vec<Result<T, StoreError>> {
        let error = match self.in_time(late, request).await {
            Ok(answers) if answers.len() == items => return answers,
            Ok(_) => StoreError::new(late, format!("{}: not as many answers as questions", self.info.store.scheme)),
            Err(error) => error,
        };
        (0..items).map(|_| Err(error.clone())).collect()
    }

    fn late(&self, kind: StoreErrorKind, after: Duration) -> StoreError {
        StoreError::new(kind, format!("{}: no answer within {after:?}", self.info.store.scheme))
    }
}
