//! Documents: values with compare-and-swap beside the leases, where the builder opens them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tenure_store::{
    Document, DocumentStore, Found, LeaseKey, StoreError, StoreErrorKind, Swapped, Version, WakeStream,
};
use tokio::time::Instant;

use crate::faults::perform;
use crate::keys::ODD;
use crate::kit::*;

/// How many tasks race, and over how many rounds.
const RACE: (usize, usize) = (16, 20);

type Client = Arc<dyn DocumentStore>;

/// So many clients, or a skipped case where the builder opens no documents.
macro_rules! clients {
    ($kit:expr) => {{
        let mut opened = Vec::new();
        for _ in 0..2 {
            let Some(opening) = $kit.builder.open_documents() else {
                return skipped("the builder opens no documents");
            };
            opened.push(opening.await.map_err(|error| format!("expected documents that open, got {error}"))?);
        }
        let [one, two]: [Client; 2] = opened.try_into().map_err(|_| "expected two clients".to_owned())?;
        (one, two)
    }};
}

/// Of many that create a document at once one does, and each of the others is refused.
pub(crate) async fn one_of_many_creates(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let mut repeated = 0;
    for round in 0..RACE.1 {
        let key = kit.key(&format!("{round}"));
        let tasks = (0..RACE.0).map(|task| {
            let (store, key) = (Arc::clone(if task % 2 == 0 { &one } else { &two }), key.clone());
            tokio::spawn(async move {
                let value = task.to_string();
                (task, settle(&store, &key, None, value.as_bytes()).await)
            })
        });
        let mut winners = Vec::new();
        for done in join_all(tasks).await {
            let (task, settled) = done.map_err(|error| format!("expected the task to end, got {error}"))?;
            let (version, tries) = settled?;
            repeated += tries;
            winners.extend(version.map(|version| (task, version)));
        }
        demand!(winners.len() == 1, "one of {} to create in round {round}, got {winners:?}", RACE.0);
        let (task, version) = winners.remove(0);
        let stands = Document { key: key.clone(), version, value: task.to_string().into_bytes() };
        is(&two, &key, Some(&stands)).await?;
    }
    passed(format!("{} rounds of {} tasks, {repeated} calls repeated", RACE.1, RACE.0))
}

/// Of many that replace the same version one does in each round, and the value is that one's.
pub(crate) async fn one_swap_of_many_wins(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    let mut stands = created(&one, &key, b"begin").await?;
    for round in 0..RACE.1 {
        let tasks = (0..RACE.0).map(|task| {
            let (store, key) = (Arc::clone(if task % 2 == 0 { &one } else { &two }), key.clone());
            let version = stands.clone();
            tokio::spawn(async move {
                let value = format!("{round} {task}");
                (task, settle(&store, &key, Some(&version), value.as_bytes()).await)
            })
        });
        let mut winners = Vec::new();
        for done in join_all(tasks).await {
            let (task, settled) = done.map_err(|error| format!("expected the task to end, got {error}"))?;
            winners.extend(settled?.0.map(|version| (task, version)));
        }
        demand!(winners.len() == 1, "one of {} to win round {round}, got {winners:?}", RACE.0);
        let (task, version) = winners.remove(0);
        let value = format!("{round} {task}").into_bytes();
        is(&one, &key, Some(&Document { key: key.clone(), version: version.clone(), value })).await?;
        stands = version;
    }
    passed(format!("{} rounds of {} tasks", RACE.1, RACE.0))
}

