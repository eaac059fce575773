//! The URL of a file: `SCHEME:PATH[?OPTIONS]`, where the path is taken as it is written.

use std::path::Path;

/// A URL that names a file, taken apart.
///
/// The path is not percent-decoded, and ends at the first `?`: what a shell completes can be put behind the colon. `//` in front
/// of it is passed over, as in `SCHEME:///PATH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileUrl<'a> {
    /// What stands before the colon.
    pub scheme: &'a str,
    /// The path, as it was given.
    pub path: &'a str,
    /// What stands behind the `?`; empty where there is none.
    pub options: &'a str,
}

impl<'a> FileUrl<'a> {
    /// Takes the URL apart; `None` where its scheme is another one. Nothing is looked for.
    pub fn parse(url: &'a str, scheme: &str) -> Option<FileUrl<'a>> {
        let (found, rest) = url.split_once(':').filter(|(found, _)| *found == scheme)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        Some(FileUrl { scheme: found, path, options })
    }

    /// The URL of the same file for whoever works in another folder. `None` where this folder is gone, or has a name that is no
    /// UTF-8.
    pub fn absolute(&self) -> Option<String> {
        let path = std::path::absolute(self.path).ok()?;
        let mark = if self.options.is_empty() { "" } else { "?" };
        Some(format!("{}:{}{mark}{}", self.scheme, path.to_str()?, self.options))
    }
}

/// The URL of the file at this path, without options.
pub fn url_of(scheme: &str, path: &Path) -> String {
    format!("{scheme}:{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path is what stands between the scheme and the options.
    #[test]
    fn the_file_of_a_url_is_found() {
        let file = |url| FileUrl::parse(url, "sqlite").map(|url| (url.path, url.options));
        assert_eq!(file("sqlite:a.db"), Some(("a.db", "")));
        assert_eq!(file("sqlite:/a b/%20.db"), Some(("/a b/%20.db", "")));
        assert_eq!(file("sqlite:///x/a.db?poll_ms=5&y"), Some(("/x/a.db", "poll_ms=5&y")));
        assert_eq!(file("redis://host/"), None);
        assert_eq!(file("sqlite"), None);
    }

    /// A relative path is bound to the folder of this moment; everything else stays.
    #[test]
    fn a_relative_path_is_made_absolute() {
        let here = std::env::current_dir().unwrap();
        for (url, path) in [("sqlite:x.db", "x.db"), ("sqlite:a/x.db?poll_ms=5", "a/x.db?poll_ms=5")] {
            let absolute = FileUrl::parse(url, "sqlite").unwrap().absolute().unwrap();
            assert_eq!(absolute, url_of("sqlite", &here.join(path)));
        }
        assert_eq!(FileUrl::parse("sqlite:///v/x.db", "sqlite").unwrap().absolute().unwrap(), "sqlite:/v/x.db");
    }
}
