//! What holds for everybody on this host or for this user: `store bus ttl log log_format`, from
//! `$XDG_CONFIG_HOME/tenure/config.toml`, then `/etc/tenure/config.toml`. Flags and the environment come first.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tenure_base_net::durations;

use crate::config_file::{self, Source, Values};
use crate::exit::Exit;
use crate::logs::{self, Format};

/// The variable that names one file in place of both; empty for none.
pub(crate) const CONFIG: &str = "TENURE_CONFIG";
/// The file of the host.
const SYSTEM: &str = "/etc/tenure/config.toml";
/// The keys that a file may have.
const KEYS: &[&str] = &["store", "bus", "ttl", "log", "log_format"];

/// The values of the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSettings {
    /// The files that are there, the first one first.
    files: Vec<PathBuf>,
    values: Values,
}

impl HostSettings {
    /// The files of this process, which are read once. A file that is there and cannot be used is an error: with another store than
    /// the one that it names, two hosts could hold the same lease.
    pub(crate) fn load() -> Result<&'static HostSettings> {
        static LOADED: OnceLock<HostSettings> = OnceLock::new();
        if let Some(loaded) = LOADED.get() {
            return Ok(loaded);
        }
        let read = HostSettings::read(&places(|name| std::env::var_os(name))).map_err(Exit::usage)?;
        Ok(LOADED.get_or_init(|| read))
    }

    /// The value of a key, and where it stands.
    pub(crate) fn get(&self, key: &str) -> Option<&(String, Source)> {
        self.values.get(key)
    }

    /// The files that were read.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads the files at these places; what an earlier one says stands.
    fn read(places: &[Place]) -> Result<HostSettings> {
        let mut settings = HostSettings::default();
        for place in places {
            if !place.must_be_there && !is_there(&place.path) {
                continue;
            }
            let values = config_file::read(&place.path, KEYS).map_err(|error| match place.must_be_there {
                true => anyhow!("{CONFIG}: {error:#}"),
                false => error,
            })?;
            values.iter().try_for_each(|(key, (value, source))| check(key, value, source))?;
            settings.files.push(place.path.clone());
            for (key, value) in values {
                settings.values.entry(key).or_insert(value);
            }
        }
        Ok(settings)
    }
}

/// The value that counts of the flag's, the environment's and the files', and where it came from. An empty one counts as none.
pub(crate) fn resolve(key: &str, flag: Option<&str>, variable: &'static str) -> Result<Option<(String, Source)>> {
    if let Some(value) = flag.filter(|value| !value.is_empty()) {
        return Ok(Some((value.to_owned(), Source::Flag)));
    }
    if let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        let text = value.into_string().map_err(|_| Exit::usage(anyhow!("{variable} is not UTF-8: set it anew")))?;
        return Ok(Some((text, Source::Environment(variable))));
    }
    Ok(HostSettings::load()?.get(key).cloned())
}

/// The ttl where no flag gives one: `TENURE_TTL`, then the files'. `None` where nobody says.
pub(crate) fn ttl(flag: Option<Duration>) -> Result<Option<Duration>> {
    if flag.is_some() {
        return Ok(flag);
    }
    let Some((text, source)) = resolve("ttl", None, "TENURE_TTL")? else { return Ok(None) };
    durations::parse(&text).map(Some).map_err(|why| wrong("ttl", &why, &source))
}

/// What is logged: the flag's filter, that of `TENURE_LOG`, or the files'. `None` where nobody says.
pub(crate) fn log(flag: Option<&str>) -> Result<Option<String>> {
    let Some((filter, source)) = resolve("log", flag, "TENURE_LOG")? else { return Ok(None) };
    logs::check_filter(&filter).map_err(|why| wrong("log", &why, &source))?;
    Ok(Some(filter))
}

/// How it is logged: the flag's, that of `TENURE_LOG_FORMAT`, or the files'; `auto` where nobody says.
pub(crate) fn log_format(flag: Option<Format>) -> Result<Format> {
    if let Some(format) = flag {
        return Ok(format);
    }
    let Some((text, source)) = resolve("log_format", None, "TENURE_LOG_FORMAT")? else { return Ok(Format::Auto) };
    text.parse().map_err(|why: String| wrong("log_format", &why, &source))
}

/// The error for a value that cannot be used.
fn wrong(key: &str, why: &str, source: &Source) -> anyhow::Error {
    Exit::usage(anyhow!("{key}: {why} (from {source})"))
}

/// Where a file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Whether it was named, and is not only looked for.
    must_be_there: bool,
}

