//! Subjects, and the names of streams and domains: what a server takes.

use crate::error::ConfigError;

/// Whether messages can be published under `subject`: tokens between dots, none of them empty or a wildcard, no white
/// space, at most 1024 bytes.
pub fn check_subject(subject: &str) -> Result<(), ConfigError> {
    let is_token = |token: &str| !token.is_empty() && token != "*" && token != ">";
    let sound = subject.split('.').all(is_token) && !subject.contains(|c: char| c.is_whitespace() || c.is_control());
    if sound && subject.len() <= 1024 {
        return Ok(());
    }
    Err(ConfigError::new(format!(
        "{subject:?} is not a subject: tokens between dots, none of them empty, no spaces, no * or >; see the prefix"
    )))
}

/// Whether `pattern`, a subject that may have the wildcards `*` (one token) and `>` (one or more at the end), covers
/// `subject`.
pub fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether a stream or a domain can have this name: letters, digits, `-` and `_`, 1 to 255 bytes.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no subject is refused before anything is published.
    #[test]
    fn subjects_are_checked() {
        assert!(check_subject("prod.internal.ingress.v1").is_ok());
        for wrong in ["", ".internal", "a..b", "a b", "a.*", ">.a", "a\r\nPUB x"] {
            assert!(check_subject(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Wildcards cover what NATS says they cover.
    #[test]
    fn wildcards_cover() {
        for (pattern, subject, covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
            ("a.>", "a", false),
            ("a.*", "a.b.c", false),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(covers(pattern, subject), covered, "{pattern} {subject}");
        }
    }
}
