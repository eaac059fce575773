//! The stream behind the subjects: found, checked, or made.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{self, Api, StreamConfig, StreamInfo};
use crate::config::NatsBusConfig;
use crate::failure::Failure;

/// Which stream the positions of a subject belong to: its name, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    name: String,
    created: String,
}

impl Origin {
    pub(crate) fn of(stream: &StreamInfo) -> Origin {
        Origin { name: stream.config.name.clone(), created: stream.created.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The origins that this process has last met, by subject; of more subjects than it follows it forgets them all.
#[derive(Debug, Default)]
pub(crate) struct Origins(Mutex<BTreeMap<String, Origin>>);

/// The most subjects that are remembered.
const MOST_SUBJECTS: usize = 64;

impl Origins {
    pub(crate) fn get(&self, subject: &str) -> Option<Origin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    pub(crate) fn set(&self, subject: &str, origin: Origin) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_SUBJECTS && !known.contains_key(subject) {
            known.clear();
        }
        known.insert(subject.to_owned(), origin);
    }
}

/// The streams behind the subjects.
#[derive(Clone, Debug)]
pub(crate) struct Covered {
    /// The shortest time for which any of them drops second messages.
    pub(crate) dedupe: Duration,
    /// Each subject's stream.
    pub(crate) streams: BTreeMap<String, Origin>,
}

/// Sees to it that every subject of the configuration is covered by a stream that can carry it.
///
/// A stream that covers a subject is used whatever its name. What no stream covers goes into the configured one: it is
/// made where it is not there, and given the subjects where it is. Nothing else of a stream is ever changed: where one
/// does not fit, the failure holds the command that mends it.
pub(crate) async fn prepare(api: &mut Api<'_>, config: &NatsBusConfig) -> Result<Covered, Failure> {
    let mut covered = Covered { dedupe: Duration::MAX, streams: BTreeMap::new() };
    let mut missing = Vec::new();
    for subject in &config.subjects {
        let Some(info) = covering(api, subject).await? else {
            missing.push(subject.clone());
            continue;
        };
        let origin = Origin::of(&info);
        if !covered.streams.values().any(|checked| *checked == origin) {
            check(&info.config, config)?;
            warn_of_version(&api.connection.info.version, &info.config);
            if info.config.name != config.stream {
                tracing::info!(
                    component = "publisher",
                    stream = info.config.name,
                    subject,
                    "another stream covers the subject: it is used"
                );
            }
            covered.dedupe = covered.dedupe.min(info.config.dedupe());
        }
        covered.streams.insert(subject.clone(), origin);
    }
    if !missing.is_empty() {
        let made = make(api, config, &missing).await?;
        check(&made.config, config)?;
        warn_of_version(&api.connection.info.version, &made.config);
        covered.dedupe = covered.dedupe.min(made.config.dedupe());
        covered.streams.extend(missing.into_iter().map(|subject| (subject, Origin::of(&made))));
    }
    Ok(covered)
}

/// The stream that covers `subject`, if there is one.
pub(crate) async fn covering(api: &mut Api<'_>, subject: &str) -> Result<Option<StreamInfo>, Failure> {
    let doing = format!("looking for the stream of {subject}");
    let names = api.streams_covering(subject).await?.map_err(|error| error.into_failure(&doing))?;
    let Some(name) = names.first() else { return Ok(None) };
    match api.stream(name).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.err_code == api::STREAM_NOT_FOUND => Ok(None),
        Err(error) => Err(error.into_failure(&doing)),
    }
}

async fn make(api: &mut Api<'_>, config: &NatsBusConfig, subjects: &[String]) -> Result<StreamInfo, Failure> {
    let name = &config.stream;
    let window = nanos(config.least_dedupe());
    let made = json!({
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "duplicate_window": window,
        "max_age": config.max_age.map_or(0, nanos),
        "max_bytes": config.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        "max_msgs": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": config.replicas.unwrap_or(1),
    });
    let error = match api.create_stream(name, &made).await? {
        Ok(info) => {
            tracing::info!(component = "publisher", stream = name.as_str(), ?subjects, "the stream is made");
            return Ok(info);
        }
        Err(error) => error,
    };
    if ![api::STREAM_NAME_IN_USE, api::SUBJECTS_OVERLAP].contains(&error.err_code) {
        return Err(error.into_failure(&format!("making the stream {name}")));
    }
    // Somebody made it a moment ago, or it has been there for other subjects, such as those of another prefix.
    let doing = format!("making the stream {name}");
    let found = api.stream(name).await?.map_err(|_| error.into_failure(&doing))?;
    check(&found.config, config)?;
    let lacks = |subject: &&String| !found.config.subjects.iter().any(|pattern| matches(pattern, subject));
    let lacking: Vec<_> = subjects.iter().filter(lacks).cloned().collect();
    if lacking.is_empty() {
        return Ok(found);
    }
    add(api, name, &lacking).await
}

/// Gives the stream further subjects.
async fn add(api: &mut Api<'_>, name: &str, subjects: &[String]) -> Result<StreamInfo, Failure> {
    let doing = format!("giving the stream {name} the subjects {}", subjects.join(" and "));
    let mut settings = api.settings(name).await?.map_err(|error| error.into_failure(&doing))?;
    let all = settings["subjects"].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = all.into_iter().chain(subjects.iter().map(|subject| json!(subject))).collect();
    let listed = all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    settings["subjects"] = json!(all);
    match api.update_stream(name, &settings).await? {
        Ok(info) => {
            tracing::info!(
                component = "publisher",
                stream = name,
                ?subjects,
                "the stream has been given these subjects"
            );
            Ok(info)
        }
        Err(error) => {
            let failure = error.into_failure(&doing);
            let mend = format!("{failure}. Mend it with: nats stream edit {name} --subjects={}", quoted(&listed));
            Err(Failure::new(failure.kind, mend))
        }
    }
}

/// Whether a stream that is there can carry the subjects.
fn check(stream: &StreamConfig, config: &NatsBusConfig) -> Result<(), Failure> {
    let name = &stream.name;
    if stream.retention != "limits" {
        return Err(Failure::invalid(format!(
            "the stream {name} has {} retention: it removes messages that others still need; it must have limits retention. \
             That cannot be edited: remove the subjects {} from it, or give other ones with a prefix (BUS_PREFIX)",
            stream.retention,
            config.subjects.join(" and ")
        )));
    }
    if stream.no_ack {
        return Err(Failure::invalid(format!(
            "the stream {name} acknowledges nothing (no_ack). Mend it with: nats stream edit {name} --ack"
        )));
    }
    if stream.sealed {
        return Err(Failure::invalid(format!(
            "the stream {name} is sealed: it takes nothing more, and stays so; name another"
        )));
    }
    let least = config.least_dedupe();
    if stream.dedupe() < least {
        // The window cannot be longer than the age.
        let age = match stream.max_age {
            0 => String::new(),
            age if Duration::from_nanos(age) >= least => String::new(),
            _ => format!(" --max-age={}", written(least)),
        };
        return Err(Failure::invalid(format!(
            "the stream {name} drops a second message for {} only; {} are needed: the larger of 10m and four times the ring's \
             age of {}. Mend it with: nats stream edit {name}{age} --dupe-window={}",
            written(stream.dedupe()),
            written(least),
            written(config.ring_age),
            written(least)
        )));
    }
    warn(stream, config);
    Ok(())
}

/// What weakens the bus and is the operator's choice.
fn warn(stream: &StreamConfig, config: &NatsBusConfig) {
    let name = &stream.name;
    if stream.max_msgs_per_subject > 0 {
        let kept = stream.max_msgs_per_subject;
        tracing::warn!(
            component = "publisher",
            stream = name.as_str(),
            kept,
            "the stream keeps only so many messages of each subject"
        );
    }
    if stream.storage != "file" {
        tracing::warn!(
            component = "publisher",
            stream = name.as_str(),
            "the stream is kept in memory: a restart loses it"
        );
    }
    if let Some(replicas) = config.replicas
        && stream.num_replicas < replicas
    {
        tracing::warn!(
            component = "publisher",
            stream = name.as_str(),
            "the stream has {} replicas and not {replicas}: nats stream edit {name} --replicas={replicas}",
            stream.num_replicas
        );
    }
}

/// A cluster of 2.9 elects leaders that lack what others have acknowledged, and then has it removed from them.
fn warn_of_version(version: &str, stream: &StreamConfig) {
    if stream.num_replicas > 1 && is_before_2_10(version) {
        tracing::warn!(
            component = "publisher",
            stream = stream.name.as_str(),
            version,
            "servers before 2.10 lose acknowledged messages of a stream with replicas when its leader changes: update them, or \
             keep one copy: nats stream edit {} --replicas=1",
            stream.name
        );
    }
}

fn is_before_2_10(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (2, 10))
}

