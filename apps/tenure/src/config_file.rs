//! Reads a TOML file of settings, one `key = value` a line. Every error names the file, the line, the key and the remedy.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use toml::de::{DeTable, DeValue};

/// The most bytes of a file that are read: settings take a few hundred.
const LARGEST: u64 = 1 << 20;
/// The one key whose value may be a list.
const LIST: &str = "channels";

/// Where a value came from: the first that gives one wins, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// The environment, under this name.
    Environment(&'static str),
    /// This line of this file.
    File { path: String, line: usize },
    /// No source gave a value, so it is the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::File { path, line } => write!(f, "file {path}, line {line}"),
            Source::Default => f.write_str("default"),
        }
    }
}

/// The values of a file by key, each with its source.
pub(crate) type Values = BTreeMap<&'static str, (String, Source)>;

/// Reads a file that may have these keys, and no others; `-` and `_` are the same in them. An empty value counts as none.
pub(crate) fn read(path: &Path, keys: &[&'static str]) -> Result<Values> {
    let text = text(path)?;
    let name = path.display().to_string();
    let line_of = |offset: usize| text[..offset].matches('\n').count() + 1;
    let table = DeTable::parse(&text).map_err(|error| {
        // Of the error only its sentence is shown: the line that it stands in may hold a password.
        let line = error.span().map_or(1, |span| line_of(span.start.min(text.len())));
        let why = error.message().replace('\n', ", ");
        anyhow!("{name}, line {line}: not TOML: {why}; write lines such as ttl = \"15s\"")
    })?;
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut values = Values::new();
    for (key, value) in entries {
        let line = line_of(key.span().start);
        let place = format!("{name}, line {line}");
        let known = known(key.get_ref(), keys).map_err(|why| anyhow!("{place}: {why}"))?;
        let value =
            scalar(value.get_ref(), known == LIST).map_err(|why| anyhow!("{place}: {}: {why}", key.get_ref()))?;
        if let Some((_, Source::File { line: other, .. })) = values.get(known) {
            bail!("{place}: {} is there twice, also in line {other}: remove one of them", key.get_ref());
        }
        values.insert(known, (value, Source::File { path: name.clone(), line }));
    }
    values.retain(|_, (value, _)| !value.is_empty());
    Ok(values)
}

/// The key of this name; where there is none, the error names the nearest one, and all where they are few.
pub(crate) fn known(name: &str, keys: &[&'static str]) -> Result<&'static str> {
    let canonical = match name.replace('-', "_").as_str() {
        // As the flag is named; the key is older.
        "channel" => LIST.to_owned(),
        other => other.to_owned(),
    };
    if let Some(key) = keys.iter().find(|key| **key == canonical) {
        return Ok(*key);
    }
    let distance = |key: &&'static str| (strsim::damerau_levenshtein(key, &canonical), *key);
    let nearest = keys.iter().map(distance).min().map_or("", |(_, nearest)| nearest);
    if keys.len() > 8 {
        bail!("unknown key {name:?}; the nearest known one is {:?}", as_flag(nearest));
    }
    bail!("unknown key {name:?}; the nearest known one is {nearest:?}, and there are {}", keys.join(", "))
}

/// A key as its flag is named, which is how users are told of it.
pub(crate) fn as_flag(key: &str) -> String {
    match key {
        LIST => "channel".to_owned(),
        _ => key.replace('_', "-"),
    }
}

/// The file's text, if it is one that can be read.
fn text(path: &Path) -> Result<String> {
    let name = path.display();
    let read = || -> std::io::Result<Vec<u8>> {
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("there is no file {name}: write it, or name another one"),
        ErrorKind::PermissionDenied => {
            anyhow!("{name} may not be read by this user: give it a group of this user's (chgrp, chmod g+r)")
        }
        ErrorKind::IsADirectory => anyhow!("{name} is a directory: name a file in it"),
        _ => anyhow!("cannot read {name}: {error}"),
    })?;
    if bytes.len() as u64 > LARGEST {
        bail!("{name} is larger than 1 MiB: that is no file of settings");
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("{name}, line {line}: not UTF-8: write the file anew as text")
    })
}

/// A value as text.
fn scalar(value: &DeValue<'_>, may_be_list: bool) -> Result<String> {
    Ok(match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Array(items) if may_be_list => {
            items.iter().map(|item| scalar(item.get_ref(), false)).collect::<Result<Vec<_>>>()?.join(",")
        }
        DeValue::Array(_) => bail!("a list is not expected here: write one value"),
        DeValue::Table(_) => {
            bail!("a table is not expected here: write KEY = VALUE in a line, above the first [table]")
        }
        DeValue::Float(_) | DeValue::Datetime(_) => bail!("write a text in quotes, a whole number, or true or false"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["store", "ttl", "log_format", "channels"];

    fn read_text(text: &str) -> Result<Values> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), KEYS)
    }

    /// Keys are found as flags are named and with underscores; each value knows its line.
    #[test]
    fn keys_are_named_as_flags_or_with_underscores() {
        for text in
            ["# first\nlog-format = \"json\"\nchannel = [\"a\", \"b\"]", "\nlog_format = \"json\"\nchannels = \"a,b\""]
        {
            let values = read_text(text).unwrap();
            let (format, source) = &values["log_format"];
            assert!(format == "json" && source.to_string().ends_with(", line 2"), "{source}");
            assert_eq!(values["channels"].0, "a,b");
        }
        assert!(read_text("store = \"\"").unwrap().is_empty(), "an empty value is none");
    }

    /// Whatever is wrong is told with its line and key, and without the value, which may hold a password.
    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, words) in [
            ("ttl = \"1s\"\nstroe = \"redis://u:hunter2@h\"", &["line 2", "\"stroe\"", "\"store\"", "log_format"][..]),
            ("\n\nstore = redis://u:hunter2@h", &["line 3", "not TOML"]),
            ("ttl = \"1s\"\nttl = \"2s\"", &["line 2", "not TOML", "duplicate"]),
            ("log_format = \"json\"\nlog-format = \"hunter2\"", &["line 2", "twice", "line 1"]),
            ("[store]\nurl = \"hunter2\"", &["line 1", "store", "KEY = VALUE"]),
            ("store = [\"hunter2\"]", &["line 1", "a list"]),
            ("ttl = 1.5", &["line 1", "ttl", "in quotes"]),
        ] {
            let error = format!("{:#}", read_text(text).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    /// What is no readable text is told in a line that says how to mend it.
    #[test]
    fn what_is_no_readable_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| format!("{:#}", read(path, KEYS).unwrap_err());
        assert!(told(folder.path()).contains("is a directory: name a file in it"));
        let file = folder.path().join("config.toml");
        assert!(told(&file).contains("there is no file"));
        std::fs::write(&file, b"ttl = \"1s\"\n\xff\xfe").unwrap();
        assert!(told(&file).contains("line 2: not UTF-8"));
        std::fs::write(&file, " ".repeat(2 << 20)).unwrap();
        assert!(told(&file).contains("larger than 1 MiB"));
    }
}
