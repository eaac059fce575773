//! The two tables: what their columns are, and how contents lie in them.
//!
//! A record goes to the server as a text for each column, and comes back as the JSON that other servers keep as it is.

use data_encoding::HEXLOWER;
use serde_json::Value;
use tenure_base_postgres::{Columns, Versioned};
use tenure_records::{Content, Kind};
use tenure_store::LeaseKey;

use crate::config::PostgresConfig;

const LEASES: Columns<'_> = Columns {
    definitions: "holder text, term bigint, nonce text, note text, previous_note text, ttl_ms bigint not null, \
                  hold_ms bigint not null, bound_to text, bound_term bigint, resign_requested boolean not null, \
                  format integer not null",
    names: "holder, term, nonce, note, previous_note, ttl_ms, hold_ms, bound_to, bound_term, resign_requested, format",
    given: "{values}[1], {values}[2]::bigint, {values}[3], {values}[4], {values}[5], {values}[6]::bigint, \
            {values}[7]::bigint, {values}[8], {values}[9]::bigint, {values}[10]::boolean, {values}[11]::integer",
    content: "convert_to((select row_to_json(r) from (select t.*, 0 as beat) r)::text, 'UTF8')",
};

const DOCUMENTS: Columns<'_> = Columns {
    definitions: "value bytea not null",
    names: "value",
    given: "decode({values}[1], 'hex')",
    content: "t.value",
};

/// The table of this kind.
pub(crate) fn table(config: &PostgresConfig, kind: Kind) -> Versioned {
    let schema = config.schema.as_deref();
    match kind {
        Kind::Lease => Versioned::new(schema, &config.table, &LEASES),
        Kind::Document => {
            let name = config.table.strip_suffix("_leases").unwrap_or(&config.table);
            Versioned::new(schema, &format!("{name}_documents"), &DOCUMENTS)
        }
    }
}

/// What the columns get for this content, and what is told of it: a record where it is short, for a notification has room for some
/// 8,000 bytes; of a document nothing.
pub(crate) fn values(key: &LeaseKey, content: &Content) -> (Vec<Option<String>>, String) {
    let bytes = content.to_bytes(key);
    if let Content::Document(_) = content {
        return (vec![Some(HEXLOWER.encode(&bytes))], String::new());
    }
    let json =
        String::from_utf8_lossy(&swapped(&bytes, [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")])).into_owned();
    let members: Value = serde_json::from_str(&json).unwrap_or_default();
    let text = |name: &str| match &members[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let values = LEASES.names.split(", ").map(text).collect();
    (values, if json.len() < 7_000 { json } else { String::new() })
}

/// The content that these bytes stand for.
pub(crate) fn content(kind: Kind, key: &LeaseKey, bytes: &[u8]) -> Content {
    match kind {
        Kind::Lease => Content::lease(key, &swapped(bytes, [(r"\u001a0", r"\u0000"), (r"\u001a1", r"\u001a")])),
        Kind::Document => Content::Document(bytes.to_vec()),
    }
}

/// PostgreSQL's texts hold every character but NUL. In its place stand two that hardly any note has; replaced are JSON's
/// escapes of these, which do not begin with the second of two backslashes.
fn swapped(json: &[u8], pairs: [(&str, &str); 2]) -> Vec<u8> {
    let json = String::from_utf8_lossy(json);
    let pieces =
        json.split(r"\\").map(|piece| pairs.iter().fold(piece.to_owned(), |text, (from, to)| text.replace(from, to)));
    pieces.collect::<Vec<_>>().join(r"\\").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for NUL is read as NUL again, and everything that looks like it stays what it was.
    #[test]
    fn nul_is_carried() {
        let write = |json: &str| swapped(json.as_bytes(), [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")]);
        for (json, written) in [
            (r#""a\u0000b""#, r#""a\u001a0b""#),
            (r#""\u001a""#, r#""\u001a1""#),
            (r#""\u001a0\u0000\u001a1""#, r#""\u001a10\u001a0\u001a11""#),
            (r#""\\u0000 \\\u0000""#, r#""\\u0000 \\\u001a0""#),
            (r#""plain""#, r#""plain""#),
        ] {
            assert_eq!(String::from_utf8(write(json)).unwrap(), written);
            let read = swapped(written.as_bytes(), [(r"\u001a0", r"\u0000"), (r"\u001a1", r"\u001a")]);
            assert_eq!(String::from_utf8(read).unwrap(), json);
        }
    }
}
