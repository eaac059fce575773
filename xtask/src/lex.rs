//! Strips comments and literals from Rust text, so that rules look at code only.

/// The kinds of text that are not code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Comment,
    /// A string or a character, raw or not.
    Literal,
}

/// The text with every comment, string and character literal blanked; lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    blanked(text, |_| true)
}

/// The text with every comment blanked; lines stay where they are.
pub(crate) fn without_comments(text: &str) -> String {
    blanked(text, |stretch| stretch == Stretch::Comment)
}

/// The string literals with the lines on which they begin, without quotes; escapes stay as they are written.
pub(crate) fn strings(text: &str) -> Vec<(usize, &str)> {
    let mut strings = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for (from, end, stretch) in stretches(text.as_bytes()) {
        let Some(written) = text.get(from..end).filter(|_| stretch == Stretch::Literal) else { continue };
        line += text[counted..from].matches('\n').count();
        counted = from;
        let inner = written.trim_start_matches('r').trim_matches('#');
        if let Some(inner) = inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            strings.push((line, inner));
        }
    }
    strings
}

/// The text with the chosen kinds of stretches blanked.
fn blanked(text: &str, is_meant: impl Fn(Stretch) -> bool) -> String {
    let mut code = text.as_bytes().to_vec();
    for (from, end, _) in stretches(text.as_bytes()).into_iter().filter(|(_, _, stretch)| is_meant(*stretch)) {
        code[from..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where each comment and literal begins and ends.
fn stretches(bytes: &[u8]) -> Vec<(usize, usize, Stretch)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (end, stretch) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (line_end(bytes, at), Stretch::Comment),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (block_comment_end(bytes, at), Stretch::Comment),
            b'"' => (string_end(bytes, at + 1), Stretch::Literal),
            b'r' if !joins(bytes, at) => (raw_string_end(bytes, at + 1).unwrap_or(at), Stretch::Literal),
            b'\'' => (char_end(bytes, at).unwrap_or(at), Stretch::Literal),
            _ => (at, Stretch::Literal),
        };
        if end > at {
            found.push((at, end.min(bytes.len()), stretch));
        }
        at = end.max(at + 1);
    }
    found
}

/// The lines of code that are not under `#[cfg(test)]`, with their numbers. Lines after a test module are left out,
/// because tests come last.
pub(crate) fn shipped_lines(code: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut under_test = false;
    for (number, line) in (1..).zip(code.lines()) {
        let text = line.trim();
        if text.starts_with("#[cfg(test)]") || text.starts_with("#[cfg(all(test") {
            under_test = true;
            continue;
        }
        if under_test {
            if text.starts_with("mod ") && text.ends_with('{') {
                break;
            }
            // One item on one line, such as `extern crate` or `mod tests;`, or the first line of a helper.
            if !text.is_empty() && !text.starts_with("#[") {
                under_test = false;
            }
            continue;
        }
        lines.push((number, line));
    }
    lines
}

/// The identifiers of a line.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| from + length)
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a string whose first quote is before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string whose `r` is before `at`; `None` where there is none.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let from = at + hashes + 1;
    let length = bytes[from..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(bytes.len(), |length| from + length + end.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let length = bytes.get(at + 3..)?.iter().position(|&byte| byte == b'\'')?;
        return Some(at + 3 + length + 1);
    }
    let text = std::str::from_utf8(bytes.get(at + 1..bytes.len().min(at + 5))?);
    let first = match text {
        Ok(text) => text.chars().next()?,
        Err(error) => std::str::from_utf8(&bytes[at + 1..at + 1 + error.valid_up_to()]).ok()?.chars().next()?,
    };
    let end = at + 1 + first.len_utf8();
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// Whether the byte continues a name, as the `r` of `for` does; a `br` begins a raw string nevertheless.
fn joins(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|at| bytes[at]) else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if before == b'b' {
        return at >= 2 && is_name(bytes[at - 2]);
    }
    is_name(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Comments, strings, raw strings and characters go; lifetimes and code stay.
    #[test]
    fn only_code_is_left() {
        let text = "let a = \"one \\\" two\"; // three\nlet b = r#\"four \" five\"#; /* six /* seven */ */ fn f<'eight>() { '\"' }\nlet c = '\\''; nine";
        let code = code_only(text);
        for gone in ["one", "two", "three", "four", "five", "six", "seven", "\""] {
            assert!(!code.contains(gone), "{gone} in {code}");
        }
        for stays in ["let a", "let b", "eight", "nine", "fn f"] {
            assert!(code.contains(stays), "{stays} not in {code}");
        }
        assert_eq!(code.lines().count(), 3);
    }

    /// Strings are told with their lines, however they are written; characters are not.
    #[test]
    fn strings_are_told_with_their_lines() {
        let text = "// \"no\"\nlet a = \"one\\n\";\nlet b = (r#\"two \"2\"\"#, 'c');\nlet d = b\"three\";";
        assert_eq!(strings(text), [(2, "one\\n"), (3, "two \"2\""), (4, "three")]);
        assert_eq!(without_comments("let a = \"b\"; // c"), "let a = \"b\";     ");
    }

    /// A line under `#[cfg(test)]` is not shipped, the next one is; nothing after a test module is.
    #[test]
    fn test_code_is_not_shipped() {
        let lines = shipped_lines("a\n#[cfg(test)]\nextern crate std;\nb\n#[cfg(test)]\nmod tests {\nc\n}\n");
        assert_eq!(lines, [(1, "a"), (4, "b")]);
    }
}
