//! Durations and sizes as nginx users write them: `"500ms"`, `"1h30m"`, `"8k"`.
//!
//! A bare number is refused for a duration: nginx reads `5` as seconds, systemd as seconds, HAProxy
//! as milliseconds, and a file that is copied between them must not change its meaning in silence.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Parses `"20s"`, `"500ms"`, `"1h30m"`; units ms, s, m, h, d, w.
///
/// # Errors
/// What is wrong with the text, as a fragment that follows the key's name.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty; write a number and a unit, such as \"20s\"".to_owned());
    }
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, after) =
            leading_number(rest).ok_or_else(|| format!("is not a duration: \"{text}\""))?;
        let unit_len = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(format!("has no unit: \"{text}\""));
        }
        let factor = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| format!("has an unknown unit: `{unit}`"))?;
        millis = number
            .checked_mul(factor)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(|| format!("is too long: \"{text}\""))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

/// Parses `"8k"`, `"1m"`, `"2g"` or a number of bytes.
///
/// # Errors
/// What is wrong with the text, as a fragment that follows the key's name.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit) =
        leading_number(text).ok_or_else(|| format!("is not a size: \"{text}\""))?;
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        unit => return Err(format!("has an unknown unit: `{unit}`")),
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("is too large: \"{text}\""))
}

/// Help lines for the two, shown below a fault.
pub(super) const DURATION_HELP: &str =
    "a duration is a number and a unit (ms, s, m, h, d): \"500ms\", \"20s\", \"1h30m\"";
pub(super) const SIZE_HELP: &str =
    "a size is a number of bytes, or a number and k, m or g: \"8k\", \"100m\"";

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("20s", 20_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("0s", 0),
            ("2d", 172_800_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "5x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615h",
            "5s5",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("8k", 8192),
            ("1M", 1 << 20),
            ("2gb", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1x", "-1", "99999999999g"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
