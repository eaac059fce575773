//! Tries the store for real: whether it is reachable and quick enough, what its server says of itself, every right on a key
//! of the doctor's own, hints.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use tenure_core::{Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, Nonce, Note, Released, Renewed};
use tenure_store::{Answers, LeaseStore, StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::finding::Finding;
use super::{documents, file, server};
use crate::exit::Exit;
use crate::store::{ANSWER, StoreArgs, answer, open};
use tenure_base_net::durations::short;

/// Where probe leases live.
const PREFIX: &str = "tenure-doctor/";
/// How many probe keys one host has. Doctors that run at the same time take different keys, and the bound keeps the
/// term records that probes leave behind from piling up.
const PROBES: u64 = 8;
/// The probe's ttl, where the store honours it.
const TTL: Duration = Duration::from_secs(10);
/// How long to wait for a free probe key: the longest that a server which was just started refuses every claim.
const FREE_PROBE_TIMEOUT: Duration = Duration::from_secs(12);
/// The remedy for a call whose error names none.
const DEFAULT_REMEDY: &str = "write the URL as `tenure stores` shows it, and see the variables that go with it";
/// A slower round trip leaves little time to renew a short lease.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(250);
/// How long to wait for a hint: longer than a store that looks every two seconds takes.
const HINT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the store and tries every verb. Where the store is a file that does not exist, it is not created: a temporary
/// store on the same file system is tried in its place.
pub(super) async fn check(args: &StoreArgs) -> Vec<Finding> {
    let (url, missing) = match args.url().and_then(|url| Ok((url, args.missing_file()?))) {
        Ok(found) => found,
        // Errors that end other commands are findings here, because this command reports every problem, not only the
        // first.
        Err(error) => return vec![Finding::failed("store", &error, DEFAULT_REMEDY)],
    };
    let Some(path) = missing else { return check_url(&url).await };
    let mut findings = vec![if args.is_default() {
        Finding::ok("store", args.missing())
    } else {
        Finding::warn("store", args.missing(), "if there should be leases already, see the path")
    }];
    // The nearest existing folder is on the file system where the store's file will be.
    let there = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match tempfile::Builder::new().prefix(".tenure-doctor").tempdir_in(there) {
        Ok(folder) => {
            let tried = check_url(&tenure_open::file_url(&folder.path().join("leases.db"))).await;
            findings.extend(
                tried.into_iter().skip_while(|finding| {
                    finding.check == "store" && finding.severity != super::finding::Severity::Fail
                }),
            );
        }
        Err(error) => findings.push(Finding::fail(
            "store",
            format!("{} cannot be written: {error}", there.display()),
            "make the folder this user's (chown), or name another store",
        )),
    }
    findings
}

/// Opens the store and tries every verb.
async fn check_url(url: &str) -> Vec<Finding> {
    let mut findings = match tenure_open::file_of(url) {
        // Opened to be written it would be mended, and nobody would know that there is something to find out.
        Some(path) => match tenure_open::open_to_read(url).await.err().as_ref().and_then(file::dropped) {
            Some(dropped) => return vec![dropped],
            None => Vec::from_iter(file::large_log("store", &path)),
        },
        None => Vec::new(),
    };
    let store = match open(url).await {
        Ok(store) => store,
        Err(error) => {
            let remedy = match error.downcast_ref::<Exit>() {
                Some(exit) if exit.is_usage() => DEFAULT_REMEDY,
                _ => {
                    "see that the server runs and can be reached, and that user and password are right; of a file, that its folder is there and this user's"
                }
            };
            return vec![Finding::failed("store", &error, remedy)];
        }
    };
    findings.insert(0, opened(&*store));
    findings.extend(overlaps(&*store));
    match round_trip(&*store).await {
        Ok(finding) => findings.push(finding),
        Err(error) => {
            let remedy = "see that the server answers, and that this user may read";
            findings.push(Finding::failed("round trip", &error, remedy));
            return findings;
        }
    }
    findings.extend(server::check(&*store).await);
    findings.push(list(&*store).await);
    match Probe::claim_in_time(&store).await {
        Ok(probe) => findings.extend(probe.finish().await),
        Err(error) => findings.push(match error.downcast_ref::<Busy>() {
            // Nothing is broken: other doctors hold the keys, or the server grants no lease yet.
            Some(busy) => {
                let again = format!("wait {}, and run this again: no verb was tried", short(busy.left));
                Finding::warn("lease", busy.to_string(), again)
            }
            None => Finding::failed(
                "lease",
                &error,
                "see that this user may write, and that the store is neither full nor read-only",
            ),
        }),
    }
    // As the probe leases have them: few, for a store that may not delete keeps an empty mark of each.
    let document = LeaseKey::new(format!("{PREFIX}{}/{}", host(), crate::identity::random() % PROBES));
    if let Ok(key) = document {
        findings.extend(documents::check(url, &key).await);
    }
    findings
}

fn opened(store: &dyn LeaseStore) -> Finding {
    let info = store.info();
    let can = |can: bool, what| if can { what } else { "" };
    let text = format!(
        "{}: opens{}{}{}",
        info.scheme,
        can(info.shared, ", is shared between processes"),
        can(info.durable, ", outlives restarts"),
        can(info.watch, ", sends wake-ups"),
    );
    if !info.shared {
        return Finding::warn("store", text, "use a store that processes can share: this one is private to each");
    }
    if !info.durable {
        let remedy = "let the server keep its data on disk, or accept that its restart ends every tenure";
        return Finding::warn("store", text, remedy);
    }
    Finding::ok("store", text)
}

/// Reports the faults that the operator must rule out, because two holders could overlap in them.
fn overlaps(store: &dyn LeaseStore) -> Option<Finding> {
    let faults = store.info().overlap_faults;
    let text = || format!("two holders can overlap, for at most one ttl, when {}", faults.join("; when "));
    (!faults.is_empty()).then(|| Finding::ok("faults", text()))
}

/// The median of a few round trips. Needs no more than the right to read.
async fn round_trip(store: &dyn LeaseStore) -> Result<Finding> {
    let key = LeaseKey::new(format!("{PREFIX}{}", host()))?;
    let mut spans = Vec::new();
    for _ in 0..5 {
        let asked = Instant::now();
        answer(store.record(&key)).await?;
        spans.push(asked.elapsed());
    }
    spans.sort();
    let (median, worst) = (spans[spans.len() / 2], spans[spans.len() - 1]);
    let micros =
        |span: Duration| if span < Duration::from_millis(10) { format!("{}us", span.as_micros()) } else { short(span) };
    let text = format!("{} in the middle, {} at worst, of {}", micros(median), micros(worst), spans.len());
    Ok(if median > SLOW_ROUND_TRIP {
        Finding::warn("round trip", text, "bring the store nearer, or give leases a ttl of a minute and more")
    } else {
        Finding::ok("round trip", text)
    })
}

/// Whether this user may list. No election needs it.
async fn list(store: &dyn LeaseStore) -> Finding {
    let listed = async { answer(store.list(&KeyPrefix::new(PREFIX)?)).await };
    match listed.await {
        Ok(_) => Finding::ok("list", "leases can be listed"),
        Err(error) => {
            let remedy = "let this user list: `tenure leases` needs it, elections do not";
            Finding::failed("list", &error, remedy).weaker()
        }
    }
}

/// This machine's name, as a part of a key.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().replace(char::is_control, "?")
}

