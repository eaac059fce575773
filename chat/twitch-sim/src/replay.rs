//! Raw lines from a file, each for the room that it names.

use std::path::Path;

use bytes::Bytes;

use crate::error::SimError;
use crate::line::Line;

/// The lines of a file in order, byte for byte; only the LF or CR LF at the end is not part of a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// The room's name and the line with CR LF.
    pub(crate) lines: Vec<(String, Bytes)>,
    /// How many lines were skipped: empty ones, and those that name no room.
    pub(crate) skipped: usize,
}

impl Replay {
    /// Reads the whole file.
    pub(crate) fn read(path: &Path) -> Result<Self, SimError> {
        let content = std::fs::read(path).map_err(|source| SimError::Replay { path: path.to_owned(), source })?;
        Ok(Replay::parse(&content))
    }

    fn parse(content: &[u8]) -> Self {
        let mut replay = Replay::default();
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        for line in content.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let room = Line::split(line).channel().filter(|name| crate::config::is_login(name));
            match room {
                Some(name) => {
                    let bytes = Bytes::from([line, b"\r\n"].concat());
                    replay.lines.push((String::from_utf8_lossy(name).to_ascii_lowercase(), bytes));
                }
                None => replay.skipped += 1,
            }
        }
        replay
    }

    /// The rooms that the lines name, each once, in the order of the file.
    pub(crate) fn rooms(&self) -> Vec<String> {
        let mut rooms: Vec<String> = Vec::new();
        for (room, _) in &self.lines {
            if rooms.last() != Some(room) && !rooms.contains(room) {
                rooms.push(room.clone());
            }
        }
        rooms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines keep their bytes, whatever they are; those without a room are counted.
    #[test]
    fn lines_keep_their_bytes() {
        let replay = Replay::parse(b"@a=\xff :u PRIVMSG #One :x \r\nPING :x\n\nPRIVMSG #two y\r\r\n:u JOIN #one");
        let lines: Vec<_> = replay.lines.iter().map(|(room, line)| (room.as_str(), &line[..])).collect();
        let expected: [(&str, &[u8]); 3] = [
            ("one", b"@a=\xff :u PRIVMSG #One :x \r\n"),
            ("two", b"PRIVMSG #two y\r\r\n"),
            ("one", b":u JOIN #one\r\n"),
        ];
        assert_eq!(lines, expected);
        assert_eq!(replay.skipped, 2);
        assert_eq!(replay.rooms(), ["one", "two"]);
    }
}
