//! Finds, checks or creates the stream behind the subjects.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tenure_base_nats::{JetStream, NatsError, NatsErrorKind, ServerInfo, StreamConfig, StreamInfo, covers, error_code};

use crate::config::NatsBusConfig;
use crate::incarnation::Incarnation;

/// The streams behind the subjects.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// The shortest duplicate window of them.
    pub(crate) duplicate_window: Duration,
    /// Each subject's stream.
    pub(crate) by_subject: BTreeMap<String, Incarnation>,
}

impl Streams {
    fn none() -> Streams {
        Streams { duplicate_window: Duration::MAX, by_subject: BTreeMap::new() }
    }

    fn add(&mut self, subject: String, stream: &StreamInfo) {
        self.duplicate_window = self.duplicate_window.min(stream.config.duplicate_window());
        self.by_subject.insert(subject, Incarnation::of(stream));
    }
}

/// Makes sure that every subject of the configuration is covered by a stream that can carry it.
///
/// A stream that covers a subject is used whatever its name. Subjects that no stream covers go into the configured
/// stream: it is created if it is missing, and otherwise given the subjects. Nothing else of a stream is ever changed:
/// if one does not fit, the error holds the command that mends it.
pub(crate) async fn ensure(js: &mut JetStream<'_>, config: &NatsBusConfig) -> Result<Streams, NatsError> {
    let mut streams = Streams::none();
    let mut missing = Vec::new();
    for subject in &config.subjects {
        let Some(info) = covering(js, subject).await? else {
            missing.push(subject.clone());
            continue;
        };
        let stream = Incarnation::of(&info);
        if !streams.by_subject.values().any(|checked| *checked == stream) {
            check(&info.config, config)?;
            warn_of_version(js.connection.info(), &info.config);
            if info.config.name != config.stream {
                tracing::info!(
                    component = "publisher",
                    stream = info.config.name,
                    subject,
                    "another stream covers the subject: it is used"
                );
            }
        }
        streams.add(subject.clone(), &info);
    }
    if !missing.is_empty() {
        let made = make(js, config, &missing).await?;
        check(&made.config, config)?;
        warn_of_version(js.connection.info(), &made.config);
        missing.into_iter().for_each(|subject| streams.add(subject, &made));
    }
    Ok(streams)
}

/// Finds the first subject's stream, which must exist, and does not check it.
pub(crate) async fn find_first(js: &mut JetStream<'_>, config: &NatsBusConfig) -> Result<Streams, NatsError> {
    let mut streams = Streams::none();
    if let Some(subject) = config.subjects.first() {
        let Some(info) = covering(js, subject).await? else {
            let text = format!("there is no stream for {subject}; `tenure ingest` makes it");
            return Err(NatsError::new(NatsErrorKind::Unavailable, text));
        };
        streams.add(subject.clone(), &info);
    }
    Ok(streams)
}

/// The stream that covers `subject`, if there is one.
pub(crate) async fn covering(js: &mut JetStream<'_>, subject: &str) -> Result<Option<StreamInfo>, NatsError> {
    let doing = format!("looking for the stream of {subject}");
    let names = js.streams_covering(subject).await?.map_err(|error| error.into_error(&doing))?;
    let Some(name) = names.first() else { return Ok(None) };
    match js.stream(name).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.err_code == error_code::STREAM_NOT_FOUND => Ok(None),
        Err(error) => Err(error.into_error(&doing)),
    }
}

async fn make(js: &mut JetStream<'_>, config: &NatsBusConfig, subjects: &[String]) -> Result<StreamInfo, NatsError> {
    let name = &config.stream;
    let window = nanos(config.least_duplicate_window());
    let made = json!({
        "name": name,
        "subjects": subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "duplicate_window": window,
        "max_age": config.retention.max_age.map_or(0, nanos),
        "max_bytes": config.retention.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        "max_msgs": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": config.replicas.unwrap_or(1),
    });
    let error = match js.create_stream(name, &made).await? {
        Ok(info) => {
            tracing::info!(component = "publisher", stream = name.as_str(), ?subjects, "the stream is made");
            return Ok(info);
        }
        Err(error) => error,
    };
    if ![error_code::STREAM_NAME_IN_USE, error_code::SUBJECTS_OVERLAP].contains(&error.err_code) {
        return Err(error.into_error(&format!("making the stream {name}")));
    }
    // Another process made the stream a moment ago, or it has been there for other subjects, such as those of another
    // prefix.
    let doing = format!("making the stream {name}");
    let found = js.stream(name).await?.map_err(|_| error.into_error(&doing))?;
    check(&found.config, config)?;
    let lacks = |subject: &&String| !found.config.subjects.iter().any(|pattern| covers(pattern, subject));
    let lacking: Vec<_> = subjects.iter().filter(lacks).cloned().collect();
    if lacking.is_empty() {
        return Ok(found);
    }
    add(js, name, &lacking).await
}

