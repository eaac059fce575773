//! Text with meaning, and how it looks: colours where the terminal has them, signs that it can show.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text means. Colour repeats what words and signs say, and never says anything alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Meaning {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Busy,
}

/// A line of the picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pieces: Vec<(Meaning, String)>,
}

/// What the output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) unicode: bool,
}

impl Look {
    /// What this output can show, by the environment: `NO_COLOR`, `TERM` and the locale.
    pub(super) fn of(output: &impl IsTerminal) -> Look {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Look {
            colour: output.is_terminal() && !dumb && set("NO_COLOR").is_none(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// The first sign where the output shows it, else the second.
    pub(super) fn sign(self, sign: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { sign } else { ascii }
    }

    /// The line as bytes for the output: at most `width` columns, shortened with an ellipsis.
    pub(super) fn render(self, line: &Line, width: usize) -> String {
        let mut text = String::new();
        let mut left = width;
        let whole = line.width() <= width;
        let ellipsis = self.sign("…", "~");
        for (meaning, piece) in &line.pieces {
            let shown = if whole { piece.clone() } else { cut(piece, left.saturating_sub(1)) };
            left -= shown.width().min(left);
            match meaning.code().filter(|_| self.colour) {
                Some(code) => text.extend(["\x1b[", code, "m", &shown, "\x1b[0m"]),
                None => text.push_str(&shown),
            }
            if shown.len() < piece.len() {
                break;
            }
        }
        if !whole {
            text.push_str(ellipsis);
        }
        text
    }
}

impl Meaning {
    /// The parameters of the escape sequence that selects it: the terminal's own sixteen colours, which its user chose.
    fn code(self) -> Option<&'static str> {
        match self {
            Meaning::Plain => None,
            Meaning::Strong => Some("1"),
            Meaning::Faint => Some("2"),
            Meaning::Good => Some("32"),
            Meaning::Bad => Some("1;31"),
            Meaning::Busy => Some("33"),
        }
    }
}

impl Line {
    /// Appends text.
    pub(super) fn with(mut self, meaning: Meaning, text: impl Into<String>) -> Line {
        self.pieces.push((meaning, text.into()));
        self
    }

    /// Appends text on the left of a column of this width.
    pub(super) fn left(self, meaning: Meaning, text: &str, width: usize) -> Line {
        let padding = width.saturating_sub(text.width());
        self.with(meaning, text).with(Meaning::Plain, " ".repeat(padding))
    }

    /// Appends text on the right of a column of this width.
    pub(super) fn right(self, meaning: Meaning, text: &str, width: usize) -> Line {
        let padding = width.saturating_sub(text.width());
        self.with(Meaning::Plain, " ".repeat(padding)).with(meaning, text)
    }

    /// Appends another line's text.
    pub(super) fn and(mut self, other: Line) -> Line {
        self.pieces.extend(other.pieces);
        self
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.width()).sum()
    }
}

/// As much of the text as fits.
fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

/// `120,274`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { colour: false, unicode: true };

    /// A line that is too long is cut at its width, in whatever colour, and says so.
    #[test]
    fn long_lines_are_cut_to_the_width() {
        let line = Line::default().with(Meaning::Good, "日本").with(Meaning::Plain, "abc");
        assert_eq!(PLAIN.render(&line, 7), "日本abc");
        assert_eq!(PLAIN.render(&line, 6), "日本a…");
        assert_eq!(PLAIN.render(&line, 4), "日…");
        assert_eq!(PLAIN.render(&line, 0), "…");
        assert_eq!(Look { unicode: false, ..PLAIN }.render(&line, 5), "日本~");
        assert_eq!(Look { colour: true, ..PLAIN }.render(&line, 7), "\x1b[32m日本\x1b[0mabc");
    }

    /// Columns are as wide as they are said to be.
    #[test]
    fn columns_are_padded() {
        let line =
            Line::default().left(Meaning::Plain, "ab", 4).right(Meaning::Plain, "日", 3).left(Meaning::Plain, "c", 0);
        assert_eq!(PLAIN.render(&line, 80), "ab   日c");
    }

    /// Thousands are set apart.
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 120_274, 1_000_000].map(grouped), ["0", "999", "1,000", "120,274", "1,000,000"]);
    }
}
