//! What is shown of a URL: all but its password.

/// What the schemes of a program's URLs have of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schemes {
    /// Those whose URL is a path, shown as it is: there is no login in it.
    pub paths: &'static [&'static str],
    /// Those where a lone name before the `@` is a token, not a user.
    pub tokens: &'static [&'static str],
}

/// The URL with `***` for its password. Works on the text alone, so that a URL that is wrong in itself shows no password
/// either. Without slashes everything before the `@` may be a login, and is hidden. Where a login cannot be told from a
/// parameter, both are hidden.
pub fn without_secrets(value: &str, schemes: Schemes) -> String {
    let (scheme, slashes, rest) = match (value.split_once("://"), value.split_once(':')) {
        (Some((scheme, rest)), _) => (scheme, "//", rest),
        (None, Some((scheme, rest))) if !schemes.paths.contains(&scheme) => (scheme, "", rest),
        (None, None) if value.contains('@') => return "***".to_owned(),
        _ => return value.to_owned(),
    };
    if scheme.contains('@') {
        // No scheme has that sign: what stands before it may be a token, whose scheme was forgotten.
        return "***".to_owned();
    }
    // A password may hold any sign, also an @ and a slash: the last @ ends it.
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, _)) if login.split_once('?').is_some_and(|(_, more)| more.contains('=')) => {
            return format!("{scheme}:{slashes}***");
        }
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    let login = match login {
        None => String::new(),
        Some(_) if slashes.is_empty() => "***@".to_owned(),
        Some(login) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@"),
            None if schemes.tokens.contains(&scheme) => "***@".to_owned(),
            None => format!("{login}@"),
        },
    };
    match rest.split_once('?') {
        Some((host, query)) => format!("{scheme}:{slashes}{login}{host}?{}", hide(query)),
        None => format!("{scheme}:{slashes}{login}{rest}"),
    }
}

/// What may be repeated of a scheme that nobody knows: only what looks like one, as anything else may be a secret. Empty else.
pub fn shown_scheme(name: &str) -> &str {
    let is_like_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if name.len() <= 20 && name.chars().all(is_like_one) { name } else { "" }
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

    const SCHEMES: Schemes = Schemes { paths: &["sqlite"], tokens: &["nats", "tls"] };

    /// What looks like no scheme is not repeated.
    #[test]
    fn odd_schemes_are_not_shown() {
        assert_eq!(shown_scheme("mongodb+srv"), "mongodb+srv");
        for odd in ["hunter2@nats.example", "hunter2 and more", "a_word_of_more_than_twenty_letters", ""] {
            assert_eq!(shown_scheme(odd), "", "{odd}");
        }
    }

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
            ("redis:/host?password=hun?ter2", "redis:/host?password=***"),
            ("redis:host?password=a@hunter2", "redis:***"),
            ("redis://host:1?password=a@hunter2", "redis://***"),
            ("redis://me:hunter2@host?password=a@b", "redis://***"),
            ("redis://me:hunter2?x=1@host", "redis://***"),
            ("redis://me:hun@ter2?x@host", "redis://me:***@host"),
            ("sqlite:/var/lib/x.db", "sqlite:/var/lib/x.db"),
            ("sqlite:/srv/a@b/x.db", "sqlite:/srv/a@b/x.db"),
            ("irc://127.0.0.1:6667", "irc://127.0.0.1:6667"),
            ("hunter2@nats.example:4222", "***"),
            ("hunter2@nats.example", "***"),
            ("nats.example", "nats.example"),
        ] {
            assert_eq!(without_secrets(url, SCHEMES), shown);
        }
    }
}
