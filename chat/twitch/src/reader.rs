//! The reader: starts reading, tells its status, stops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_base_net::tls::ClientTls;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::connection_pool::ConnectionPool;
use crate::shared::Shared;
use crate::{ReaderConfig, ReaderError, ReaderEvent, ReaderStatus};

/// How long a stop waits for the tasks. None of them waits for anything once it is told to stop, so this bounds only the
/// unforeseen.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Reads chat until it is stopped or dropped.
pub struct Reader {
    shared: Arc<Shared>,
    pool: JoinHandle<()>,
}

impl Reader {
    /// Checks the configuration and begins to read; must be called within a tokio runtime. An unreachable server is no
    /// error here: it is tried again for as long as the reader lives, and said through events and status.
    ///
    /// The receiver is the only way that slowness is felt: while it is full no socket is read. Dropping it ends the
    /// reading.
    pub fn start(config: ReaderConfig) -> Result<(Reader, mpsc::Receiver<ReaderEvent>), ReaderError> {
        let channels = config.checked_channels()?;
        let login = config.checked_login()?;
        let tls = match config.url.is_tls() {
            true => Some(TlsConnector::from(ClientTls { ca_file: config.ca_file.clone(), identity: None }.config()?)),
            false => None,
        };
        let (events, receiver) = mpsc::channel(config.queue.max(1));
        let shared = Arc::new(Shared::new(config, tls, login, events));
        let pool = tokio::spawn(ConnectionPool::run(Arc::clone(&shared), channels));
        Ok((Reader { shared, pool }, receiver))
    }

    /// What it is doing now; cheap.
    pub fn status(&self) -> ReaderStatus {
        self.shared.status()
    }

    /// Closes every connection and ends every task. Events that were not taken yet stay in the receiver; nothing says
    /// what was lost by the stop itself. The last [`ReaderEvent::Alive`] says until when everything was given.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        if timeout(STOP_WITHIN, &mut self.pool).await.is_err() {
            tracing::warn!("irc reader's tasks did not end in time");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("url", &self.shared.url.to_string()).finish_non_exhaustive()
    }
}
