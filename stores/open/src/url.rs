//! What a store's URL says before it is opened: whether the store is a file, and which parts may be shown.

use std::path::{Path, PathBuf};

use tenure_base_net::disclosure::{Schemes, without_secrets};
use tenure_base_net::file_url::{self, FileUrl};
use tenure_base_net::query;

use crate::scheme::{FILE, KUBERNETES, MEMORY};

/// The file that the URL names; `None` where the store is not a file.
pub fn file_of(url: &str) -> Option<PathBuf> {
    FileUrl::parse(url, FILE).map(|url| url.path.into())
}

/// The URL of the store in the file at this path.
pub fn file_url(path: &Path) -> String {
    file_url::url_of(FILE, path)
}

/// The URL that names the same store from any working directory, options included; `None` where the URL is not about files,
/// or a path is unknown. Such a URL holds no login.
pub fn absolute(url: &str) -> Option<String> {
    match FileUrl::parse(url, KUBERNETES) {
        Some(cluster) => absolute_cluster(&cluster),
        None => FileUrl::parse(url, FILE)?.absolute(),
    }
}

/// What names a cluster may name the file that it is found by.
fn absolute_cluster(url: &FileUrl<'_>) -> Option<String> {
    let options =
        url.options.split('&').map(|option| match option.strip_prefix("kubeconfig=").and_then(query::decoded) {
            Some(path) => {
                let path = std::path::absolute(&*path).ok()?;
                // What the query would read otherwise is not put there.
                let path = path.to_str().filter(|path| !path.contains(['%', '&']))?;
                Some(format!("kubeconfig={path}"))
            }
            None => Some(option.to_owned()),
        });
    let options = options.collect::<Option<Vec<_>>>()?.join("&");
    let mark = if options.is_empty() { "" } else { "?" };
    Some(format!("{}:{}{mark}{options}", url.scheme, url.path))
}

/// The namespace whose leases the store keeps, empty where the URL leaves it to the cluster's configuration; `None` where a
/// store of this kind has no namespaces.
pub fn namespace_of(url: &str) -> Option<&str> {
    FileUrl::parse(url, KUBERNETES).map(|url| url.path.trim_end_matches('/'))
}

/// The URL of the same store for another namespace; as it is where a store of this kind has none.
pub fn in_namespace(url: &str, namespace: &str) -> String {
    match FileUrl::parse(url, KUBERNETES) {
        Some(FileUrl { scheme, options: "", .. }) => format!("{scheme}:{namespace}"),
        Some(FileUrl { scheme, options, .. }) => format!("{scheme}:{namespace}?{options}"),
        None => url.to_owned(),
    }
}

/// Whether the store lives in the process's own memory, so that every other process that opens this URL gets another
/// one.
pub fn is_private(url: &str) -> bool {
    url.split(':').next() == Some(MEMORY)
}

/// The URL with `***` for what may be a secret. Works on the text alone, even where the URL is wrong.
pub fn shown(url: &str) -> String {
    without_secrets(url, Schemes { paths: &[FILE], tokens: &["nats", "tls"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's URL is that of its path, and tells the path again.
    #[test]
    fn files_are_known() {
        let url = file_url(Path::new("/v/leases.db"));
        assert_eq!(file_of(&url), Some("/v/leases.db".into()));
        assert_eq!(absolute("sqlite:///v/x.db?poll_ms=5").as_deref(), Some("sqlite:/v/x.db?poll_ms=5"));
        assert_eq!((file_of("redis://h"), absolute("redis://h")), (None, None));
        assert!(is_private("memory:a") && !is_private(&url));
    }

    /// A cluster is the same from any folder, with the file that it is found by.
    #[test]
    fn clusters_are_known_from_anywhere() {
        let here = std::env::current_dir().unwrap();
        for (url, absolute_url) in [
            ("kubernetes:", "kubernetes:".to_owned()),
            ("kubernetes://team-a", "kubernetes:team-a".to_owned()),
            ("kubernetes:a?context=b&kubeconfig=/x/y", "kubernetes:a?context=b&kubeconfig=/x/y".to_owned()),
            ("kubernetes:a?kubeconfig=k%20y", format!("kubernetes:a?kubeconfig={}", here.join("k y").display())),
        ] {
            assert_eq!(absolute(url), Some(absolute_url), "{url}");
        }
    }

    /// A namespace is told, and exchanged, where there are namespaces.
    #[test]
    fn namespaces_are_exchanged() {
        assert_eq!(namespace_of("kubernetes:"), Some(""));
        assert_eq!(namespace_of("kubernetes:a?context=b"), Some("a"));
        assert_eq!(namespace_of("redis://h"), None);
        assert_eq!(in_namespace("kubernetes:a?context=b", "c"), "kubernetes:c?context=b");
        assert_eq!(in_namespace("kubernetes:", "c"), "kubernetes:c");
        assert_eq!(in_namespace("redis://h", "c"), "redis://h");
    }

    /// Passwords are hidden, paths are not.
    #[test]
    fn secrets_are_hidden() {
        assert_eq!(shown("redis://me:hunter2@host/0"), "redis://me:***@host/0");
        assert_eq!(shown("sqlite:/srv/a@b/x.db"), "sqlite:/srv/a@b/x.db");
    }
}
