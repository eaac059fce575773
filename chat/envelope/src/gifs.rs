//! GIFs: turns the tag `gifs`, `first-last|id|url` for each, into one entry per occurrence.
//!
//! A GIF takes the place of a caption in the text, counted in code points as emotes are. Its address may hold `=`, `&`, `?`
//! and, escaped, `;`.

use alloc::vec::Vec;

use crate::anomaly::{Anomalies, Anomaly};
use crate::emotes::parse_range;
use crate::json::{self, Escaping};

/// Writes `,"gifs":[...]`: the GIFs of `tag` in `text`, in the tag's order.
///
/// A GIF that is malformed or starts outside of the text is left out; one that only ends outside is cut at the end of
/// the text. Each is an anomaly.
pub(crate) fn write(out: &mut Vec<u8>, (tag, escaping): (&[u8], Escaping), text: &str, anomalies: &mut Anomalies) {
    if tag.is_empty() {
        return out.extend_from_slice(NONE);
    }
    out.extend_from_slice(b",\"gifs\":[");
    let length = text.chars().count();
    let mut separator: &[u8] = b"";
    for gif in tag.split(|byte| *byte == b',').map(|gif| parse(gif, length)) {
        let Some(Gif { start, end, id, url }) = gif else {
            anomalies.add(Anomaly::BadGifs);
            continue;
        };
        anomalies.add_if(end >= length, Anomaly::BadGifs);
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"start\":");
        json::number(out, start as u64);
        out.extend_from_slice(b",\"end\":");
        json::number(out, end.min(length - 1) as u64);
        out.extend_from_slice(b",\"id\":\"");
        json::tag_value(out, id, escaping);
        out.extend_from_slice(b"\",\"url\":\"");
        json::tag_value(out, url, escaping);
        out.extend_from_slice(b"\"}");
        separator = b",";
    }
    out.push(b']');
}

/// The member where there are no GIFs.
pub(crate) const NONE: &[u8] = b",\"gifs\":[]";

struct Gif<'a> {
    start: usize,
    end: usize,
    id: &'a [u8],
    url: &'a [u8],
}

/// Parses one GIF that starts within a text of `length` code points.
fn parse(gif: &[u8], length: usize) -> Option<Gif<'_>> {
    let mut parts = gif.splitn(3, |byte| *byte == b'|');
    let (start, end) = parse_range(parts.next()?)?;
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let (id, url) = (part()?, part()?);
    (start < length).then_some(Gif { start, end, id, url })
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn written(tag: &str, text: &str) -> (String, bool) {
        let (mut out, mut anomalies) = (Vec::new(), Anomalies::default());
        write(&mut out, (tag.as_bytes(), Escaping::Escape), text, &mut anomalies);
        let mut listed = Vec::new();
        anomalies.write(&mut listed);
        let list = out.strip_prefix(b",\"gifs\":").unwrap().to_vec();
        (String::from_utf8(list).unwrap(), !listed.is_empty())
    }

    /// Everything that an address may hold survives, an escaped semicolon and a bar too; a caption may hold spaces.
    #[test]
    fn addresses_survive() {
        let tag = "0-7|joSN|https://g.example/a.gif?cid=09&ep=v1&x=\\:y|z,9-11|Vh2r|https://h.example/b.gif";
        let expected = concat!(
            r#"[{"start":0,"end":7,"id":"joSN","url":"https://g.example/a.gif?cid=09&ep=v1&x=;y|z"},"#,
            r#"{"start":9,"end":11,"id":"Vh2r","url":"https://h.example/b.gif"}]"#
        );
        assert_eq!(written(tag, "[Yes \u{1f600} ] [b]"), (expected.into(), false));
        assert_eq!(written("", "text"), ("[]".into(), false));
    }

    /// A malformed GIF and one outside of the text are left out, one that ends outside is cut; each is an anomaly and
    /// does not affect the others.
    #[test]
    fn odd_gifs_are_left_out_or_cut() {
        for wrong in ["x", "0-1", "0-1|a", "0-1|a|", "0-1||u", "1-0|a|u", "a-b|a|u", "4-4|a|u", "-1|a|u", ","] {
            assert_eq!(written(wrong, "abcd"), ("[]".into(), true), "{wrong}");
        }
        let cut = r#"[{"start":2,"end":3,"id":"a","url":"u"}]"#;
        assert_eq!(written("2-9|a|u,nonsense", "abc\u{e9}"), (cut.into(), true));
        assert_eq!(written("0-1|a|u", ""), ("[]".into(), true));
    }
}
