//! What the server tells of changes: its notifications, over a connection that does nothing else.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tenure_records::{Changes, Place};
use tenure_store::{KeyPrefix, LeaseKey, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

use crate::connections::Connections;
use crate::failure::{Call, Failure};

/// How many notifications may wait; whoever falls behind begins anew.
const NOTIFICATIONS: usize = 4_096;

/// How long a notification may take, when it is tried out whether any arrive.
const TRIAL: Duration = Duration::from_secs(2);

/// A connection that listens. Its end is the end of the messages.
struct Listener {
    messages: mpsc::Receiver<String>,
    carrier: JoinHandle<()>,
    _client: Client,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// The keys under `prefix` whose tenures begin or end, from now on.
pub(crate) async fn changes(connections: &Connections, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
    let (listener, prefix) = (listen(connections).await?, prefix.clone());
    let told = stream::unfold(listener, |mut listener| async { Some((listener.messages.recv().await?, listener)) });
    let places = told.filter_map(move |text| {
        let key = LeaseKey::new(text).ok().filter(|key| prefix.matches(key));
        async { key.map(|key| (Place::lease(&key), None)) }
    });
    Ok(places.boxed())
}

/// Whether what one connection notifies reaches another. Not behind a pooler that lends a connection for one transaction at a
/// time: the connection that listens is nobody's then. True where that cannot be tried out.
pub(crate) async fn arrives(connections: &Connections) -> bool {
    let prepared = async {
        let listener = listen(connections).await?;
        let using = connections.get().await?;
        // No key is empty: nobody takes it for news.
        let told = using.client().batch_execute(&format!("select pg_notify('{}', '')", connections.config.table)).await;
        using.finish();
        told.map(|()| listener).map_err(|error| failed(connections, &error))
    };
    let Ok(Ok(mut listener)) = tokio::time::timeout(connections.config.timeout, prepared).await else { return true };
    let arrived = async { while listener.messages.recv().await.is_some_and(|text| !text.is_empty()) {} };
    let arrived = tokio::time::timeout(TRIAL, arrived).await.is_ok();
    if !arrived {
        tracing::warn!(
            "postgres: notifications do not arrive, as behind a pooler of transactions: candidates go by their timers; let \
             the URL name the server itself where a hand-over has to be fast"
        );
    }
    arrived
}

async fn listen(connections: &Connections) -> Result<Listener, StoreError> {
    let (client, mut connection) = connections.connect().await?;
    let (tell, messages) = mpsc::channel(NOTIFICATIONS);
    let carrier = tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message
                && tell.try_send(notification.payload().to_owned()).is_err()
            {
                return;
            }
        }
    });
    let listener = Listener { messages, carrier, _client: client };
    let listening = listener._client.batch_execute(&format!("listen \"{}\"", connections.config.table)).await;
    listening.map_err(|error| failed(connections, &error))?;
    Ok(listener)
}

fn failed(connections: &Connections, error: &tokio_postgres::Error) -> StoreError {
    Failure::of(Call::Read, &connections.config.shown(), error).into_error()
}
