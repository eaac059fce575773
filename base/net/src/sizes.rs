//! Sizes as people write them: `64KiB`, `500MB`, `2GiB`.

/// What a size looks like, for errors.
pub const HINT: &str = "write a size, as 64KiB, 500MB, 1GB or 2GiB; a bare number is of bytes";

/// Reads a whole number of bytes, with a unit of ten (`KB MB GB TB`) or of two (`KiB MiB GiB TiB`) or none. `None` where it is no such
/// text, or more than a signed 64-bit number can count: servers count in those.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units of ten and of two; other texts are refused.
    #[test]
    fn sizes_are_read() {
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("1GB"), Some(1_000_000_000));
        assert_eq!(parse("2 MiB"), Some(2 << 20));
        assert_eq!(parse("17"), Some(17));
        assert_eq!(parse("300_000"), Some(300_000));
        for text in ["", "MB", "-1", "1.5GB", "1PB", "99999999999999999999", "9223372036854775807KB"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
