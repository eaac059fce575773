//! Notes: carried byte for byte, replaced by renewals, handed to the next holder.

use tenure_store::{Claim, Held, Note, Released};

use crate::kit::*;

/// Notes of every kind, up to 16 KiB, are listed and handed on as they were written.
pub(crate) async fn odd_notes_are_carried_whole(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    let notes = [
        "plain".to_owned(),
        "{\"json\": [1, \"two\"], \"quote\": \"\\\"\"}".to_owned(),
        "line\nline\r\n\ttab".to_owned(),
        "nul \u{0} and bell \u{7}".to_owned(),
        "' OR 1=1; -- %s {} ${x}".to_owned(),
        "caf\u{e9} \u{4f8b}\u{3048} \u{1f511} \u{10ffff}".to_owned(),
        "\u{feff}mark".to_owned(),
        " spaces around ".to_owned(),
        "x".repeat(Note::MAX_BYTES),
        "\u{1f511}".repeat(Note::MAX_BYTES / 4),
    ];
    for text in &notes {
        let shown: String = text.chars().take(20).collect();
        let claim = Claim { note: note(text), ..kit.claim(&key) };
        let term = granted(&store, &claim).await?;
        let listed = list(&store, &kit.prefix("")).await?;
        demand!(listed.first().is_some_and(|record| record.note == claim.note), "note {shown:?} to be listed whole");
        freed(&store, &held(&claim, term)).await?;
        let next = kit.claim(&key);
        let (term, last) = granted_with_note(&store, &next).await?;
        demand!(last.as_ref() == Some(&claim.note), "note {shown:?} to be handed on whole");
        freed(&store, &held(&next, term)).await?;
    }
    passed(format!("{} notes", notes.len()))
}

/// A renewal replaces the note; an empty one clears it.
pub(crate) async fn a_renewal_replaces_the_note(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = Claim { note: note("first"), ..kit.claim(&kit.key("k")) };
    let term = granted(&store, &claim).await?;
    for text in ["second", "", "third"] {
        extended(&store, &Held { note: note(text), ..held(&claim, term) }).await?;
        let listed = list(&store, &kit.prefix("")).await?;
        let seen = listed.first().map(|record| record.note.clone());
        demand!(seen == Some(note(text)), "the note {text:?}, got {seen:?}");
    }
    PASSED
}

/// The next holder gets the note that the release wrote, or the last renewal where the store keeps expired records;
/// the very first holder gets none.
pub(crate) async fn the_last_note_reaches_the_next_holder(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    let first = Claim { note: note("claimed"), ..kit.claim(&key) };
    let (term, last) = granted_with_note(&store, &first).await?;
    demand!(last.is_none(), "no last note for the first holder, got {last:?}");
    extended(&store, &Held { note: note("renewed"), ..held(&first, term) }).await?;
    freed(&store, &Held { note: note("released"), ..held(&first, term) }).await?;
    let second = Claim { note: note("short"), ..kit.short(&store, &key) };
    let (term, last) = granted_with_note(&store, &second).await?;
    demand!(last == Some(note("released")), "the note of the release, got {last:?}");
    extended(&store, &Held { note: note("short, renewed"), ..held(&second, term) }).await?;
    let third = kit.claim(&key);
    kit.until_granted(&store, &third, second.ttl).await?;
    // The same claim again gets the answer of its grant again.
    let (_, last) = granted_with_note(&store, &third).await?;
    let right = last.is_none() || last == Some(note("short, renewed"));
    demand!(right, "the note of the last renewal, or none, got {last:?}");
    PASSED
}

/// A claim that is repeated gets the same last note again, and does not overwrite the note of a later renewal.
pub(crate) async fn a_repeated_claim_gets_the_same_last_note(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    let first = Claim { note: note("before"), ..kit.claim(&key) };
    let term = granted(&store, &first).await?;
    freed(&store, &held(&first, term)).await?;
    let second = Claim { note: note("mine"), ..kit.claim(&key) };
    let (term, last) = granted_with_note(&store, &second).await?;
    demand!(last == Some(note("before")), "the note of the tenure before, got {last:?}");
    extended(&store, &Held { note: note("newer"), ..held(&second, term) }).await?;
    let (_, last) = granted_with_note(&store, &second).await?;
    demand!(last == Some(note("before")), "the same last note again, got {last:?}");
    let listed = list(&store, &kit.prefix("")).await?;
    let seen = listed.first().map(|record| record.note.clone());
    demand!(seen == Some(note("newer")), "the renewal's note to stay, got {seen:?}");
    PASSED
}

/// A tenure that wrote nothing does not hide the note of the one before it.
pub(crate) async fn an_empty_note_hides_no_earlier_one(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    let first = Claim { note: note("covered"), ..kit.claim(&key) };
    let term = granted(&store, &first).await?;
    freed(&store, &held(&first, term)).await?;
    for _ in 0..2 {
        let silent = Claim { note: note(""), ..kit.claim(&key) };
        let (term, last) = granted_with_note(&store, &silent).await?;
        demand!(last == Some(note("covered")), "the last note that was not empty, got {last:?}");
        freed(&store, &held(&silent, term)).await?;
    }
    PASSED
}

/// A release that comes after the lease has run out, and before anybody has taken the key, still leaves its note.
pub(crate) async fn a_late_release_keeps_its_note(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { note: note("first"), ..kit.short(&one, &kit.key("k")) };
    let own = Held { note: note("last"), ..held(&claim, granted(&one, &claim).await?) };
    tokio::time::sleep(claim.ttl + TOLERANCE).await;
    if release(&one, &own).await? == Released::NotHeld {
        return skipped("the store keeps no lease that has run out");
    }
    let (_, last) = granted_with_note(&two, &kit.claim(&claim.key)).await?;
    demand!(last == Some(note("last")), "the note of the late release, got {last:?}");
    PASSED
}
