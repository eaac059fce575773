//! The tokens of Rust code as it is shipped: without comments, literals, and code that is compiled for tests or
//! documentation only.

use std::ops::RangeInclusive;

use crate::lex::{code_only, without_comments};

/// A name, a number or a sign, and the line on which it stands. `::` is one sign; lifetimes are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    /// Whether it is a name or a keyword.
    pub(crate) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens that a text ships.
pub(crate) fn shipped(text: &str) -> Vec<Token> {
    let tokens = tokens(&code_only(text));
    let mut shipped = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match tested_item_end(&tokens, at) {
            Some(end) => at = end,
            None => {
                shipped.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    shipped
}

/// How many lines of a text ship something: lines that are neither blank, nor comment, nor test. Lines inside a literal
/// count.
pub(crate) fn shipped_line_count(text: &str) -> usize {
    let tested = tested_lines(&code_only(text));
    let code = without_comments(text);
    let lines = (1..).zip(code.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.filter(|(number, _)| !tested.iter().any(|range| range.contains(number))).count()
}

/// The lines of code that are compiled for tests only.
pub(crate) fn tested_lines(code: &str) -> Vec<RangeInclusive<usize>> {
    let tokens = tokens(code);
    let mut tested = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tested_item_end(&tokens, at) {
            Some(end) => {
                tested.push(tokens[at].line..=tokens[end - 1].line);
                at = end;
            }
            None => at += 1,
        }
    }
    tested
}

/// The index after the token that closes what `open` opens, where `tokens[open]` is a bracket of any kind.
pub(crate) fn closed(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            let (text, behind) = rest.split_at(length);
            rest = behind;
            if first == '\'' {
                // A lifetime or a label is left out, because its name is not that of an item.
                rest = behind.trim_start_matches(is_word);
            } else if !first.is_whitespace() {
                tokens.push(Token { text: text.to_owned(), line });
            }
        }
    }
    tokens
}

/// The end of the item that begins at `at` with an attribute that compiles it for tests only.
fn tested_item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |index: usize, text: &str| tokens.get(index).is_some_and(|token| token.text == text);
    let is_attribute = |index: usize| is(index, "#") && is(index + 1, "[");
    if !is_attribute(at) {
        return None;
    }
    let inner: String = tokens[at + 2..closed(tokens, at + 1) - 1].iter().map(|token| token.text.as_str()).collect();
    let for_tests = matches!(inner.as_str(), "cfg(test)" | "cfg(doc)" | "test" | "tokio::test")
        || inner.starts_with("cfg(all(test,");
    if !for_tests {
        return None;
    }
    let mut index = at;
    while is_attribute(index) {
        index = closed(tokens, index + 1);
    }
    // A field or a variant ends with a comma; in an item's head a comma stands between its parameters.
    let is_visibility = |index: usize| is(index, "pub") || (index > 0 && is(index - 1, "pub") && is(index, "("));
    let mut head = index;
    while is_visibility(head) {
        head = if is(head, "(") { closed(tokens, head) } else { head + 1 };
    }
    let is_item = tokens.get(head).is_some_and(|token| ITEMS.contains(&token.text.as_str()));
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            "{" => {
                let end = closed(tokens, index);
                let goes_on = tokens.get(end).is_some_and(|token| token.text == ";");
                return Some(if goes_on { end + 1 } else { end });
            }
            "(" | "[" => index = closed(tokens, index),
            ";" => return Some(index + 1),
            "," if !is_item => return Some(index + 1),
            "}" | ")" | "]" => return Some(index),
            _ => index += 1,
        }
    }
    Some(index)
}

/// The keywords that an item may begin with, after its visibility.
const ITEMS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "unsafe",
    "use",
    "macro_rules",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        shipped(text).iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Code that is compiled for tests is left out as a whole (an item, a helper with parameters, a field); the code
    /// behind it stays.
    #[test]
    fn what_is_for_tests_is_not_shipped() {
        assert_eq!(shown("#[cfg(test)]\nmod tests { use a::b; }\nfn c() {}"), "fn c ( ) { }");
        assert_eq!(shown("#[cfg(test)]\n#[must_use]\npub(crate) fn a<B, C>(d: B) -> C { e }\nf"), "f");
        assert_eq!(shown("struct A { #[cfg(test)] b: B, c: C }"), "struct A { c : C }");
        assert_eq!(shown("#[cfg(test)]\nmod tests;\n#[cfg(doc)]\nuse b::c;\nmod a;"), "mod a ;");
        assert_eq!(shown("#[cfg(feature = \"x\")]\nmod a;"), "# [ cfg ( feature = ) ] mod a ;");
    }

    /// Lifetimes are no names, and a path keeps its sign.
    #[test]
    fn lifetimes_are_left_out() {
        assert_eq!(shown("fn f<'a>(x: &'a crate::B) {}"), "fn f < > ( x : & crate :: B ) { }");
    }

    /// Blank lines, comments and tests do not count, lines of a literal do.
    #[test]
    fn lines_count_where_they_ship_something() {
        let text = "//! a\n\nfn b() {\n    // c\n    d(\"e\n    f\");\n}\n\n#[cfg(test)]\nmod tests {\n    use x;\n}\n";
        assert_eq!(shipped_line_count(text), 4);
    }
}
