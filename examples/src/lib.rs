//! What the examples share: where their leases are, and when they stop.

/// The store where none is named: one SQLite file in the temporary folder, the same for every terminal.
pub fn default_store() -> String {
    format!("sqlite:{}", std::env::temp_dir().join("tenure-examples.db").display())
}

/// Returns when somebody asks this process to end: Ctrl-C or SIGTERM.
///
/// Fails where the system does not let a program wait for signals.
pub async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            asked = tokio::signal::ctrl_c() => asked,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
