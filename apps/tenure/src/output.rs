//! What is printed on stdout.

use std::io::{self, Write};

/// Prints the text and a line's end. A reader that has gone is no error: `tenure stores | head -1` is quiet.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints the text and a line's end; answers whether anybody still reads, for commands that go on for ever.
pub(crate) fn line_if_read(text: impl std::fmt::Display) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}
