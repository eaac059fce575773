//! A watch: what etcd tells of changes, until it may have left something out.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tenure_base_http::Lines;
use tenure_records::{Changes, Place, Seen};
use tenure_store::{StoreError, StoreErrorKind};
use tokio::sync::watch;

use crate::http::{Asked, Cluster, Standing, error};

/// What a key and its value are, in this epoch; nothing where they are not of the kind that is watched.
pub(crate) type Found = Box<dyn Fn(&Value, u64) -> Option<(Place, Seen)> + Send>;

/// One watch that is open.
struct Watch {
    found: Found,
    lines: Lines,
    standing: watch::Receiver<Standing>,
    epoch: u64,
    told: VecDeque<(Place, Option<Seen>)>,
}

/// The changes in this range from now on. They end where the watch breaks or is cancelled, where another member is asked
/// first since, as this one may be stopped without a word, and where the cluster went back to an older state.
pub(crate) async fn changes(cluster: Arc<Cluster>, range: Value, found: Found) -> Result<Changes, StoreError> {
    let mut standing = cluster.standing.subscribe();
    let epoch = standing.borrow_and_update().epoch;
    let lines = cluster.open("v3/watch", &json!({ "create_request": range })).await?;
    let mut watch = Watch { found, lines, standing, epoch, told: VecDeque::new() };
    // The first line says that it is there; what changes from then on is told.
    if !watch.next_line().await.is_some_and(|line| line["created"] == true && line["canceled"] != true) {
        // A read says why it was refused, and renews a token that has run out: a watch tells neither in its status.
        let mut probe = range;
        probe["limit"] = 1.into();
        probe["keys_only"] = true.into();
        cluster.ask("v3/kv/range", &probe, Asked::Read).await?;
        return Err(error(StoreErrorKind::Unavailable, "a watch was refused or has ended at once"));
    }
    let changes = stream::unfold(watch, |mut watch| async move {
        loop {
            if let Some(change) = watch.told.pop_front() {
                return Some((change, watch));
            }
            let line = watch.next_line().await.filter(|line| line["canceled"] != true)?;
            for event in line["events"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let found = (watch.found)(&event["kv"], watch.epoch);
                let is_gone = event["type"] == "DELETE";
                watch
                    .told
                    .extend(found.map(|(place, seen)| (place, Some(if is_gone { Seen::default() } else { seen }))));
            }
        }
    });
    Ok(changes.boxed())
}

impl Watch {
    /// What the next line tells; `None` at the end, and where the watch is not to be followed any more.
    async fn next_line(&mut self) -> Option<Value> {
        tokio::select! {
            line = self.lines.next() => {
                let mut line = serde_json::from_slice::<Value>(&line.ok()??).ok()?;
                Some(line["result"].take()).filter(|result| !result.is_null())
            }
            _ = self.standing.changed() => None,
        }
    }
}
