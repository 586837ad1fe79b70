//! The time of day as headers and logs write it, formatted at most once a second for each worker.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Formats of the current second. One for each thread.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
    cached: RefCell<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    second: u64,
    http_date: String,
    combined: String,
    rfc3339: String,
}

impl Clock {
    /// A clock in the system's time zone.
    pub fn new() -> Self {
        Self::in_zone(TimeZone::system())
    }

    fn in_zone(zone: TimeZone) -> Self {
        Self {
            zone,
            cached: RefCell::default(),
        }
    }

    /// Appends the `Date` of now: `Fri, 20 Nov 2026 10:13:00 GMT` (RFC 9110 section 5.6.7).
    pub fn write_http_date(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.now().http_date.as_bytes());
    }

    /// Appends nginx's `$time_local`: `20/Nov/2026:10:13:00 +0000`.
    pub fn write_combined(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.now().combined.as_bytes());
    }

    /// Appends `2026-11-20T10:13:00+00:00`, local time with its offset.
    pub fn write_rfc3339(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.now().rfc3339.as_bytes());
    }

    fn now(&self) -> std::cell::Ref<'_, Cached> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.at(since.as_secs())
    }

    fn at(&self, second: u64) -> std::cell::Ref<'_, Cached> {
        if self.cached.borrow().second != second {
            *self.cached.borrow_mut() = Cached::format(second, &self.zone);
        }
        self.cached.borrow()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Cached {
    fn format(second: u64, zone: &TimeZone) -> Self {
        let stamp = i64::try_from(second)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .unwrap_or_default();
        let local = Zoned::new(stamp, zone.clone());
        Self {
            second,
            http_date: stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            combined: local.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            rfc3339: local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }
}

/// The local time of day after `lasting`, for messages: `10:15:20`.
pub fn time_of_day_in(lasting: Duration) -> String {
    let now = Zoned::now();
    let then = now.checked_add(lasting).unwrap_or(now);
    then.strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_in_each_format() {
        let clock = Clock::in_zone(TimeZone::fixed(jiff::tz::offset(8)));
        let cached = clock.at(1_795_169_580);
        assert_eq!(cached.http_date, "Fri, 20 Nov 2026 10:13:00 GMT");
        assert_eq!(cached.combined, "20/Nov/2026:18:13:00 +0800");
        assert_eq!(cached.rfc3339, "2026-11-20T18:13:00+08:00");
    }
}