fn places(env: impl Fn(&str) -> Option<OsString>) -> Vec<Place> {
    let looked_for = |path: PathBuf| Place { path, must_be_there: false };
    match env(CONFIG) {
        Some(none) if none.is_empty() => return Vec::new(),
        Some(file) => return vec![Place { path: file.into(), must_be_there: true }],
        None => {}
    }
    let folder = |name: &str| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let user = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let user = user.map(|folder| looked_for(folder.join("tenure/config.toml")));
    user.into_iter().chain([looked_for(SYSTEM.into())]).collect()
}

/// Whether something is there, also something that cannot be read.
fn is_there(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    !matches!(std::fs::symlink_metadata(path), Err(error) if matches!(error.kind(), NotFound | NotADirectory))
}

/// Checks what can be checked without a store or a bus.
fn check(key: &str, value: &str, source: &Source) -> Result<()> {
    let checked = match key {
        "ttl" => durations::parse(value).map(drop),
        "log" => logs::check_filter(value),
        "log_format" => value.parse::<Format>().map(drop),
        "store" => absolute(tenure_open::file_of(value), "sqlite:/var/lib/tenure/leases.db"),
        "bus" => absolute(tenure_bus_open::file_of(value), "sqlite:/var/lib/tenure/bus.db"),
        _ => Ok(()),
    };
    checked.map_err(|why| anyhow!("{key}: {why} (from {source})"))
}

/// A path that is relative would be another file in each folder.
fn absolute(file: Option<PathBuf>, example: &str) -> Result<(), String> {
    match file {
        Some(path) if path.is_relative() && path.as_os_str() != ":memory:" => {
            Err(format!("{} is another file in each folder: write the whole path, as {example}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, name: &str, text: &str) -> Place {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Place { path, must_be_there: false }
    }

    /// What the user's file says comes before what the host's says, key by key; a file that is not there says nothing.
    #[test]
    fn the_users_file_comes_before_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let user = place(folder.path(), "user.toml", "store = \"redis://user\"\nttl = \"3s\"");
        let host = place(folder.path(), "host.toml", "store = \"redis://host\"\nlog-format = \"json\"");
        let settings = HostSettings::read(&[user.clone(), host.clone()]).unwrap();
        let value = |key| settings.get(key).map(|(value, source)| format!("{value} {source}")).unwrap_or_default();
        assert_eq!(value("store"), format!("redis://user file {}, line 1", user.path.display()));
        assert_eq!(value("log_format"), format!("json file {}, line 2", host.path.display()));
        assert_eq!((value("bus"), settings.files().len()), (String::new(), 2));
        let missing = Place { path: folder.path().join("none.toml"), must_be_there: false };
        assert!(HostSettings::read(std::slice::from_ref(&missing)).unwrap().files().is_empty());
        let named = Place { must_be_there: true, ..missing };
        assert!(HostSettings::read(&[named]).unwrap_err().to_string().contains("there is no file"));
    }

    /// The files are where the field expects them; one variable names another one, or none.
    #[test]
    fn the_places_are_the_usual_ones() {
        let found = |env: &[(&str, &str)]| {
            let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
            let places = places(|name| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
            places.iter().map(|place| place.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("HOME", "/h")]), ["/h/.config/tenure/config.toml", SYSTEM]);
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), ["/x/tenure/config.toml", SYSTEM]);
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")])[0], "/h/.config/tenure/config.toml");
        assert_eq!(found(&[]), [SYSTEM]);
        assert_eq!(found(&[("HOME", "/h"), (CONFIG, "own.toml")]), ["own.toml"]);
        assert!(found(&[("HOME", "/h"), (CONFIG, "")]).is_empty());
    }

    /// A value that cannot be meant is refused with its place, before anything is done with it.
    #[test]
    fn values_are_checked_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        for (text, words) in [
            ("ttl = 15", &["ttl", "15s for seconds", "line 1"][..]),
            ("\nlog = \"inof\"", &["log", "inof", "info", "line 2"]),
            ("log_format = \"yaml\"", &["log_format", "auto, json or text"]),
            ("store = \"sqlite:leases.db\"", &["store", "another file in each folder", "sqlite:/var"]),
            ("bus = \"sqlite:chat.db\"", &["bus", "another file in each folder", "bus.db"]),
            ("channels = [\"a\"]", &["line 1", "\"channels\"", "there are store, bus, ttl, log, log_format"]),
        ] {
            let error = HostSettings::read(&[place(folder.path(), "c.toml", text)]).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}
