//! How an access line looks.
//!
//! `combined` begins exactly as nginx's does, so that tools which read that go on working, and adds
//! `key=value` pairs after it. Attempts stand in nginx's manner: servers, results and times each as
//! one list, separated by `, `.

use std::time::Duration;

use super::{
    access_record::{AccessRecord, Attempt, AttemptResult, LineFormat},
    clock::Clock,
    text::{write_ip, write_number},
};

impl LineFormat {
    /// Appends `record` as one line.
    pub fn write(self, out: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &Clock) {
        match self {
            Self::Combined => write_combined(out, record, clock),
            Self::Json => write_json(out, record, clock),
        }
    }
}

/// Appends `record` as one line of nginx's `combined`, with lbd's additions.
fn write_combined(out: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &Clock) {
    write_ip(out, record.client);
    out.extend_from_slice(b" - - [");
    clock.write_combined(out);
    out.extend_from_slice(b"] \"");
    // A request line that could not be read is shown as it came, and streams have no version.
    if !record.method.is_empty() {
        write_escaped(out, record.method);
        out.push(b' ');
    }
    write_escaped(out, record.target);
    if !record.version.is_empty() {
        out.push(b' ');
        out.extend_from_slice(record.version.as_bytes());
    }
    out.extend_from_slice(b"\" ");
    write_number(out, record.status.into());
    out.push(b' ');
    write_number(out, record.bytes);
    for field in [record.referer, record.user_agent] {
        out.push(b' ');
        write_quoted(out, field);
    }
    out.extend_from_slice(b" host=");
    write_quoted(out, record.host);
    out.extend_from_slice(b" id=");
    write_escaped(out, or_dash(record.request_id));
    if let Some(trace) = record.trace {
        out.extend_from_slice(b" trace=");
        write_escaped(out, trace);
    }
    out.extend_from_slice(b" time=");
    write_seconds(out, record.duration);
    if let Some(received) = record.received {
        out.extend_from_slice(b" received=");
        write_number(out, received);
    }
    if let Some(pool) = record.pool {
        out.extend_from_slice(b" pool=");
        write_escaped(out, pool.as_bytes());
        write_attempts(out, record.attempts);
    }
    out.push(b'\n');
}

fn write_attempts(out: &mut Vec<u8>, attempts: &[Attempt]) {
    out.extend_from_slice(b" servers=");
    write_list(out, attempts, |out, attempt| {
        write_escaped(out, attempt.server.as_bytes())
    });
    out.extend_from_slice(b" results=");
    write_list(out, attempts, |out, attempt| match attempt.result {
        AttemptResult::Status(status) => write_number(out, status.into()),
        AttemptResult::Failed(reason) => out.extend_from_slice(reason.as_bytes()),
        AttemptResult::Abandoned => out.extend_from_slice(ABANDONED.as_bytes()),
    });
    out.extend_from_slice(b" times=");
    write_list(out, attempts, |out, attempt| {
        write_seconds(out, attempt.total)
    });
}

const ABANDONED: &str = "client left";

fn write_list(out: &mut Vec<u8>, attempts: &[Attempt], write: impl Fn(&mut Vec<u8>, &Attempt)) {
    out.push(b'"');
    for (i, attempt) in attempts.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        write(out, attempt);
    }
    out.push(b'"');
}

/// Appends `record` as one JSON object and a line break.
fn write_json(out: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &Clock) {
    out.extend_from_slice(b"{\"time\":\"");
    clock.write_rfc3339(out);
    out.extend_from_slice(b"\",\"client\":\"");
    write_ip(out, record.client);
    out.push(b'"');
    json_text(out, "method", Some(record.method));
    json_text(out, "target", Some(record.target));
    json_text(out, "version", Some(record.version.as_bytes()));
    json_key(out, "status");
    write_number(out, record.status.into());
    json_key(out, "bytes");
    write_number(out, record.bytes);
    if let Some(received) = record.received {
        json_key(out, "received");
        write_number(out, received);
    }
    json_text(out, "referer", record.referer);
    json_text(out, "user_agent", record.user_agent);
    json_text(out, "host", record.host);
    json_text(out, "request_id", Some(record.request_id));
    if record.trace.is_some() {
        json_text(out, "trace", record.trace);
    }
    json_key(out, "duration");
    write_seconds(out, record.duration);
    json_text(out, "pool", record.pool.map(str::as_bytes));
    json_key(out, "attempts");
    out.push(b'[');
    for (i, attempt) in record.attempts.iter().enumerate() {
        out.extend_from_slice(if i == 0 {
            b"{\"server\":"
        } else {
            b",{\"server\":"
        });
        json_string(out, attempt.server.as_bytes());
        json_key(out, "result");
        match attempt.result {
            AttemptResult::Status(status) => write_number(out, status.into()),
            AttemptResult::Failed(reason) => json_string(out, reason.as_bytes()),
            AttemptResult::Abandoned => json_string(out, ABANDONED.as_bytes()),
        }
        json_seconds(out, "connect", attempt.connect);
        json_seconds(out, "header", attempt.header);
        json_seconds(out, "total", Some(attempt.total));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}\n");
}

