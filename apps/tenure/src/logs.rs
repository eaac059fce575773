//! Structured logs: one JSON object a line for machines, readable lines for people, always on stderr.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::StderrWriter;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// JSON unless stderr is a terminal.
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "auto" => Ok(Format::Auto),
            "json" => Ok(Format::Json),
            "text" => Ok(Format::Text),
            other => Err(format!("{other:?} is not auto, json or text")),
        }
    }
}

/// The levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What can be logged by itself: the crates that log, those of others last.
const TARGETS: &[&str] = &[
    "tenure",
    "tenure_base_http",
    "tenure_base_kubernetes",
    "tenure_base_nats",
    "tenure_base_postgres",
    "tenure_base_sqlite",
    "tenure_bus_nats",
    "tenure_bus_sqlite",
    "tenure_ingest",
    "tenure_kubernetes",
    "tenure_redis",
    "tenure_sqlite",
    "tenure_store",
    "tenure_supervise",
    "tenure_twitch",
    "tenure_twitch_sim",
    "mio",
    "rustls",
    "rustls_platform_verifier",
    "tokio_tungstenite",
    "tungstenite",
];

/// Checks a filter: a level, or `TARGET=LEVEL`, several of them divided by commas. `tracing` itself takes any word for a target, and a
/// mistyped level would silently log everything or nothing.
pub(crate) fn check_filter(text: &str) -> Result<(), String> {
    for directive in text.split(',').map(str::trim) {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target), Some(level)),
            None if is_target(directive) => (Some(directive), None),
            None => (None, Some(directive)),
        };
        if let Some(target) = target.filter(|target| !is_target(target)) {
            let known = TARGETS.join(", ");
            return Err(format!("{target:?} is nothing that logs: write a level, or TARGET=LEVEL with one of {known}"));
        }
        if let Some(level) = level.filter(|level| !LEVELS.contains(&level.to_ascii_lowercase().as_str())) {
            let near = |known: &&&str| strsim::jaro_winkler(known, level);
            let nearest =
                LEVELS.iter().max_by(|one, other| near(one).total_cmp(&near(other))).filter(|level| near(level) > 0.7);
            let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            let levels = LEVELS.join(", ");
            return Err(format!(
                "{level:?} is no level: there are {levels}, also as TARGET=LEVEL, as tenure_ingest=debug{hint}"
            ));
        }
    }
    targets(text).map(drop).map_err(|error| format!("{text:?} is no filter: {error}"))
}

/// Whether this is a crate that logs, or a module of one.
fn is_target(text: &str) -> bool {
    let (root, modules) = text.split_once("::").map_or((text, ""), |(root, modules)| (root, modules));
    TARGETS.contains(&root) && modules.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Whether logs are written as JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether logs are written, and as JSON: then nothing else should be on stderr.
pub(crate) fn are_json() -> bool {
    JSON.load(Ordering::Acquire)
}

/// Starts logging to stderr. `filter` is one that [`check_filter`] takes; a wrong one falls back to `info`, and says so.
pub(crate) fn start(filter: &str, format: Format, service: &str) {
    let (filter, wrong) = match targets(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let json = match format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    JSON.store(json, Ordering::Release);
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(|| StderrWriter);
    // A second call is a programming error, but it must not end the program.
    let started = if json {
        builder.event_format(JsonLines { service: service.to_owned() }).finish().with(filter).try_init()
    } else {
        builder.with_target(false).with_ansi(false).finish().with(filter).try_init()
    };
    if let Err(error) = started {
        say!("tenure: logging was started twice: {error}");
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "the log filter is not valid; using info");
    }
}

/// The filter in this text. `EnvFilter` could filter by fields as well, and would bring a library of regular expressions.
fn targets(text: &str) -> Result<Targets, ParseError> {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",").parse()
}

/// Writes the fields that log collectors look for: `severity`, `service`, `component`, and what the event brings.
struct JsonLines {
    service: String,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        fields.0.insert("timestamp".into(), jiff::Timestamp::now().to_string().into());
        fields.0.insert("severity".into(), severity(*event.metadata().level()).into());
        fields.0.insert("service".into(), self.service.as_str().into());
        fields.0.insert("component".into(), component(event.metadata().target()).into());
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// The crate that logs; used where the event names no component itself.
fn component(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A level, a target and its level, and several of them are filters; a mistyped word is none, and the error says what there is.
    #[test]
    fn a_mistyped_filter_is_refused() {
        for filter in
            ["info", "WARN", "off", "tenure_ingest=debug", "info,tenure::telemetry=trace,rustls=off", "tenure_twitch"]
        {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for (filter, words) in [
            ("inof", &["\"inof\"", "off, error, warn, info, debug, trace", "did you mean info?"][..]),
            ("warning", &["did you mean warn?"]),
            ("", &["off, error"]),
            ("info,", &["off, error"]),
            ("hunter=debug", &["\"hunter\"", "tenure_ingest"]),
            ("tenure_ingest=loud", &["\"loud\"", "off, error"]),
            ("publisher=debug", &["nothing that logs", "tenure_ingest"]),
            ("tenure::[=debug", &["nothing that logs"]),
        ] {
            let why = check_filter(filter).unwrap_err();
            assert!(words.iter().all(|word| why.contains(word)), "{filter}: {why}");
        }
    }

    /// Every crate of this project that logs can be named.
    #[test]
    fn every_crate_that_logs_is_a_target() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manifests = ["apps", "base", "buses", "chat", "lease", "stores"].into_iter().flat_map(|folder| {
            let folder = std::fs::read_dir(root.join(folder)).unwrap();
            folder.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).ok())
        });
        for manifest in manifests.filter(|manifest| manifest.contains("\ntracing.workspace")) {
            let name = manifest.split("name = \"").nth(1).unwrap().split('"').next().unwrap().replace('-', "_");
            // The binary of `tenure-cli` is a crate named `tenure`.
            assert!(name == "tenure_cli" || TARGETS.contains(&name.as_str()), "{name} logs, and is no target");
        }
    }
}
