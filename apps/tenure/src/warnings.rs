//! What stores warn of, for a command that keeps no log: a line each, like the command's own.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::StderrWriter;

/// Whose warnings concern whoever shares the store, and hold the whole sentence: a table that was dropped, a log that grows,
/// a right that is missing.
const WARNING: [&str; 2] = ["tenure_base_sqlite", "tenure_kubernetes"];
/// The same as a filter of logs.
pub(crate) const SOURCES: &str = "off,tenure_base_sqlite=warn,tenure_kubernetes=warn";

/// Says warnings on standard error from now on. Not to be called where a log was started.
pub(crate) fn start() {
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(|| StderrWriter);
    let filter = Targets::new().with_targets(WARNING.map(|source| (source, Level::WARN)));
    // Where a log is kept all the same, it has them.
    let _ = builder.event_format(Sentence).finish().with(filter).try_init();
}

/// The message alone, behind the program's name.
struct Sentence;

impl<S, N> FormatEvent<S, N> for Sentence
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut message = Message(String::new());
        event.record(&mut message);
        writeln!(writer, "tenure: {}", message.0)
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
