//! Numbers as people read them.

/// `12 s`, `5 min`, `3 h`, `12 d`: the two digits that matter.
pub(super) fn lasting(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{seconds:.0} s")
    } else if seconds < 6000.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.0} h", seconds / 3600.0)
    } else {
        format!("{:.0} d", (seconds / 86_400.0).floor())
    }
}

/// `1234`, `56.7k`, `8.9M`.
pub(super) fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{:.1}G", number as f64 / 1e9),
    }
}

/// `0.7`, `12`, and nothing for what is not known.
pub(super) fn milliseconds(number: Option<f64>) -> String {
    match number {
        None => String::new(),
        Some(number) if number < 10.0 => format!("{number:.1}"),
        Some(number) => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let times = [0.4, 99.0, 100.0, 7_000.0, 200_000.0].map(lasting);
        assert_eq!(times, ["0 s", "99 s", "2 min", "2 h", "2 d"]);
        let counts = [9_999, 56_700, 8_900_000, 2_000_000_000].map(count);
        assert_eq!(counts, ["9999", "56.7k", "8.9M", "2.0G"]);
        let times = [None, Some(0.66), Some(12.3)].map(milliseconds);
        assert_eq!(times, ["", "0.7", "12"]);
    }
}
