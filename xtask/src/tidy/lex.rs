//! Rust text without its comments and literals, so that rules look at code only.

/// The text with every comment, string and character literal blanked; lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' if !joins(bytes, at) => raw_string_end(bytes, at + 1).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            code.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The lines of code that are not under `#[cfg(test)]`, with their numbers; what follows a test module is not looked at,
/// for tests come last.
pub(super) fn shipped_lines(code: &str) -> Vec<(usize, &str)> {
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
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
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

/// Whether the byte continues a name, as the `r` of `for` does; `br` begins a raw string all the same.
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

    /// A line under `#[cfg(test)]` is not shipped, the next one is; nothing after a test module is.
    #[test]
    fn test_code_is_not_shipped() {
        let lines = shipped_lines("a\n#[cfg(test)]\nextern crate std;\nb\n#[cfg(test)]\nmod tests {\nc\n}\n");
        assert_eq!(lines, [(1, "a"), (4, "b")]);
    }
}