/// Whether a stream's subject with wildcards covers `subject`.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration as the NATS command line takes it.
fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds % 3600, seconds % 60) {
        _ if seconds == 0 || span.subsec_nanos() != 0 => format!("{}ms", span.as_millis()),
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A word that a shell leaves as it is.
fn quoted(word: &str) -> String {
    if word.contains(['*', '>', ' ', '$']) { format!("'{word}'") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut StreamConfig)) -> Option<String> {
        let config = NatsBusConfig::parse("nats://h").unwrap();
        let mut stream = StreamConfig {
            name: "CHAT".into(),
            retention: "limits".into(),
            storage: "file".into(),
            duplicate_window: 2_400_000_000_000,
            num_replicas: 1,
            ..StreamConfig::default()
        };
        change(&mut stream);
        check(&stream, &config).err().map(|failure| failure.to_string())
    }

    /// What does not fit is refused with the command that mends it, to the letter.
    #[test]
    fn refusals_hold_the_command_that_mends() {
        assert_eq!(refusal(|_| {}), None);
        let short = refusal(|stream| stream.duplicate_window = 120_000_000_000).unwrap();
        assert!(short.ends_with("nats stream edit CHAT --dupe-window=40m"), "{short}");
        let aged =
            refusal(|stream| (stream.duplicate_window, stream.max_age) = (60_000_000_000, 600_000_000_000)).unwrap();
        assert!(aged.ends_with("nats stream edit CHAT --max-age=40m --dupe-window=40m"), "{aged}");
        assert!(refusal(|stream| stream.no_ack = true).unwrap().ends_with("nats stream edit CHAT --ack"));
        for retention in ["workqueue", "interest"] {
            let text = refusal(|stream| stream.retention = retention.into()).unwrap();
            assert!(text.contains(retention) && text.contains("limits"), "{text}");
        }
        assert!(refusal(|stream| stream.sealed = true).is_some());
    }

    /// Versions are compared as numbers, and one that is not understood is not warned of.
    #[test]
    fn versions_before_2_10_are_known() {
        for (version, before) in [("2.9.10", true), ("2.2.0", true), ("1.4.1", true), ("2.10.0", false), ("3.0", false)]
        {
            assert_eq!(is_before_2_10(version), before, "{version}");
        }
        assert!(!is_before_2_10("") && !is_before_2_10("dev") && !is_before_2_10("2.x"));
    }

    /// Wildcards cover what NATS says they cover.
    #[test]
    fn wildcards_cover() {
        for (pattern, subject, covers) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
            ("a.>", "a", false),
            ("a.*", "a.b.c", false),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(matches(pattern, subject), covers, "{pattern} {subject}");
        }
    }

    /// Durations are as short as the command line reads them back.
    #[test]
    fn durations_are_written_short() {
        let shown = |seconds| written(Duration::from_secs(seconds));
        assert_eq!([shown(2400), shown(7200), shown(90), shown(0)], ["40m", "2h", "90s", "0ms"]);
    }
}