fn json_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn json_text(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    json_key(out, key);
    match value {
        Some(value) => json_string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn json_seconds(out: &mut Vec<u8>, key: &str, value: Option<Duration>) {
    json_key(out, key);
    match value {
        Some(value) => write_seconds(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// Bytes that are not UTF-8 become U+FFFD: a JSON document has no other way to hold them.
fn json_string(out: &mut Vec<u8>, value: &[u8]) {
    let at = out.len();
    if serde_json::to_writer(&mut *out, &String::from_utf8_lossy(value)).is_err() {
        // Writing a string into memory cannot fail; a line must stay a line if it ever does.
        out.truncate(at);
        out.extend_from_slice(b"\"\"");
    }
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

fn write_quoted(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(b'"');
    write_escaped(out, or_dash(value.unwrap_or_default()));
    out.push(b'"');
}

/// nginx's escaping: a quote, a backslash and every byte that is not printable ASCII as `\xHH`, so
/// that no client can end a line or forge a field.
fn write_escaped(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_plain = |b: &u8| (b' '..0x7f).contains(b) && *b != b'"' && *b != b'\\';
    if value.iter().all(is_plain) {
        return out.extend_from_slice(value);
    }
    for b in value {
        if is_plain(b) {
            out.push(*b);
        } else {
            out.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(b >> 4)],
                HEX[usize::from(b & 15)],
            ]);
        }
    }
}

/// Seconds with milliseconds, as nginx writes times: `0.004`.
fn write_seconds(out: &mut Vec<u8>, time: Duration) {
    write_number(out, time.as_secs());
    let millis = time.subsec_millis();
    out.push(b'.');
    for digit in [millis / 100, millis / 10 % 10, millis % 10] {
        out.push(b"0123456789"[digit as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(attempts: &[Attempt]) -> AccessRecord<'_> {
        AccessRecord {
            client: "10.0.0.9".parse().unwrap(),
            method: b"GET",
            target: b"/a?q=\"\n",
            version: "HTTP/1.1",
            status: 200,
            bytes: 12,
            received: None,
            referer: None,
            user_agent: Some(b"curl/7.88"),
            host: Some(b"hq:8100"),
            trace: None,
            request_id: b"ab12",
            duration: Duration::from_micros(1_004_900),
            pool: Some("app_a"),
            attempts,
        }
    }

    fn attempts() -> [Attempt; 2] {
        let attempt = Attempt {
            server: "10.0.0.1:1".into(),
            result: AttemptResult::Failed("connection refused"),
            connect: None,
            header: None,
            total: Duration::from_millis(1),
        };
        let second = Attempt {
            server: "10.0.0.2:1".into(),
            result: AttemptResult::Status(200),
            connect: Some(Duration::ZERO),
            header: Some(Duration::from_millis(3)),
            ..attempt
        };
        [attempt, second]
    }

    #[test]
    fn combined_is_nginx_s_line_and_every_attempt() {
        let mut out = Vec::new();
        write_combined(&mut out, &record(&attempts()), &Clock::new());
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with("10.0.0.9 - - ["), "{line}");
        assert!(
            line.ends_with(
                "] \"GET /a?q=\\x22\\x0A HTTP/1.1\" 200 12 \"-\" \"curl/7.88\" host=\"hq:8100\" id=ab12 time=1.004 \
                 pool=app_a servers=\"10.0.0.1:1, 10.0.0.2:1\" results=\"connection refused, 200\" times=\"0.001, 0.001\"\n"
            ),
            "{line}"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut out = Vec::new();
        write_json(&mut out, &record(&attempts()), &Clock::new());
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["target"], "/a?q=\"\n");
        assert_eq!(value["attempts"][0]["result"], "connection refused");
        assert_eq!(value["attempts"][1]["result"], 200);
        assert_eq!(value["attempts"][0]["connect"], serde_json::Value::Null);
        assert_eq!(value["duration"], 1.004);
    }

    proptest::proptest! {
        #[test]
        fn no_field_can_end_a_line(target in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            write_combined(&mut out, &AccessRecord { target: &target, ..record(&[]) }, &Clock::new());
            assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            write_json(&mut out, &AccessRecord { target: &target, ..record(&[]) }, &Clock::new());
            assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 2);
        }
    }
}
