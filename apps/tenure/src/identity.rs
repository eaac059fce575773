//! The default name of this instance, and random numbers for its nonces.

/// `{K_SERVICE}:{K_REVISION}:{suffix}` on Cloud Run, else the host's name and a random suffix.
pub(crate) fn instance() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name(|name| std::env::var(name).ok(), &host, random())
}

fn name(env: impl Fn(&str) -> Option<String>, host: &str, random: u64) -> String {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    match (given("K_SERVICE"), given("K_REVISION")) {
        (Some(service), revision) => {
            format!("{service}:{}:{random:016x}", revision.as_deref().unwrap_or("unknown"))
        }
        _ => format!("{host}:{random:016x}"),
    }
}

pub(crate) use tenure::random;

#[cfg(test)]
mod tests {
    use super::*;

    /// On Cloud Run the name says service and revision, elsewhere the host; the suffix tells instances apart.
    #[test]
    fn the_name_says_where_it_runs() {
        let cloud = |name: &str| match name {
            "K_SERVICE" => Some("chat".to_owned()),
            "K_REVISION" => Some("chat-00042".to_owned()),
            _ => None,
        };
        assert_eq!(name(cloud, "vm", 1), "chat:chat-00042:0000000000000001");
        assert_eq!(name(|_| None, "vm", 2), "vm:0000000000000002");
        assert_ne!(random(), random());
    }
}
