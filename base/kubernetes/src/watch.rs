//! What changes, as the API server tells it: a watch that goes on where it ended, as long as the server can.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kube::core::{DynamicObject, WatchEvent};

use crate::connection::Connection;
use crate::error::KubernetesError;
use crate::events::{Events, NoEvent};

/// How long one watch lasts; the server sends a bookmark shortly before its end, so that the next one goes on from there.
const LASTS: u64 = 60;
/// A watch that says nothing for longer leads nowhere any more.
const SILENT: Duration = Duration::from_secs(LASTS + 15);

/// An object as it is after a change, or as it was when it was deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The object.
    pub object: DynamicObject,
    /// It is gone.
    pub deleted: bool,
}

/// Follows what changes after this resourceVersion. The stream ends where the server cannot go on without a gap.
pub(crate) async fn follow(
    connection: Arc<Connection>,
    selected: String,
    from: String,
) -> Result<BoxStream<'static, Change>, KubernetesError> {
    let events = begin(&connection, &selected, &from).await?;
    let following = Following { connection, selected, at: from, events, went_on: false };
    let changes = stream::unfold(following, |mut following| async move { Some((following.next().await?, following)) });
    Ok(changes.boxed())
}

struct Following {
    connection: Arc<Connection>,
    selected: String,
    /// The last resourceVersion that was told of.
    at: String,
    events: Events,
    /// Whether the present watch has told of anything: one that ends without that is not begun again.
    went_on: bool,
}

impl Following {
    /// The next object that changed, or was deleted.
    async fn next(&mut self) -> Option<Change> {
        loop {
            let told = tokio::time::timeout(SILENT, self.events.next()).await.ok()?;
            let event = match told.map_err(|why| self.give_up(&why)).ok()? {
                Some(event) => event,
                None if self.went_on => {
                    self.went_on = false;
                    self.events = begin(&self.connection, &self.selected, &self.at).await.ok()?;
                    continue;
                }
                None => return None,
            };
            self.went_on = true;
            let (object, deleted) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    self.at = bookmark.metadata.resource_version;
                    continue;
                }
                // 410 above all: what happened after that version is forgotten.
                WatchEvent::Error(_) => return None,
            };
            self.at = object.metadata.resource_version.clone()?;
            return Some(Change { object, deleted });
        }
    }

    /// Says why there is no more. A connection that breaks off is everyday; what speaks otherwise is not, and a watch that is
    /// begun anew may meet it again at once: it is said aloud once.
    fn give_up(&self, why: &NoEvent) {
        let server = self.connection.server();
        if !matches!(why, NoEvent::BrokenOff(_)) && self.connection.warns() {
            tracing::warn!("kubernetes: {server}: {why}: hints are missing or late");
        } else {
            tracing::debug!("kubernetes: {server}: {why}");
        }
    }
}

async fn begin(connection: &Connection, selected: &str, from: &str) -> Result<Events, KubernetesError> {
    let query = format!("allowWatchBookmarks=true&timeoutSeconds={LASTS}&resourceVersion={from}&{selected}");
    connection.events(&query).await
}
