//! Tries documents: what a fleet shares beside its leases.

use anyhow::{Result, bail};
use tenure_core::LeaseKey;
use tenure_open::OpenError;
use tenure_store::{DocumentStore, StoreError, StoreErrorKind, Swapped};

use super::finding::Finding;
use crate::store::answer;

/// Makes the document `key` on the server, changes it, and deletes it; what stood there before, which only a doctor that was
/// killed can have left, goes first. Elections need none, so that what fails is no more
/// than a warning. In a file whoever can write leases can write documents.
pub(super) async fn check(url: &str, key: &LeaseKey) -> Option<Finding> {
    if tenure_open::file_of(url).is_some() || tenure_open::is_private(url) {
        return None;
    }
    Some(match tried(url, key).await {
        Ok(()) => Finding::ok("documents", "made, read, changed, deleted: each as it should be"),
        Err(error) => {
            let remedy = "let this user write documents too: fleets share values there, elections need none";
            Finding::failed("documents", &error, remedy).weaker()
        }
    })
}

async fn tried(url: &str, key: &LeaseKey) -> Result<()> {
    let opening = async {
        tenure_open::open_documents(url).await.map_err(|error| match error {
            OpenError::Store(error) => error,
            other => StoreError::new(StoreErrorKind::Invalid, other.to_string()),
        })
    };
    let documents = answer(opening).await?;
    // One that was killed may have left its document.
    if let Some(left) = answer(documents.read(key)).await? {
        let _ = answer(documents.delete(key, &left.version)).await?;
    }
    let outcome = changed(&*documents, key).await;
    if outcome.is_err()
        && let Ok(Some(left)) = answer(documents.read(key)).await
    {
        let _ = answer(documents.delete(key, &left.version)).await;
    }
    outcome
}

async fn changed(documents: &dyn DocumentStore, key: &LeaseKey) -> Result<()> {
    let made = done(answer(documents.create(key, b"made by tenure doctor")).await?)?;
    match answer(documents.read(key)).await? {
        Some(found) if found.version == made => {}
        other => bail!("a document that was made should be there, and was found as {other:?}"),
    }
    let changed = done(answer(documents.swap(key, &made, b"changed by tenure doctor")).await?)?;
    done(answer(documents.delete(key, &changed)).await?)
}

fn done<T: std::fmt::Debug>(swapped: Swapped<T>) -> Result<T> {
    match swapped {
        Swapped::Done(done) => Ok(done),
        Swapped::Conflict(found) => bail!("a change of a document of the doctor's own met {found:?}"),
    }
}
