//! Checks whether the bus can be opened and what it promises; nothing in it is changed.

use std::time::Duration;

use tenure_bus::Subjects;

use super::file;
use super::finding::Finding;
use crate::config_file::Source;
use tenure_base_net::durations::short;

/// Checks the bus that was named, by the flag or elsewhere, or the default bus if it exists.
pub(super) async fn check(flag: Option<&str>) -> Vec<Finding> {
    let remedy = "name the bus as `tenure stores` shows it, and see that its folder or its server is there";
    let (url, source) = match crate::bus::named(flag) {
        Ok(named) => named,
        // Without a home there is no default bus, and where nobody named one nobody may want one.
        Err(_) if crate::places::default_bus().is_err() => return Vec::new(),
        Err(error) => return vec![Finding::failed("bus", &error, remedy)],
    };
    let shown = tenure_bus_open::shown(&url);
    let missing = match crate::bus::check(&url) {
        Ok(missing) => missing,
        Err(error) => return vec![Finding::failed("bus", &error, remedy)],
    };
    if missing && source == Source::Default {
        return vec![Finding::ok("bus", format!("{shown} is not there yet: `tenure ingest` makes it"))];
    }
    let subjects = Subjects::new(&std::env::var("BUS_PREFIX").unwrap_or_default());
    let bus = match crate::bus::open_to_read(&url, &subjects).await {
        Ok(bus) => bus,
        Err(error) => return vec![Finding::failed("bus", &error, remedy)],
    };
    let large_log = tenure_bus_open::file_of(&url).and_then(|path| file::large_log("bus", &path));
    let info = bus.info();
    let yes = |can: bool| if can { "yes" } else { "no" };
    let dedupe = match info.dedupe {
        None => "never".to_owned(),
        Some(Duration::MAX) => "as long as the first is kept".to_owned(),
        Some(span) => format!("for {}", short(span)),
    };
    let text = format!(
        "{shown} opens; second copies are dropped: {dedupe}; fence: {}; can be followed: {}",
        yes(info.fence),
        yes(info.follow)
    );
    if info.dedupe.is_none() || !info.follow {
        let weaker = Finding::warn(
            "bus",
            text,
            "only the leader can publish to such a bus, and a takeover can lose or repeat messages: use sqlite: or a \
             server's bus where that matters",
        );
        return vec![weaker];
    }
    std::iter::once(Finding::ok("bus", text)).chain(large_log).collect()
}
