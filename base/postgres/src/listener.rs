//! What a server tells of itself: its notifications, over a connection that does nothing else.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

use crate::connections::Connections;
use crate::error::{Call, DatabaseError};

/// How many notifications may wait; whoever falls behind begins anew.
const NOTIFICATIONS: usize = 4_096;

/// A connection that listens to one channel. Dropping it ends the connection.
#[derive(Debug)]
pub struct Listener {
    messages: mpsc::Receiver<String>,
    carrier: JoinHandle<()>,
    client: Client,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Listener {
    /// What the next notification says. `None` where the connection has ended, or where more than 4,096 notifications waited:
    /// some were missed then, and nobody repeats them.
    pub async fn next(&mut self) -> Option<String> {
        self.messages.recv().await
    }

    pub(crate) async fn on(connections: &Connections, channel: &str) -> Result<Listener, DatabaseError> {
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
        let listener = Listener { messages, carrier, client };
        let listening = listener.client.batch_execute(&format!("listen \"{channel}\"")).await;
        listening.map_err(|error| DatabaseError::of(Call::Read, &connections.config.shown(), &error))?;
        Ok(listener)
    }
}