/// Many count in one document, each in a turn that nobody gives out: none of what they add is lost.
pub(crate) async fn no_count_is_lost(kit: &Kit<'_>) -> CaseVerdict {
    const EACH: u64 = 20;
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    let until = Instant::now() + std::time::Duration::from_secs(60);
    let tasks = (0..8_u64).map(|task| {
        let (store, key) = (Arc::clone(if task % 2 == 0 { &one } else { &two }), key.clone());
        tokio::spawn(async move {
            let mut lost = 0_u64;
            for turn in 0..EACH {
                // Names its writer, so that whoever does not know the outcome finds it.
                let mark = format!("{task}.{turn}");
                loop {
                    demand!(Instant::now() < until, "the counting to end, got as far as {mark}");
                    let stands = store.read(&key).await.map_err(|error| failed("read", error))?;
                    // The others have their turn between the two, also where no call ever waits.
                    tokio::task::yield_now().await;
                    let sum = stands.as_ref().map_or(0, |document| sum_of(&document.value));
                    let value = format!("{} {mark}", sum + 1);
                    let expected = stands.as_ref().map(|document| &document.version);
                    match change(&store, &key, expected, value.as_bytes()).await {
                        Ok(Swapped::Done(_)) => break,
                        Ok(Swapped::Conflict(_)) => lost += 1,
                        // It cannot be told then whether a later writer has built upon it; a store that is not disturbed
                        // does not say so.
                        Err(error) => demand!(!error.is_outcome_unknown(), "a known outcome, got {error}"),
                    }
                }
            }
            Ok::<u64, String>(lost)
        })
    });
    let mut lost = 0;
    for done in join_all(tasks).await {
        lost += done.map_err(|error| format!("expected the task to end, got {error}"))??;
    }
    let sum = read(&one, &key).await?.map_or(0, |document| sum_of(&document.value));
    demand!(sum == 8 * EACH, "a count of {}, got {sum}", 8 * EACH);
    passed(format!("{sum} counted, {lost} swaps refused"))
}

/// Nothing is replaced at a version that stands no more, and the refusal says what does, or that it does not know.
pub(crate) async fn a_stale_version_is_refused(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    let first = created(&one, &key, b"first").await?;
    refused(two.create(&key, b"again").await, "a second creation", Some((&first, b"first")))?;
    let second = swapped(&two, &key, &first, b"second").await?;
    refused(one.swap(&key, &first, b"stale").await, "a stale swap", Some((&second, b"second")))?;
    let stands = Document { key: key.clone(), version: second.clone(), value: b"second".to_vec() };
    is(&one, &key, Some(&stands)).await?;
    refused(one.swap(&kit.key("none"), &second, b"x").await, "a swap of nothing", None)?;
    is(&two, &kit.key("none"), None).await?;
    PASSED
}

/// A version never comes again: not after a deletion, nor where the same value is written anew.
pub(crate) async fn versions_never_repeat(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    let mut seen = HashSet::new();
    for round in 0..20 {
        let created = created(&one, &key, b"same").await?;
        let swapped = swapped(&two, &key, &created, b"same").await?;
        refused(one.swap(&key, &created, b"late").await, "a stale swap", Some((&swapped, b"same")))?;
        for version in [&created, &swapped] {
            demand!(seen.insert(version.clone()), "a new version in round {round}, got {version:?} again");
        }
        deleted(&one, &key, &swapped).await?;
        for version in [&created, &swapped] {
            refused(two.swap(&key, version, b"late").await, "a swap after the deletion", None)?;
        }
    }
    passed(format!("{} versions", seen.len()))
}

/// A deletion names the version that it deletes: another one stays, and so does one that was created anew.
pub(crate) async fn deletion_is_conditional(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    let first = created(&one, &key, b"first").await?;
    let second = swapped(&one, &key, &first, b"second").await?;
    refused(two.delete(&key, &first).await, "a stale deletion", Some((&second, b"second")))?;
    let stands = Document { key: key.clone(), version: second.clone(), value: b"second".to_vec() };
    is(&one, &key, Some(&stands)).await?;
    deleted(&two, &key, &second).await?;
    is(&one, &key, None).await?;
    refused(one.delete(&key, &second).await, "a second deletion", None)?;
    let third = created(&two, &key, b"third").await?;
    refused(one.delete(&key, &second).await, "a deletion that comes late", Some((&third, b"third")))?;
    is(&two, &key, Some(&Document { key: key.clone(), version: third, value: b"third".to_vec() })).await?;
    PASSED
}

