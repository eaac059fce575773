//! Where the line of a detached lease comes from: a file, or standard input.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tenure_core::Term;

use super::detached_lease::DetachedLease;
use super::lease_file::{self, NextLine};
use crate::exit::Exit;
use crate::fence::parse_term;
use crate::store::StoreArgs;

/// Flags of every command that takes a line.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// File with the lease's line; - or nothing for standard input
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Term that the line must have: another one means that this lease is over, and its file somebody else's
    #[arg(long, value_name = "N", value_parser = parse_term)]
    pub(super) term: Option<Term>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// A line that was read, and the file that it is in.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) lease: DetachedLease,
    /// `None` where the line came from what cannot be replaced, as standard input.
    file: Option<PathBuf>,
}

impl SourceArgs {
    /// Reads the line.
    pub(super) fn read(&self) -> Result<Source> {
        if self.file == Path::new("-") {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(Exit::usage(anyhow!(
                    "no lease is given: name the file that `tenure lease acquire --out FILE` wrote, or pipe its line in"
                )));
            }
            let text = lease_file::read_from(stdin.lock()).context("cannot read standard input")?;
            let lease = DetachedLease::parse(&text).context("standard input").map_err(Exit::usage)?;
            return Ok(Source { lease, file: None });
        }
        let name = self.file.display();
        let text = lease_file::read(&self.file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Exit::usage(anyhow!("there is no file {name}: `tenure lease acquire KEY --out {name}` makes it"))
            }
            _ => Exit::usage(anyhow::Error::new(error).context(format!("cannot read {name}"))),
        })?;
        let lease = DetachedLease::parse(&text).with_context(|| name.to_string()).map_err(Exit::usage)?;
        let file = self.file.is_file().then(|| self.file.clone());
        Ok(Source { lease, file })
    }

    /// Whether the line has the term that it was to have.
    pub(super) fn is_expected(&self, lease: &DetachedLease) -> bool {
        self.term.is_none_or(|term| term == lease.term)
    }
}

impl Source {
    /// Puts a newer line of the same tenure in the file's place. Nothing is done where the line came from no file. Answers false, and
    /// does nothing, where the file is another tenure's by now, or was released. An old line promises less than is true,
    /// which is safe.
    pub(super) fn replace(&self, lease: &DetachedLease) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let next = NextLine::prepare(file)?;
        // A renewal must not put its line over the mark of a release that came between its look and its step.
        let _turn = next.turn();
        match next.current()? {
            Some(there) if there.is_of_tenure_of(lease) && !there.released => next.replace(lease).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Sees to it that the file lets nobody act any more, before the store is told that they do not. On a disk that is
    /// full the file can still be removed.
    pub(super) fn end(&self, lease: &DetachedLease) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let Err(_) = self.replace(lease) else { return Ok(()) };
        let there = lease_file::read(file).ok().and_then(|text| DetachedLease::parse(&text).ok());
        match there {
            Some(there) if there.is_of_tenure_of(lease) => fs::remove_file(file).with_context(|| {
                format!("cannot mark or remove {}: the lease is left to end by itself", file.display())
            }),
            // Nobody takes this lease from there any more.
            _ => Ok(()),
        }
    }
}
