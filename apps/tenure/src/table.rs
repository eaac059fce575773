//! Aligned tables for people, safe for the terminal: control characters are escaped, widths are display widths, and the
//! last column is shortened to the line.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The line width where stdout is no terminal and `COLUMNS` is not set.
const DEFAULT_LINE_WIDTH: usize = 120;
/// The least width of the last column, however little of the line is left.
const MIN_LAST_WIDTH: usize = 16;
/// The separator between columns.
const SEPARATOR: &str = "  ";

/// How the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers and durations.
    Right,
}

/// A table whose columns grow with what is written to them.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    widths: Vec<usize>,
    line: usize,
}

impl Table {
    /// A table with these headings, as wide as the terminal.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Table {
        Table::with_width(columns, line_width())
    }

    /// A table whose lines are `line` wide where its columns but the last allow it.
    pub(crate) fn with_width(columns: &[(&'static str, Align)], line: usize) -> Table {
        let widths = columns.iter().map(|(heading, _)| heading.width()).collect();
        Table { columns: columns.to_vec(), widths, line }
    }

    /// Widens the columns so that the row's cells fit.
    pub(crate) fn fit(&mut self, cells: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(visible(cell).width());
        }
    }

    /// The line of headings.
    pub(crate) fn heading(&self) -> String {
        self.render(self.columns.iter().map(|(heading, _)| (*heading).to_owned()))
    }

    /// The line of one row; its columns grow where they must.
    pub(crate) fn row(&mut self, cells: &[String]) -> String {
        self.fit(cells);
        self.render(cells.iter().map(|cell| visible(cell)))
    }

    fn render(&self, cells: impl Iterator<Item = String>) -> String {
        let last = self.columns.len().saturating_sub(1);
        let mut line = String::new();
        let mut used = 0;
        for (at, (cell, ((_, align), width))) in cells.zip(self.columns.iter().zip(&self.widths)).enumerate() {
            if at > 0 {
                line.push_str(SEPARATOR);
                used += SEPARATOR.len();
            }
            let cell =
                if at == last { shorten(&cell, self.line.saturating_sub(used).max(MIN_LAST_WIDTH)) } else { cell };
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Right if at < last => line.extend([padding.as_str(), &cell]),
                _ => line.extend([cell.as_str(), &padding]),
            }
            used += width;
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The text with every character escaped that could control the terminal or change the order of the text.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || reorders(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm, and the separators of lines and paragraphs.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text, or as much of it as fits with an ellipsis. Characters without a width are bounded by their number.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.width() <= most && text.chars().count() <= 4 * most {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars().take(2 * most) {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > most {
            break;
        }
        used += width;
        short.push(c);
    }
    short.push('…');
    short
}

/// Breaks the text at words into lines of that width, at least one line; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= most.max(MIN_LAST_WIDTH) => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The terminal's width; `COLUMNS` or a usual width where stdout is no terminal.
pub(crate) fn line_width() -> usize {
    let stdout = std::io::stdout();
    if stdout.is_terminal()
        && let Ok(size) = rustix::termios::tcgetwinsize(&stdout)
        && size.ws_col > 0
    {
        return usize::from(size.ws_col);
    }
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.filter(|columns| (1..=10_000).contains(columns)).unwrap_or(DEFAULT_LINE_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    const COLUMNS: &[(&str, Align)] = &[("KEY", Align::Left), ("LEFT", Align::Right), ("NOTE", Align::Left)];

    /// Columns line up by what the terminal shows, wide characters too, and no line ends in spaces.
    #[test]
    fn columns_line_up_by_display_width() {
        let mut table = Table::with_width(COLUMNS, 80);
        let rows = [row(&["日本", "1.0s", "x"]), row(&["short", "12.3s", ""])];
        rows.iter().for_each(|cells| table.fit(cells));
        assert_eq!(table.heading(), "KEY     LEFT  NOTE");
        assert_eq!(table.row(&rows[0]), "日本    1.0s  x");
        assert_eq!(table.row(&rows[1]), "short  12.3s");
    }

    /// The last column is shortened to the line, at a whole character; the others never are.
    #[test]
    fn the_last_column_is_shortened_to_the_line() {
        let mut table = Table::with_width(COLUMNS, 30);
        let line = table.row(&row(&["key", "1s", &"日".repeat(40)]));
        assert!(line.ends_with('…') && line.width() <= 30, "{line} {}", line.width());
        let long = "k".repeat(60);
        assert!(table.row(&row(&[&long, "1s", "note"])).starts_with(&long));
        assert_eq!(shorten("fits", 4), "fits");
    }

    /// Nothing in a cell reaches the terminal as anything but text.
    #[test]
    fn cells_cannot_drive_the_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}gpj";
        let shown = visible(hostile);
        assert!(!shown.chars().any(|c| c.is_control() || reorders(c)), "{shown}");
        assert!(shown.starts_with("\\u{1b}]0;owned\\u{7}") && shown.contains("\\r\\n") && shown.contains("\\u{202e}"));
        assert!(!Table::with_width(COLUMNS, 80).row(&row(&[hostile, hostile, hostile])).contains('\u{1b}'));
        assert_eq!(visible("Käse 日本 👩‍💻"), "Käse 日本 👩‍💻");
    }

    /// Words are kept whole, and no line is longer than it may be unless one word is.
    #[test]
    fn text_wraps_at_words() {
        assert_eq!(wrap("one two three four five six", 17), ["one two three", "four five six"]);
        assert_eq!(wrap("", 20), [""]);
        assert_eq!(wrap(&"x".repeat(40), 20).len(), 1);
    }

    /// Characters without a width are cut too: thousands of accents on one letter are no short text.
    #[test]
    fn accents_do_not_pile_up() {
        let piled = format!("a{}", "\u{301}".repeat(5_000));
        assert!(shorten(&piled, 20).chars().count() <= 41);
    }
}
