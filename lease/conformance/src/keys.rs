//! Keys and prefixes: taken literally, kept apart, listed in order.

use tenure_store::{Claim, Claimed, KeyPrefix, LeaseKey, LeaseRecord};

use crate::kit::*;

/// Endings of keys that servers, patterns, paths and queries are known to trip over.
pub(crate) const ODD: &[&str] = &[
    "plain",
    "Plain",
    "PLAIN",
    "plain ",
    " plain",
    "with space",
    "%",
    "%25",
    "_",
    "*",
    "?",
    "a.b.c",
    "..",
    ".hidden",
    "trailing.",
    "a/b/c",
    "a//b",
    "/",
    "a/",
    "a:b",
    "::",
    "a\\b",
    "'quoted'",
    "\"double\"",
    "`back`",
    "{braces}",
    "[brackets]",
    "(parens)",
    "<angles>",
    "$dollar",
    "#hash",
    "a&b=c",
    "a|b",
    "a;b",
    "--comment",
    ">",
    "~",
    "@",
    "!",
    "+",
    "a,b",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{4f8b}\u{3048}",
    "\u{1f511}",
    "\u{10ffff}",
    "\u{200d}",
    "ß",
    "ss",
    "İ",
    "i",
];

/// Odd keys are claimed, held, listed and released each for itself, and none is taken for another.
pub(crate) async fn odd_keys_are_kept_apart(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let mut keys: Vec<LeaseKey> = ODD.iter().map(|odd| kit.key(odd)).collect();
    // Oddities at the very beginning of a key, where no prefix of the suite's own protects the store.
    let tail = kit.key_prefix().replace('/', "-");
    keys.extend(
        [".", "..", "/", " ", "%2F", "{x}", ":", "~", "-", "\""]
            .map(|odd| named(LeaseKey::new(format!("{odd}{tail}")))),
    );
    let mut own = Vec::new();
    for key in &keys {
        let claim = kit.claim(key);
        let term = granted(&one, &claim).await?;
        own.push((claim, term));
    }
    for (claim, term) in &own {
        refused(&two, &kit.claim(&claim.key), &claim.holder).await?;
        extended(&two, &held(claim, *term)).await?;
        let listed = list(&two, &KeyPrefix::from(&claim.key)).await?;
        let right = listed.iter().any(|record| record.key == claim.key && record.nonce == Some(claim.nonce));
        demand!(right, "key {:?} to be listed as itself, got {listed:?}", claim.key);
    }
    for (claim, term) in &own {
        freed(&one, &held(claim, *term)).await?;
    }
    passed(format!("{} keys", keys.len()))
}

/// Keys of 512 bytes work, and two that differ only in the last one are two.
pub(crate) async fn the_longest_keys_work(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let room = LeaseKey::MAX_BYTES - kit.key_prefix().len();
    let ascii = |last: &str| kit.key(&format!("{}{last}", "x".repeat(room - 1)));
    let wide = kit.key(&format!("{}{}", "a".repeat(room % 4), "\u{1f511}".repeat(room / 4)));
    let keys = [ascii("1"), ascii("2"), wide];
    for key in &keys {
        demand!(key.as_str().len() == LeaseKey::MAX_BYTES, "a key of 512 bytes, got {}", key.as_str().len());
        granted(&store, &kit.claim(key)).await?;
    }
    let listed = list(&store, &kit.prefix("")).await?;
    demand!(listed.len() == keys.len(), "{} keys to be listed, got {}", keys.len(), listed.len());
    PASSED
}

/// A prefix means its own characters: no wildcard, no pattern, no other case.
pub(crate) async fn a_prefix_is_literal(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let names =
        ["a%b", "a_b", "a*b", "a?b", "a[b", "a.b", "axb", "A%b", "ab", "a", "b", "a\\b", "a'b", "\u{e9}t\u{e9}"];
    let claims: Vec<Claim> = names.iter().map(|name| kit.claim(&kit.key(name))).collect();
    for claim in &claims {
        granted(&store, claim).await?;
    }
    let prefixes = ["a%", "a_", "a*", "a?", "a[", "a.", "A", "ab", "a", "b", "a\\", "a'", "\u{e9}", "", "c", "a%bc"];
    for prefix in prefixes {
        let mut wanted: Vec<LeaseKey> =
            names.iter().filter(|name| name.starts_with(prefix)).map(|name| kit.key(name)).collect();
        wanted.sort();
        let listed: Vec<LeaseKey> =
            list(&store, &kit.prefix(prefix)).await?.into_iter().map(|record| record.key).collect();
        demand!(listed == wanted, "prefix {prefix:?} to list {wanted:?}, got {listed:?}");
    }
    PASSED
}

