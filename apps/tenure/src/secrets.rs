//! What is shown of a URL: all but its password.

/// The URL with `***` for its password. Works on the text alone, so that a URL that is wrong in itself shows no password
/// either. A lone name before the `@` is a token in `nats:` URLs, and is hidden there.
pub(crate) fn without_secrets(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return without_slashes(value) };
    // A ? before the login's end belongs to the password.
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) if rest.contains('@') || !query.contains('@') => (rest, Some(query)),
        _ => (rest, None),
    };
    // A password may hold any sign, also an @ and a slash: the last @ ends it.
    let shown = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None if scheme == "nats" || scheme == "tls" => format!("***@{host}"),
            None => format!("{login}@{host}"),
        },
    };
    let query = query.map_or_else(String::new, |query| format!("?{}", hide(query)));
    format!("{scheme}://{shown}{query}")
}

/// A URL whose slashes were forgotten: whatever stands before an `@` may be a login.
fn without_slashes(value: &str) -> String {
    match value.split_once(':') {
        Some((scheme, rest)) if scheme != "sqlite" && rest.contains(['@', '?']) => {
            let (rest, query) = match rest.rsplit_once('?') {
                Some((rest, query)) if !query.contains('@') => (rest, format!("?{}", hide(query))),
                _ => (rest, String::new()),
            };
            match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}:***@{host}{query}"),
                None => format!("{scheme}:{rest}{query}"),
            }
        }
        _ => value.to_owned(),
    }
}

/// Hides the values of parameters whose names say that they are secret.
fn hide(query: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _))
            if ["pass", "secret", "token", "key"].iter().any(|word| name.to_ascii_lowercase().contains(word)) =>
        {
            format!("{name}=***")
        }
        _ => pair.to_owned(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No password is shown, wherever it stands and however odd it is; everything else stays.
    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        for (url, shown) in [
            ("redis://me:hunter2@host/0", "redis://me:***@host/0"),
            ("redis://:hunter2@host:6379", "redis://:***@host:6379"),
            ("postgres://me:hunter2@one:1,two:2/db", "postgres://me:***@one:1,two:2/db"),
            ("postgres://me:hun@ter/2@host:notaport/db", "postgres://me:***@host:notaport/db"),
            ("postgres://me:hunter2?x@host/db", "postgres://me:***@host/db"),
            (
                "postgres://me@host/db?password=hunter2&sslmode=require",
                "postgres://me@host/db?password=***&sslmode=require",
            ),
            ("nats://hunter2@host", "nats://***@host"),
            ("redis:me:hunter2@host", "redis:***@host"),
            ("redis:/me:hunter2@host/0", "redis:***@host/0"),
            ("redis:hunter2?x@host", "redis:***@host"),
            ("rediss:hunter2@host?password=x", "rediss:***@host?password=***"),
            ("redis:host?password=hunter2", "redis:host?password=***"),
            ("sqlite:/var/lib/x.db", "sqlite:/var/lib/x.db"),
            ("sqlite:/srv/a@b/x.db", "sqlite:/srv/a@b/x.db"),
            ("irc://127.0.0.1:6667", "irc://127.0.0.1:6667"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
