//! The peer in PostgreSQL: a session's advisory lock, for which another session waits inside the server.

use anyhow::{Context, Result, ensure};
use tokio_postgres::{Client, NoTls, Statement};

use super::candidate::Candidate;

/// One session. Its statements are prepared before anything is measured.
pub(crate) struct Advisory {
    session: Client,
    lock: Statement,
    unlock: Statement,
    key: String,
}

impl Advisory {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub(crate) async fn start(url: &str, key: &str) -> Result<Self> {
        let (session, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let lock = session.prepare("select pg_advisory_lock(hashtextextended($1, 0))").await?;
        let unlock = session.prepare("select pg_advisory_unlock(hashtextextended($1, 0))").await?;
        Ok(Self { session, lock, unlock, key: key.to_owned() })
    }
}

impl Candidate for Advisory {
    async fn campaign(&mut self) -> Result<()> {
        self.session.execute(&self.lock, &[&self.key]).await.context("cannot lock")?;
        Ok(())
    }

    async fn release(&mut self) -> Result<()> {
        let held = self.session.query_one(&self.unlock, &[&self.key]).await.context("cannot unlock")?;
        ensure!(held.try_get::<_, bool>(0)?, "held no lock");
        Ok(())
    }
}
