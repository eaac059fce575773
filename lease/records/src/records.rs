//! What a server must offer: records under keys, each of which changes only where it is still the one that was seen.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tenure_store::record::Content;
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo};

/// One state of one place. A server gives it out with each write, or the writer chooses it at random and writes it along. It
/// never repeats for a place, also not after the record was deleted, nor where equal contents are written again.
pub use tenure_store::Version;
pub use tenure_store::place::{Kind, Place};

/// What a read found. The default is a place that nothing was ever in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What stands there; `None` where nothing does.
    pub content: Option<Content>,
    /// Its version; a server that keeps a mark in place of what was deleted has one for the mark too.
    pub version: Option<Version>,
    /// For how long at least this version has stood there, by the server's own clock; `None` where it has none that tells.
    pub age: Option<Duration>,
    /// The server's wall clock at that moment, in microseconds since 1970, where it can be read: seeds terms.
    pub server_micros: Option<u64>,
    /// For how long at least the server has known of every write that it acknowledged, by its own clock, where it may have lost
    /// some before: it came back with an older state, or its records were made anew. `None` where it has lost none, or cannot
    /// tell. A server that tells gives a place without a record a version too, and takes no version from before that moment:
    /// whoever read before and writes after is refused.
    pub complete_for: Option<Duration>,
}

/// How a write ended, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was done: the place has this version now.
    Done(Version),
    /// The place is not as it was expected: nothing was done. What is there instead, where the answer says so.
    Conflict(Option<Seen>),
}

/// One conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub place: Place,
    /// The version that must stand there; `None` where nothing may.
    pub expected: Option<Version>,
    /// What is to stand there; `None` deletes, or leaves a mark where a server forgets the versions of what it deletes.
    pub to: Option<Content>,
}

/// What changed, as the server tells it: the place, and what a read would find there now where that came along.
pub type Changes = BoxStream<'static, (Place, Option<Seen>)>;

/// What a server is like.
#[derive(Clone, Debug)]
pub struct RecordsInfo {
    /// What a store over it can do. `watch` says whether [`Records::changes`] works.
    pub store: StoreInfo,
    /// How long one call may take: a read that takes longer is unavailable, the outcome of such a write unknown. A verb, of
    /// however many calls, takes at most twice that long, a [`scan`](Records::scan) ten times.
    pub call_timeout: Duration,
    /// How many calls may be under way at a time for one batch.
    pub in_flight: usize,
    /// How many reads or writes one request takes ([`Records::read_many`], [`Records::write_many`]); 1 where it takes one.
    pub batch: usize,
}

/// Records with compare-and-swap. Holds no policy: which record may be replaced by which is decided above, once for all.
///
/// A refusal is a [`Swap::Conflict`], an error for which nothing was done, or
/// [`TimedOut`](StoreErrorKind::TimedOut) where the write may have been done or may be done later, and nothing in between.
/// No call is repeated within: the second try of a write would meet the first. Whoever calls puts a bound on the time.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync + 'static {
    /// What this server is like.
    fn info(&self) -> RecordsInfo;

    /// What stands there now: linearizable, so that it shows every write that was answered before.
    async fn read(&self, place: &Place) -> Result<Seen, StoreError>;

    /// Does the write where the place has the version that it expects. The next version comes from its own answer.
    async fn write(&self, write: &Write) -> Result<Swap, StoreError>;

    /// All that stands under keys with this prefix; what was deleted may be left out. What is not of this kind, as its place
    /// should hold, is handed out all the same: as what it is, whoever asks decides.
    ///
    /// It has ten times the time of a call in all. Where it takes many requests the server bounds each by that of one, so that
    /// one that does not answer is noticed as soon as in any other call.
    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError>;

    /// What changes under keys with this prefix, from now on. Its end, or an error before, means that changes may have been
    /// missed. Hints: nothing is decided by them. Has the time of a scan, for it may begin with one.
    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let _ = (kind, prefix);
        Err(StoreError::new(StoreErrorKind::Unsupported, "tells nobody of changes; candidates go by their timers"))
    }

    /// What an operator should know of the server, as [`LeaseStore::diagnose`](tenure_store::LeaseStore::diagnose) tells it.
    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        Ok(Diagnosis::default())
    }

    /// Many reads in one request, at most [`RecordsInfo::batch`] of them, answered in order. Asked only where that is above 1.
    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        stream::iter(places).then(|place| self.read(place)).collect().await
    }

    /// Many writes in one request, as [`Records::read_many`]; each decides on its own, and no place is named twice.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        stream::iter(writes).then(|write| self.write(write)).collect().await
    }
}
