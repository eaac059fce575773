//! Says which store and which bus are used and where they were named, and checks the files that name them.

use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use super::finding::Finding;
use crate::config_file::Source;
use crate::host_settings::HostSettings;
use crate::store::StoreArgs;

/// The store and the bus with their sources, and what is wrong with the files. One that cannot be used fails.
pub(super) fn check(store: &StoreArgs, bus: Option<&str>) -> Vec<Finding> {
    let remedy = "mend the line, or set TENURE_CONFIG= to do without the files for everybody";
    let host = match HostSettings::load() {
        Ok(host) => host,
        Err(error) => return vec![Finding::failed("settings", &error, remedy)],
    };
    let used = |what: &str, named: Result<(String, Source)>, shown: fn(&str) -> String| {
        // What cannot be used is told by the check of the store, or of the bus.
        let (url, source) = named.ok()?;
        Some(Finding::ok("settings", format!("{what} {} (from {source})", shown(&url))))
    };
    let bus = crate::bus::named(bus).and_then(|(url, source)| {
        anyhow::ensure!(source != Source::Default, "nobody named it, and perhaps nobody wants one");
        Ok((url, source))
    });
    let mut findings = Vec::new();
    findings.extend(used("store", store.named(), tenure_open::shown));
    findings.extend(used("bus", bus, tenure_bus_open::shown));
    findings.extend(host.files().iter().filter_map(|file| {
        let mode = std::fs::metadata(file).ok()?.mode();
        let file = file.display().to_string();
        rights(&file, mode, has_secret(host, &file))
    }));
    findings
}

/// Whether a value of this file is not shown as it stands there.
fn has_secret(host: &HostSettings, file: &str) -> bool {
    let hides = |key: &str, shown: fn(&str) -> String| {
        let of_file = |source: &Source| matches!(source, Source::File { path, .. } if path == file);
        host.get(key).is_some_and(|(url, source)| of_file(source) && shown(url) != *url)
    };
    hides("store", tenure_open::shown) || hides("bus", tenure_bus_open::shown)
}

/// What is wrong with the rights of a file.
fn rights(file: &str, mode: u32, has_secret: bool) -> Option<Finding> {
    if mode & 0o002 != 0 {
        let text = format!("everybody on this machine can write {file}, and so say which store is used");
        return Some(Finding::warn("settings", text, format!("chmod o-w {file}")));
    }
    if mode & 0o004 != 0 && has_secret {
        let text = format!("everybody on this machine can read the password in {file}");
        let remedy = format!("chmod o-r {file}, with a group of those who need it, and change the password");
        return Some(Finding::warn("settings", text, remedy));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a file that holds a password has to be kept from readers; none may be written by everybody.
    #[test]
    fn rights_matter_where_they_do_harm() {
        assert_eq!(rights("f", 0o100_644, false), None);
        assert_eq!(rights("f", 0o100_640, true), None);
        assert!(rights("f", 0o100_644, true).unwrap().text.contains("password"));
        assert!(rights("f", 0o100_666, false).unwrap().remedy.unwrap().contains("chmod o-w f"));
    }
}