/// A list is sorted by key and holds everything, the empty prefix lists every key.
pub(crate) async fn lists_are_sorted_and_complete(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let count = 300;
    for chunk in (0..count).collect::<Vec<_>>().chunks(one.info().batch_limit.clamp(1, 100)) {
        // Sent in another order than that of the keys.
        let claims: Vec<Claim> =
            chunk.iter().map(|n| kit.claim(&kit.key(&format!("{}", (n * 7_919) % 10_007)))).collect();
        let answers = one.acquire(&claims).await.map_err(|error| failed("batch", error))?;
        demand!(
            answers.iter().all(|answer| matches!(answer, Ok(Claimed::Granted { .. }))),
            "free keys, got {answers:?}"
        );
    }
    let listed = list(&two, &kit.prefix("")).await?;
    demand!(listed.len() == count, "{count} leases to be listed, got {}", listed.len());
    demand!(listed.is_sorted_by(|a, b| a.key < b.key), "a list sorted by key, without doubles");
    let all = list(&two, &KeyPrefix::default()).await?;
    demand!(all.is_sorted_by(|a, b| a.key < b.key), "the whole list sorted by key");
    let ours = all.iter().filter(|record| kit.prefix("").matches(&record.key)).count();
    demand!(ours == count, "the empty prefix to list all {count}, got {ours}");
    PASSED
}

/// Released and expired leases are not listed; those that are held are.
pub(crate) async fn released_and_expired_leases_are_not_listed(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let stays = kit.claim(&kit.key("stays"));
    granted(&store, &stays).await?;
    let released = kit.claim(&kit.key("released"));
    let term = granted(&store, &released).await?;
    freed(&store, &held(&released, term)).await?;
    let expires = kit.short(&store, &kit.key("expires"));
    granted(&store, &expires).await?;
    let deadline = tokio::time::Instant::now() + expires.ttl + kit.options.expiry_slack;
    loop {
        let listed = list(&store, &kit.prefix("")).await?;
        let keys: Vec<_> = listed.iter().map(|record| &record.key).collect();
        demand!(keys.contains(&&stays.key), "the held lease to be listed, got {keys:?}");
        demand!(!keys.contains(&&released.key), "the released lease not to be listed, got {keys:?}");
        if !keys.contains(&&expires.key) {
            return PASSED;
        }
        demand!(tokio::time::Instant::now() < deadline, "the expired lease to leave the list");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The record of one key is the one that lists show, of that key alone, and none once it is released.
pub(crate) async fn one_key_is_told_as_lists_show_it(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let (key, longer) = (kit.key("k"), kit.key("k/longer"));
    let look = async || two.record(&key).await.map_err(|error| failed("look at one key", error));
    let other = kit.claim(&longer);
    granted(&one, &other).await?;
    let before = look().await?;
    demand!(before.is_none(), "no record of a key that only begins another, got {before:?}");
    let claim = Claim { note: note("a note"), ..kit.claim(&key) };
    let own = held(&claim, granted(&one, &claim).await?);
    let listed = list(&one, &KeyPrefix::from(&key)).await?.into_iter().find(|record| record.key == key);
    let without_time = |record: Option<LeaseRecord>| record.map(|record| LeaseRecord { remaining: None, ..record });
    let (seen, listed) = (without_time(look().await?), without_time(listed));
    demand!(seen.is_some() && seen == listed, "the record {listed:?}, got {seen:?}");
    freed(&one, &own).await?;
    let after = look().await?;
    demand!(after.is_none(), "no record after the release, got {after:?}");
    PASSED
}
