//! Recognizes the notices by which a server refuses attempts that come too fast.

use crate::Message;

/// Whether this NOTICE says that something came too often. Twitch documents no wording, so these are the common
/// wordings of servers.
pub(super) fn is_rate_limit_notice(notice: &Message<'_>) -> bool {
    const WORDINGS: [&[u8]; 6] =
        [b"rate limit", b"ratelimit", b"rate_limit", b"rate exceeded", b"too many", b"too fast"];
    let said = |text: &[u8]| WORDINGS.iter().any(|wording| contains(text, wording));
    // An account that is in too many rooms is not asking too fast.
    let id = notice.tags().get(b"msg-id").unwrap_or_default();
    id != b"msg_concurrent_channel_limit_reached" && (said(id) || said(notice.text().unwrap_or_default()))
}

/// Whether the text contains the wording; ASCII case does not matter.
fn contains(text: &[u8], wording: &[u8]) -> bool {
    text.windows(wording.len()).any(|part| part.eq_ignore_ascii_case(wording))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such a notice is known by its id or by its sentence, in any case; other notices are about something else.
    #[test]
    fn it_is_rate_limit_notice_by_id_or_sentence() {
        for (line, told) in [
            ("NOTICE * :Login Rate Limit exceeded", true),
            ("@msg-id=msg_ratelimit NOTICE #a :no", true),
            ("NOTICE * :Too many login attempts", true),
            ("NOTICE * :Login authentication failed", false),
            ("@msg-id=msg_concurrent_channel_limit_reached NOTICE #a :You are in too many channels", false),
            ("NOTICE *", false),
        ] {
            assert_eq!(is_rate_limit_notice(&crate::parse(line.as_bytes()).unwrap()), told, "{line}");
        }
    }
}
