//! What changes, as the API server tells it: a watch that goes on where it ended, as long as the server can.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kube::core::WatchEvent;
use tenure_records::{Changes, Kind, Place, Seen};
use tenure_store::StoreError;

use crate::api::{Api, Verb};
use crate::object::{KIND, Object};

/// How long one watch lasts; the server sends a bookmark shortly before its end, so that the next one goes on from there.
const LASTS: u64 = 60;
/// A watch that says nothing for longer leads nowhere any more.
const SILENT: Duration = Duration::from_secs(LASTS + 15);
/// How long the next watch may take to begin.
const BEGINS: Duration = Duration::from_secs(5);

type Events = BoxStream<'static, Result<WatchEvent<Object>, kube::Error>>;

/// The query that selects our objects of this kind.
pub(crate) fn selector(kind: Kind) -> String {
    let kind = if kind == Kind::Lease { "lease" } else { "document" };
    format!("labelSelector={}%3D{kind}", KIND.replace('/', "%2F"))
}

/// Follows what changes after this resourceVersion. `told` says what an object, or its deletion, means. The stream ends where
/// the server cannot go on without a gap.
pub(crate) async fn follow<F>(api: Arc<Api>, kind: Kind, from: String, told: F) -> Result<Changes, StoreError>
where
    F: Fn(&Object, bool) -> Option<(Place, Option<Seen>)> + Send + 'static,
{
    let events = begin(&api, kind, &from).await?;
    let following = Following { api, kind, at: from, events, went_on: false };
    let changes = stream::unfold((following, told), |(mut following, told)| async move {
        loop {
            let (object, gone) = following.next().await?;
            if let Some(change) = told(&object, gone) {
                return Some((change, (following, told)));
            }
        }
    });
    Ok(changes.boxed())
}

struct Following {
    api: Arc<Api>,
    kind: Kind,
    /// The last resourceVersion that was told of.
    at: String,
    events: Events,
    /// Whether the present watch has told of anything: one that ends without that is not begun again.
    went_on: bool,
}

impl Following {
    /// The next object that changed, or was deleted.
    async fn next(&mut self) -> Option<(Object, bool)> {
        loop {
            let event = match tokio::time::timeout(SILENT, self.events.next()).await.ok()? {
                Some(event) => event.ok()?,
                None if self.went_on => {
                    self.went_on = false;
                    let anew = begin(&self.api, self.kind, &self.at);
                    self.events = tokio::time::timeout(BEGINS, anew).await.ok()?.ok()?;
                    continue;
                }
                None => return None,
            };
            self.went_on = true;
            let (object, gone) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    self.at = bookmark.metadata.resource_version;
                    continue;
                }
                // 410 above all: what happened after that version is forgotten.
                WatchEvent::Error(_) => return None,
            };
            self.at.clone_from(&object.metadata.resource_version);
            return Some((object, gone));
        }
    }
}

async fn begin(api: &Api, kind: Kind, from: &str) -> Result<Events, StoreError> {
    let query =
        format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={LASTS}&resourceVersion={from}&{}", selector(kind));
    let request = api.request(Verb::Watch, None, &query, Vec::new())?;
    let events = api.client().await?.request_events::<Object>(request).await;
    Ok(events.map_err(|error| api.failed(Verb::Watch, &error))?.boxed())
}