/// Gives the stream further subjects.
async fn add(js: &mut JetStream<'_>, name: &str, subjects: &[String]) -> Result<StreamInfo, NatsError> {
    let doing = format!("giving the stream {name} the subjects {}", subjects.join(" and "));
    let mut settings = js.stream_settings(name).await?.map_err(|error| error.into_error(&doing))?;
    let all = settings["subjects"].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = all.into_iter().chain(subjects.iter().map(|subject| json!(subject))).collect();
    let listed = all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    settings["subjects"] = json!(all);
    match js.update_stream(name, &settings).await? {
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
            let error = error.into_error(&doing);
            let mend = format!("{error}. Mend it with: nats stream edit {name} --subjects={}", quoted(&listed));
            Err(NatsError::new(error.kind(), mend))
        }
    }
}

/// Checks that an existing stream can carry the subjects.
fn check(stream: &StreamConfig, config: &NatsBusConfig) -> Result<(), NatsError> {
    let name = &stream.name;
    if stream.retention != "limits" {
        return Err(NatsError::invalid(format!(
            "the stream {name} has {} retention: it removes messages that others still need; it must have limits retention. \
             That cannot be edited: remove the subjects {} from it, or give other ones with a prefix (BUS_PREFIX)",
            stream.retention,
            config.subjects.join(" and ")
        )));
    }
    if stream.no_ack {
        return Err(NatsError::invalid(format!(
            "the stream {name} acknowledges nothing (no_ack). Mend it with: nats stream edit {name} --ack"
        )));
    }
    if stream.sealed {
        return Err(NatsError::invalid(format!(
            "the stream {name} is sealed: it takes nothing more, and stays so; name another"
        )));
    }
    let least = config.least_duplicate_window();
    if stream.duplicate_window() < least {
        // The duplicate window cannot be longer than the age.
        let age = match stream.max_age {
            0 => String::new(),
            age if Duration::from_nanos(age) >= least => String::new(),
            _ => format!(" --max-age={}", written(least)),
        };
        return Err(NatsError::invalid(format!(
            "the stream {name} drops a second message for {} only; {} are needed: the larger of 10m and four times the ring's \
             age of {}. Mend it with: nats stream edit {name}{age} --dupe-window={}",
            written(stream.duplicate_window()),
            written(least),
            written(config.ring_age),
            written(least)
        )));
    }
    warn(stream, config);
    Ok(())
}

/// Warns of settings that weaken the bus. They are the operator's choice: nothing is refused for them.
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

/// Warns of servers before 2.10 where the stream has replicas: they elect leaders that lack messages which others have
/// acknowledged, and then remove those messages from the replicas that have them.
fn warn_of_version(server: &ServerInfo, stream: &StreamConfig) {
    if stream.num_replicas > 1 && server.is_before(2, 10) {
        tracing::warn!(
            component = "publisher",
            stream = stream.name.as_str(),
            version = server.version,
            "servers before 2.10 lose acknowledged messages of a stream with replicas when its leader changes: update them, or \
             keep one copy: nats stream edit {} --replicas=1",
            stream.name
        );
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Writes a duration as the NATS command line takes it.
fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds % 3600, seconds % 60) {
        _ if seconds == 0 || span.subsec_nanos() != 0 => format!("{}ms", span.as_millis()),
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// Quotes a word where a shell would change it.
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
        check(&stream, &config).err().map(|error| error.to_string())
    }

    /// The error for a stream that does not fit holds the exact command that mends it.
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

    /// Durations are as short as the command line reads them back.
    #[test]
    fn durations_are_written_short() {
        let shown = |seconds| written(Duration::from_secs(seconds));
        assert_eq!([shown(2400), shown(7200), shown(90), shown(0)], ["40m", "2h", "90s", "0ms"]);
    }
}
