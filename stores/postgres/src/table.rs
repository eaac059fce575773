//! The two tables: what their columns are, and how contents lie in them.
//!
//! A record goes to the server and comes back as the JSON that other servers keep as it is; the server itself takes it
//! apart into columns and puts it together.

use tenure_base_postgres::{Columns, Versioned};
use tenure_records::{Content, Kind};
use tenure_store::LeaseKey;

use crate::config::PostgresConfig;

/// Tenures are told apart by holder and nonce: a renewal is no news. A notification has room for some 8,000 bytes. That a bound
/// lease was released must not be forgotten: nobody waits for its end, because it has none of its own.
const LEASES: Columns<'_> = Columns {
    definitions: "holder text, term bigint, nonce text, note text, previous_note text, ttl_ms bigint not null, \
                  hold_ms bigint not null, bound_to text, bound_term bigint, resign_requested boolean not null, \
                  format integer not null",
    names: "holder, term, nonce, note, previous_note, ttl_ms, hold_ms, bound_to, bound_term, resign_requested, format",
    content: "convert_to((select row_to_json(r) from (select t.*, 0 as beat) r)::text, 'UTF8')",
    given: "json_populate_record(null::{table}, convert_from(u.content, 'UTF8')::json)",
    owner: Some("concat_ws(' ', {row}.holder, {row}.nonce)"),
    told: "case when octet_length(u.content) < 7000 then convert_from(u.content, 'UTF8') end",
    firm: "t.bound_to is not null",
};

const DOCUMENTS: Columns<'_> = Columns {
    definitions: "value bytea not null",
    names: "value",
    content: "t.value",
    given: "(select u.content as value)",
    owner: None,
    told: "null",
    firm: "true",
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

/// The bytes that stand for this content.
pub(crate) fn to_bytes(key: &LeaseKey, content: &Content) -> Vec<u8> {
    let bytes = content.to_bytes(key);
    match content {
        Content::Lease(_) => swapped(&bytes, [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")]),
        Content::Document(_) => bytes,
    }
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
