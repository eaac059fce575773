//! Assembles one line from its parts.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::escape;

/// A part that does not fit its place: the line would mean something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssembleError {
    /// A tag's key is empty or holds a byte that ends it.
    TagKey,
    /// The prefix is empty or holds a byte that ends it.
    Prefix,
    /// The command is empty, starts as tags or a prefix would, or holds a byte that ends it.
    Command,
    /// The parameter with this index holds a line end or NUL, or cannot stand before the last place.
    Param(usize),
}

/// Writes one line, without a line end. Values of tags are escaped; an empty one is written without `=`. The last
/// parameter gets a colon where it needs one. Refuses every part that could break out of its place, so no parameter can
/// smuggle in a second command.
pub fn assemble(
    tags: &[(&[u8], &[u8])],
    prefix: Option<&[u8]>,
    command: &[u8],
    params: &[&[u8]],
) -> Result<Vec<u8>, AssembleError> {
    let mut line = Vec::with_capacity(64);
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty()
            || key.iter().any(|byte| matches!(byte, b'=' | b';') || ends_word(*byte))
            || value.contains(&0)
        {
            return Err(AssembleError::TagKey);
        }
        line.push(if at == 0 { b'@' } else { b';' });
        line.extend_from_slice(key);
        if !value.is_empty() {
            line.push(b'=');
            escape(value, &mut line);
        }
    }
    if !tags.is_empty() {
        line.push(b' ');
    }
    if let Some(prefix) = prefix {
        if prefix.is_empty() || prefix.iter().any(|byte| ends_word(*byte)) {
            return Err(AssembleError::Prefix);
        }
        line.push(b':');
        line.extend_from_slice(prefix);
        line.push(b' ');
    }
    if matches!(command, [] | [b'@' | b':', ..]) || command.iter().any(|byte| ends_word(*byte)) {
        return Err(AssembleError::Command);
    }
    line.extend_from_slice(command);
    for (at, param) in params.iter().enumerate() {
        if param.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(AssembleError::Param(at));
        }
        let needs_colon = matches!(param, [] | [b':', ..]) || param.contains(&b' ');
        if needs_colon && at + 1 < params.len() {
            return Err(AssembleError::Param(at));
        }
        line.extend_from_slice(if needs_colon { b" :" } else { b" " });
        line.extend_from_slice(param);
    }
    Ok(line)
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\r' | b'\n' | 0)
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssembleError::TagKey => f.write_str("a tag cannot be written"),
            AssembleError::Prefix => f.write_str("the prefix cannot be written"),
            AssembleError::Command => f.write_str("the command cannot be written"),
            AssembleError::Param(at) => write!(f, "parameter {at} cannot be written in its place"),
        }
    }
}

impl Error for AssembleError {}