/// A prefix means its own characters; a list is sorted by key, whole, with values and versions, and without what was deleted.
pub(crate) async fn lists_are_literal_sorted_and_complete(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let names =
        ["a%b", "a_b", "a*b", "a?b", "a[b", "a.b", "axb", "A%b", "ab", "a", "b", "a\\b", "a'b", "\u{e9}t\u{e9}"];
    let mut stand = Vec::new();
    for name in names {
        let (key, value) = (kit.key(name), name.as_bytes().to_vec());
        let version = created(&one, &key, &value).await?;
        stand.push((name, Document { key, version, value }));
    }
    let gone = created(&one, &kit.key("a-gone"), b"").await?;
    deleted(&one, &kit.key("a-gone"), &gone).await?;
    for prefix in ["a%", "a_", "a*", "a?", "a[", "a.", "A", "ab", "a", "b", "a\\", "a'", "\u{e9}", "", "c", "a%bc"] {
        let mut wanted: Vec<Document> =
            stand.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, document)| document.clone()).collect();
        wanted.sort_by(|one, other| one.key.cmp(&other.key));
        let listed = two.list(&kit.prefix(prefix)).await.map_err(|error| failed("list", error))?;
        demand!(listed == wanted, "prefix {prefix:?} to list {wanted:?}, got {listed:?}");
    }
    let count = 300;
    for n in 0..count {
        // In another order than that of the keys.
        created(&one, &kit.key(&format!("many/{}", (n * 7_919) % 10_007)), b"x").await?;
    }
    let listed = two.list(&kit.prefix("many/")).await.map_err(|error| failed("list", error))?;
    demand!(listed.len() == count, "{count} documents to be listed, got {}", listed.len());
    demand!(listed.is_sorted_by(|a, b| a.key < b.key), "a list sorted by key, without doubles");
    passed(format!("{} documents", count + names.len()))
}

/// Odd keys are kept apart, and values of any bytes come back as they were, also from a list.
pub(crate) async fn odd_keys_and_values_come_back_whole(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let mut keys: Vec<LeaseKey> = ODD.iter().map(|odd| kit.key(odd)).collect();
    let tail = kit.key_prefix().replace('/', "-");
    let first = [".", "..", "/", " ", "%2F", "{x}", ":", "~", "-", "\"", "doc/"];
    keys.extend(first.map(|odd| named(LeaseKey::new(format!("{odd}{tail}")))));
    let room = LeaseKey::MAX_BYTES - kit.key_prefix().len();
    keys.extend(["1", "2"].map(|last| kit.key(&format!("{}{last}", "x".repeat(room - 1)))));
    let every: Vec<u8> = (0..=255).collect();
    let odd: [&[u8]; 8] =
        [b"", b"\0", &every, b"null", b"{\"format\":1}", b" \r\n\t ", "\u{1f511}".as_bytes(), b"'\"\\%$"];
    let mut stand = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let value = [odd[at % odd.len()], at.to_string().as_bytes()].concat();
        let value = if at < odd.len() { odd[at].to_vec() } else { value };
        stand.push(Document { key: key.clone(), version: created(&one, key, &value).await?, value });
    }
    for document in &stand {
        is(&two, &document.key, Some(document)).await?;
        let prefix = tenure_store::KeyPrefix::from(&document.key);
        let listed = two.list(&prefix).await.map_err(|error| failed("list", error))?;
        demand!(listed.contains(document), "{document:?} to be listed, got {listed:?}");
    }
    for document in &stand {
        deleted(&one, &document.key, &document.version).await?;
    }
    passed(format!("{} keys", keys.len()))
}

