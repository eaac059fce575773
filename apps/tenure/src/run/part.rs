//! What is started through the last step before CMD, and the words that lead there.

use std::ffi::OsString;

use super::mask::Mask;

/// The hidden command that is this step.
pub(crate) const NAME: &str = "run-stage";

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A tenure's work, which gets the terminal.
    Foreground,
    /// A tenure's work.
    Background,
    /// Something of no tenure.
    Beside,
}

impl Part {
    const ALL: [Part; 3] = [Part::Foreground, Part::Background, Part::Beside];

    fn word(self) -> &'static str {
        match self {
            Part::Foreground => "foreground",
            Part::Background => "background",
            Part::Beside => "beside",
        }
    }
}

/// What stands before the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preface {
    pub(super) part: Part,
    /// The process that starts it.
    pub(super) parent: i32,
    /// The signals that it begins with blocked.
    pub(super) blocked: Mask,
}

impl Preface {
    /// Reads what [`arguments`] wrote, up to the command.
    pub(super) fn read(arguments: &mut impl Iterator<Item = OsString>) -> Option<Preface> {
        let word = arguments.next()?;
        let part = Part::ALL.into_iter().find(|part| word == part.word())?;
        let parent = arguments.next()?.to_str()?.parse().ok()?;
        let blocked = Mask::parse(arguments.next()?.to_str()?)?;
        Some(Preface { part, parent, blocked })
    }
}

/// The arguments with which this process starts `command`.
pub(super) fn arguments(part: Part, command: &[OsString]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        vec![NAME.into(), part.word().into(), std::process::id().to_string().into(), Mask::of_caller().word().into()];
    arguments.extend_from_slice(command);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read, and the command is left as it was.
    #[test]
    fn arguments_read_back() {
        for part in Part::ALL {
            let mut written = arguments(part, &["cmd".into(), "-x".into()]).into_iter();
            assert_eq!(written.next(), Some(NAME.into()));
            let preface = Preface::read(&mut written).unwrap();
            assert_eq!((preface.part, preface.parent), (part, std::process::id() as i32));
            assert_eq!(written.collect::<Vec<_>>(), ["cmd", "-x"]);
        }
        assert_eq!(Preface::read(&mut std::iter::empty()), None);
    }
}
