//! The servers that the benchmarks use: found on this machine, started for one group, and ended with it.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tenure_test_servers::{Nats, NatsOptions, Redis, RedisOptions, RedisPrograms, nats_program};

use crate::report::Report;

/// How a program reaches a store.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The URL.
    pub(crate) url: String,
    /// What the environment has to say besides.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Access {
    /// By the URL alone.
    pub(crate) fn of(url: impl Into<String>) -> Access {
        Access { url: url.into(), environment: Vec::new() }
    }
}

/// The stores that whole programs are measured on: SQLite in a folder of its own, and Redis if it is on this machine.
pub(crate) struct Stores {
    folder: TempDir,
    urls: Vec<(&'static str, String)>,
    _redis: Option<Redis>,
}

impl Stores {
    /// Starts the stores; without Redis the report notes that it is missing for `what`.
    ///
    /// # Errors
    /// Where there is no temporary folder.
    pub(crate) fn start(report: &mut Report, what: &str) -> Result<Stores> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut urls = vec![("SQLite", format!("sqlite:{}", folder.path().join("leases.db").display()))];
        let redis = redis().inspect_err(|error| report.left_out.push(format!("{what}, Redis: {error:#}"))).ok();
        urls.extend(redis.iter().map(|server| ("Redis", server.url())));
        Ok(Stores { folder, urls, _redis: redis })
    }

    /// Where SQLite's file is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name and the URL of each store.
    pub(crate) fn urls(&self) -> &[(&'static str, String)] {
        &self.urls
    }
}

/// A Redis without persistence.
///
/// # Errors
/// Where it is not here, or does not start.
pub(crate) fn redis() -> Result<Redis> {
    Ok(RedisPrograms::find()?.start(RedisOptions::default())?)
}

/// A NATS server with JetStream in a folder of its own.
///
/// # Errors
/// Where it is not here, or does not start.
pub(crate) fn nats() -> Result<Nats> {
    Ok(Nats::start(&nats_program("2.9")?, &NatsOptions::default())?)
}