/// The largest value that is promised is taken and comes back whole; one that is larger is refused, and nothing is written.
pub(crate) async fn too_large_a_value_is_refused(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("k");
    // No two runs of it are alike, so that nothing can be left out unnoticed.
    let largest: Vec<u8> =
        (0..Document::MAX_BYTES as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let larger = vec![b'x'; Document::MAX_BYTES + 1];
    refused_as_invalid(one.create(&key, &larger).await, "a creation")?;
    is(&two, &key, None).await?;
    let version = created(&one, &key, &largest).await?;
    let stands = Document { key: key.clone(), version: version.clone(), value: largest };
    is(&two, &key, Some(&stands)).await?;
    refused_as_invalid(two.swap(&key, &version, &larger).await, "a swap")?;
    is(&one, &key, Some(&stands)).await?;
    let listed = two.list(&kit.prefix("")).await.map_err(|error| failed("list", error))?;
    demand!(listed == [stands], "the largest value to be listed whole, got {} documents", listed.len());
    PASSED
}

/// A creation, a swap and a deletion by another client each wake a watcher within the bound; a store without watch says so.
pub(crate) async fn a_change_wakes(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let key = kit.key("a/k");
    let mut watches = Vec::new();
    for prefix in ["", "a/", "a/k"] {
        let started = two.watch(&kit.prefix(prefix)).await;
        if !one.info().watch {
            let kind = started.err().map(|error| error.kind());
            let unsupported = kind == Some(StoreErrorKind::Unsupported);
            demand!(unsupported, "watching to be Unsupported as info() says, got {kind:?}");
            return skipped("the store has no watch");
        }
        watches.push(started.map_err(|error| failed("watch", error))?);
    }
    let sent = Instant::now();
    quiet(&mut watches).await;
    let version = created(&one, &key, b"1").await?;
    woken(kit, &mut watches, &key, "a creation").await?;
    quiet(&mut watches).await;
    let version = swapped(&one, &key, &version, b"2").await?;
    woken(kit, &mut watches, &key, "a swap").await?;
    quiet(&mut watches).await;
    deleted(&one, &key, &version).await?;
    woken(kit, &mut watches, &key, "a deletion").await?;
    passed(format!("{} watchers in {} ms", watches.len(), sent.elapsed().as_millis()))
}

/// A document and a lease of one name are two things: neither changes the other, is listed with it, or stands in its way.
pub(crate) async fn a_lease_of_the_same_name_is_apart(kit: &Kit<'_>) -> CaseVerdict {
    let (one, two) = clients!(kit);
    let leases = kit.client().await?;
    let key = kit.key("k");
    let version = created(&one, &key, b"a document").await?;
    let stands = Document { key: key.clone(), version: version.clone(), value: b"a document".to_vec() };
    let claim = kit.claim(&key);
    let own = held(&claim, granted(&leases, &claim).await?);
    is(&two, &key, Some(&stands)).await?;
    let listed = two.list(&kit.prefix("")).await.map_err(|error| failed("list", error))?;
    demand!(listed == [stands.clone()], "the document alone to be listed, got {listed:?}");
    let version = swapped(&two, &key, &version, b"another").await?;
    extended(&leases, &own).await?;
    // A key that looks like where a store may keep the other kind.
    for name in ["doc/k", "k:document", "{k}:document", "k/doc"] {
        let other = kit.claim(&kit.key(name));
        granted(&leases, &other).await?;
    }
    for name in ["k:tenure", "{k}:tenure", "leases/k"] {
        created(&one, &kit.key(name), b"x").await?;
    }
    let leased = list(&leases, &kit.prefix("")).await?;
    demand!(leased.len() == 5, "five leases to be listed, got {leased:?}");
    extended(&leases, &own).await?;
    deleted(&one, &key, &version).await?;
    extended(&leases, &own).await?;
    freed(&leases, &own).await?;
    let version = created(&one, &key, b"again").await?;
    granted(&leases, &kit.claim(&key)).await?;
    leases.remove(&key).await.map_err(|error| failed("removal", error))?;
    is(&two, &key, Some(&Document { key: key.clone(), version, value: b"again".to_vec() })).await?;
    PASSED
}

/// While a store does not answer, every call ends within the bound and may be retried. What was said not to be done is not done
/// later either; what is unknown is one or the other, and a swap that names the old version never undoes it.
pub(crate) async fn a_stopped_store_says_what_is_unknown(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.stoppable() else {
        return skipped("the builder cannot stop its store");
    };
    let (one, two) = clients!(kit);
    let [new, changed, gone] = ["new", "changed", "gone"].map(|name| kit.key(name));
    let before = created(&one, &changed, b"before").await?;
    let doomed = created(&one, &gone, b"doomed").await?;
    // Both have a connection that has just been used.
    is(&two, &kit.key("none"), None).await?;
    perform(store.stop(), "the store to be stopped").await?;
    let calls = async {
        tokio::join!(
            async { one.create(&new, b"late").await.map(drop) },
            async { two.swap(&changed, &before, b"late").await.map(drop) },
            async { one.delete(&gone, &doomed).await.map(drop) },
            async { two.read(&changed).await.map(drop) },
        )
    };
    let ended = tokio::time::timeout(kit.options.call_bound, calls).await;
    perform(store.resume(), "the store to go on").await?;
    let bound = kit.options.call_bound;
    let Ok((created, swapped, deleted, looked)) = ended else {
        return Err(format!("expected every call to end within {bound:?} while the store does not answer"));
    };
    let mut unknown = 0;
    for (what, ended) in [("creation", &created), ("swap", &swapped), ("deletion", &deleted)] {
        match ended {
            Ok(()) => return Err(format!("expected a {what} to fail while the store does not answer, got an answer")),
            Err(error) => {
                demand!(error.is_retryable(), "a {what} to fail as retryable, got {:?}: {error}", error.kind());
                unknown += usize::from(error.is_outcome_unknown());
            }
        }
    }
    // A read may be answered from elsewhere; where it fails nothing of it is unknown.
    if let Err(error) = looked {
        demand!(error.kind() == StoreErrorKind::Unavailable, "a read to be Unavailable, got {:?}", error.kind());
    }
    answers_again(kit, &[&one, &two]).await?;
    // What is on its way may still arrive: looked at for a while.
    let until = Instant::now() + std::time::Duration::from_millis(500);
    while Instant::now() < until {
        let undone = |ended: &Result<(), StoreError>| ended.as_ref().is_err_and(|error| !error.is_outcome_unknown());
        let stands = read(&one, &new).await?;
        demand!(!undone(&created) || stands.is_none(), "no document of a creation that was not done, got {stands:?}");
        let stands = read(&one, &changed).await?.map(|document| document.value);
        demand!(
            !undone(&swapped) || stands.as_deref() == Some(b"before"),
            "the value before a swap that was not done, got {stands:?}"
        );
        let stands = read(&one, &gone).await?;
        demand!(!undone(&deleted) || stands.is_some(), "the document of a deletion that was not done");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Whichever it was, it was that once: the old version is taken where it still stands and refused where not.
    let stands = read(&two, &changed).await?.ok_or("expected the document to stand, got none")?;
    let late = one.swap(&changed, &before, b"after").await.map_err(|error| failed("swap", error))?;
    let done = matches!(late, Swapped::Done(_));
    demand!(done == (stands.version == before), "a swap at {before:?} to be done where that stands, got {late:?}");
    passed(format!("of 3 changes {unknown} unknown, {} not done", 3 - unknown))
}

/// A durable store that dies and comes back has its documents still, at their versions.
pub(crate) async fn they_outlive_the_store(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.killable() else {
        return skipped("the builder cannot kill its store");
    };
    let (one, two) = clients!(kit);
    if !one.info().durable {
        return skipped("the store is not durable");
    }
    let key = kit.key("k");
    let version = created(&one, &key, b"kept").await?;
    perform(store.kill(), "the store to be killed").await?;
    perform(store.start(), "the store to come back").await?;
    answers_again(kit, &[&one, &two]).await?;
    let stands = Document { key: key.clone(), version: version.clone(), value: b"kept".to_vec() };
    is(&two, &key, Some(&stands)).await?;
    swapped(&one, &key, &version, b"and changed").await?;
    PASSED
}

async fn read(store: &Client, key: &LeaseKey) -> Result<Option<Document>, String> {
    store.read(key).await.map_err(|error| failed("read", error))
}

/// Expects that this stands there.
async fn is(store: &Client, key: &LeaseKey, wanted: Option<&Document>) -> Result<(), String> {
    let stands = read(store, key).await?;
    demand!(stands.as_ref() == wanted, "{} in {key:?}, got {}", told(wanted), told(stands.as_ref()));
    Ok(())
}

/// A document as far as it can be read in a line.
fn told(document: Option<&Document>) -> String {
    document.map_or("nothing".to_owned(), |Document { version, value, .. }| {
        let begins = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
        format!("{begins:?} of {} bytes at {version:?}", value.len())
    })
}

async fn created(store: &Client, key: &LeaseKey, value: &[u8]) -> Result<Version, String> {
    done(store.create(key, value).await, key, "creation")
}

async fn swapped(store: &Client, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Version, String> {
    done(store.swap(key, version, value).await, key, "swap")
}

async fn deleted(store: &Client, key: &LeaseKey, version: &Version) -> Result<(), String> {
    done(store.delete(key, version).await, key, "deletion")
}

fn done<T>(answer: Result<Swapped<T>, StoreError>, key: &LeaseKey, what: &str) -> Result<T, String> {
    match answer.map_err(|error| failed(what, error))? {
        Swapped::Done(value) => Ok(value),
        Swapped::Conflict(found) => {
            Err(format!("expected a {what} of {key:?} to be done, got a conflict with {found:?}"))
        }
    }
}

/// Expects a conflict, with what stands there or without a word of it.
fn refused<T>(
    answer: Result<Swapped<T>, StoreError>,
    what: &str,
    stands: Option<(&Version, &[u8])>,
) -> Result<(), String> {
    let found = match answer.map_err(|error| failed(what, error))? {
        Swapped::Done(_) => return Err(format!("expected {what} to be refused, got it done")),
        Swapped::Conflict(found) => found,
    };
    let right = match (&found, stands) {
        (Found::Unknown, _) | (Found::Nothing, None) => true,
        (Found::Document(found), Some((version, value))) => found.version == *version && found.value == value,
        _ => false,
    };
    demand!(right, "{what} to be refused with what stands there, {stands:?}, got {found:?}");
    Ok(())
}

fn refused_as_invalid<T: std::fmt::Debug>(answer: Result<Swapped<T>, StoreError>, what: &str) -> Result<(), String> {
    let most = Document::MAX_BYTES.to_string();
    match answer {
        Err(error) if error.kind() == StoreErrorKind::Invalid && error.to_string().contains(&most) => Ok(()),
        other => Err(format!("expected {what} of more than {most} bytes to be Invalid with that bound, got {other:?}")),
    }
}

/// Writes the value where the document stands at this version, or where there is none.
async fn change(
    store: &Client,
    key: &LeaseKey,
    expected: Option<&Version>,
    value: &[u8],
) -> Result<Swapped<Version>, StoreError> {
    match expected {
        None => store.create(key, value).await,
        Some(version) => store.swap(key, version, value).await,
    }
}

/// Repeats a change that may be retried until its outcome is known; where it was unknown, the value tells whose it was.
/// Answers the version where it was done, and how often it was repeated.
async fn settle(
    store: &Client,
    key: &LeaseKey,
    expected: Option<&Version>,
    value: &[u8],
) -> Result<(Option<Version>, usize), String> {
    let (mut tries, mut unknown) = (0, false);
    loop {
        match change(store, key, expected, value).await {
            Ok(Swapped::Done(version)) => return Ok((Some(version), tries)),
            Ok(Swapped::Conflict(_)) if !unknown => return Ok((None, tries)),
            Ok(Swapped::Conflict(_)) => {
                let own = read(store, key).await?.filter(|document| document.value == value);
                return Ok((own.map(|document| document.version), tries));
            }
            Err(error) if error.is_retryable() && tries < 20 => {
                tries += 1;
                unknown |= error.is_outcome_unknown();
            }
            Err(error) => return Err(failed("change", error)),
        }
    }
}

/// The number that a counter's value begins with.
fn sum_of(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Waits until all of them get answers, to changes too.
async fn answers_again(kit: &Kit<'_>, stores: &[&Client]) -> Result<(), String> {
    let deadline = Instant::now() + kit.options.call_bound * 2;
    for store in stores {
        loop {
            match store.create(&kit.new_key(), b"").await {
                Ok(Swapped::Done(_)) => break,
                other => demand!(Instant::now() < deadline, "the store to answer again, got {other:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Drains the hints that came before: they prove nothing.
async fn quiet(watches: &mut [WakeStream]) {
    let moment = std::time::Duration::from_millis(100);
    for wakes in watches {
        while let Ok(Some(_)) = tokio::time::timeout(moment, wakes.next()).await {}
    }
}

/// Waits until each of them has a hint about `key`, or one without a key.
async fn woken(kit: &Kit<'_>, watches: &mut [WakeStream], key: &LeaseKey, after: &str) -> Result<(), String> {
    let bound = kit.options.wake_bound;
    let deadline = Instant::now() + bound;
    for wakes in watches {
        loop {
            match tokio::time::timeout_at(deadline, wakes.next()).await {
                Ok(Some(wake)) if wake.key.as_ref().is_none_or(|woken| woken == key) => break,
                Ok(Some(_)) => {}
                Ok(None) => return Err(format!("expected a wake-up after {after}, got the end of the watch")),
                Err(_) => return Err(format!("expected a wake-up within {bound:?} after {after}, got none")),
            }
        }
    }
    Ok(())
}