/// Every probe key is held.
#[derive(Debug)]
struct Busy {
    /// The common beginning of the keys.
    keys: String,
    /// The holder of the last key.
    by: String,
    /// Whether all keys have the same holder and no term: the store grants nothing for a while, as after its restart.
    closed: bool,
    /// The shortest time for which one of the keys is held, as far as the store can know.
    left: Duration,
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Busy { keys, by, .. } = self;
        match self.closed {
            true => write!(f, "the store grants nothing yet: what is free counts as held by {by}"),
            false => write!(f, "all {PROBES} probe keys under {keys} are held, the last one by {by}"),
        }
    }
}

impl std::error::Error for Busy {}

/// A lease of this doctor's own.
struct Probe<'a> {
    store: &'a Arc<dyn LeaseStore>,
    held: Held,
}

impl<'a> Probe<'a> {
    /// Claims one of this host's probe keys. Where all are held it waits up to [`FREE_PROBE_TIMEOUT`], because a server that was
    /// just started grants nothing until one ttl has passed.
    async fn claim_in_time(store: &'a Arc<dyn LeaseStore>) -> Result<Probe<'a>> {
        let give_up = Instant::now() + FREE_PROBE_TIMEOUT;
        let mut told = false;
        loop {
            let error = match Probe::claim(store).await {
                Ok(probe) => return Ok(probe),
                Err(error) => error,
            };
            let Some(busy) = error.downcast_ref::<Busy>() else { return Err(error) };
            // Other doctors release their probes long before the ttl ends.
            let pause = if busy.closed { busy.left } else { busy.left.min(Duration::from_secs(1)) };
            if Instant::now() + pause >= give_up {
                return Err(error);
            }
            if !std::mem::replace(&mut told, true) {
                say!("tenure: {busy}; trying again for {}", short(busy.left));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Claims one of this host's probe keys.
    async fn claim(store: &'a Arc<dyn LeaseStore>) -> Result<Probe<'a>> {
        let info = store.info();
        let ttl = TTL.clamp(info.min_ttl, info.max_ttl);
        let host = host();
        let nonce = Nonce { process: crate::identity::random(), campaign: 1 };
        let mut holders = Vec::new();
        let mut left = ttl;
        for probe in 0..PROBES {
            let claim = Claim::new(
                LeaseKey::new(format!("{PREFIX}{host}/{}", nonce.process.wrapping_add(probe) % PROBES))?,
                HolderId::new("tenure doctor")?,
                nonce,
                ttl,
            );
            match only(answer(store.acquire(std::slice::from_ref(&claim))).await?).context("claim")? {
                Claimed::Granted { term, .. } => {
                    let held = Held { key: claim.key, nonce, term, ttl, note: Note::default() };
                    return Ok(Probe { store, held });
                }
                stale @ Claimed::Stale { .. } => bail!("a claim that names no last term was answered {stale:?}"),
                Claimed::Held { by, term, remaining, .. } => {
                    holders.push((by.to_string(), term));
                    left = left.min(remaining.unwrap_or(ttl));
                }
            }
        }
        let closed = holders.windows(2).all(|pair| pair[0] == pair[1] && pair[0].1.is_none());
        let by = holders.pop().map(|(by, _)| by).unwrap_or_default();
        // Never zero, because a remainder is a lower bound.
        let left = left.max(Duration::from_millis(100));
        Err(Busy { keys: format!("{PREFIX}{host}/"), by, closed, left }.into())
    }

    /// Refuses a rival, renews, asks for a resignation, releases while it listens for a hint, and cleans up.
    async fn finish(self) -> Vec<Finding> {
        let tried = self.verbs().await;
        let hint = match &tried {
            Ok(_) => Some(self.hint().await),
            Err(_) => None,
        };
        // The probe is released whatever failed; a holder that has claimed its key since is not affected.
        let _ = answer(self.store.release(std::slice::from_ref(&self.held))).await;
        let lease = match tried {
            Ok(()) => {
                Finding::ok("lease", "claimed, refused to a rival, renewed, asked to resign: each as it should be")
            }
            Err(error) => Finding::fail(
                "lease",
                crate::exit::told(&error),
                "see that this user may write, and that nothing between here and the store answers in its place",
            ),
        };
        std::iter::once(lease).chain(hint).collect()
    }

    async fn verbs(&self) -> Result<()> {
        let rival = Claim::new(
            self.held.key.clone(),
            HolderId::new("tenure doctor's rival")?,
            Nonce { campaign: 2, ..self.held.nonce },
            self.held.ttl,
        );
        match only(answer(self.store.acquire(&[rival])).await?).context("a rival's claim")? {
            Claimed::Held { term, .. } if term == Some(self.held.term) => {}
            other => bail!("a rival's claim should find the lease held under its term, and found {other:?}"),
        }
        match self.renew().await? {
            Renewed::Extended { resign_requested: false } => {}
            other => bail!("the renewal should extend the lease, and answered {other:?}"),
        }
        if !answer(self.store.request_resign(&self.held.key)).await.context("the request to resign")? {
            bail!("the request to resign found nobody");
        }
        match self.renew().await? {
            Renewed::Extended { resign_requested: true } => Ok(()),
            other => bail!("the renewal after the request to resign should tell of it, and answered {other:?}"),
        }
    }

    async fn renew(&self) -> Result<Renewed> {
        only(answer(self.store.renew(std::slice::from_ref(&self.held))).await?).context("renewal")
    }

    /// Releases, and measures how long the hint takes.
    async fn hint(&self) -> Finding {
        let remedy = "candidates still look again when a lease can have ended: takeovers are slower, never less safe; see \
                      that notifications are allowed to this user";
        let watched = tokio::time::timeout(ANSWER, self.store.watch(&KeyPrefix::from(&self.held.key))).await;
        let mut hints = match watched {
            Ok(Ok(hints)) => hints,
            Ok(Err(error)) if error.kind() == StoreErrorKind::Unsupported => {
                return Finding::warn("wake-ups", "this store sends none", remedy);
            }
            Ok(Err(error)) => return Finding::warn("wake-ups", format!("cannot be asked for: {error}"), remedy),
            Err(_) => return Finding::warn("wake-ups", format!("cannot be asked for within {ANSWER:?}"), remedy),
        };
        // Some stores begin with a hint; only a hint after the release counts.
        let _ = tokio::time::timeout(Duration::from_millis(50), async { while hints.next().await.is_some() {} }).await;
        let released = Instant::now();
        match answer(self.store.release(std::slice::from_ref(&self.held))).await.map(only) {
            Ok(Ok(Released::Freed)) => {}
            other => {
                return Finding::fail("wake-ups", format!("the release did not free the lease: {other:?}"), remedy);
            }
        }
        match tokio::time::timeout(HINT_TIMEOUT, hints.next()).await {
            Ok(Some(_)) => Finding::ok("wake-ups", format!("a release is told within {}", short(released.elapsed()))),
            Ok(None) => Finding::warn("wake-ups", "the stream of hints ended", remedy),
            Err(_) => Finding::warn("wake-ups", format!("no hint came within {}", short(HINT_TIMEOUT)), remedy),
        }
    }
}

/// Returns the only answer of a batch of one.
fn only<T>(answers: Answers<T>) -> Result<T> {
    let missing = || StoreError::new(StoreErrorKind::Corrupt, "the store answered no item");
    Ok(answers.into_iter().next().unwrap_or_else(|| Err(missing()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    /// A store that works is found well, and keeps no probe; one that cannot be opened is one finding with a remedy.
    #[tokio::test]
    async fn a_working_store_is_found_well() {
        let folder = tempfile::tempdir().unwrap();
        let url = tenure_open::file_url(&folder.path().join("leases.db"));
        for _ in 0..2 {
            let findings = check_url(&url).await;
            assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:#?}");
            let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
            assert_eq!(checks, ["store", "faults", "round trip", "server", "list", "lease", "wake-ups"]);
        }
        let store = open(&url).await.unwrap();
        assert!(store.list(&KeyPrefix::default()).await.unwrap().is_empty());

        let findings = check_url("sqlite:/no/such/folder/x.db").await;
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Fail));
        assert!(findings[0].remedy.as_deref().unwrap().contains("folder"));
    }
}
