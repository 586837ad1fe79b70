//! gRPC: what a call needs that a request does not.
//!
//! A call's outcome stands in `grpc-status`, a trailer; its HTTP status is 200 even where it failed.
//! So lbd says its own failures there, too: a gRPC client makes nothing useful of a 502
//! (the gRPC project's PROTOCOL-HTTP2.md).

use std::time::Duration;

use http::{StatusCode, Version};

use super::{
    error::HttpError,
    message::{Fields, Name, RequestHead, ResponseHead},
};

/// What became of a call, as far as lbd says so (gRPC's status codes).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// Whether `request` is a call. gRPC-Web, which browsers speak, is not: its outcome stands in the body.
pub(super) fn is_call(request: &RequestHead) -> bool {
    request.version == Version::HTTP_2 && is_grpc(&request.fields)
}

fn is_grpc(fields: &Fields) -> bool {
    let rest = fields
        .get(Name::ContentType)
        .and_then(|kind| kind.strip_prefix(b"application/grpc"));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// How long the client waits for the call.
pub(super) fn timeout(request: &RequestHead) -> Option<Duration> {
    if !is_call(request) {
        return None;
    }
    parse_timeout(request.fields.get(Name::GrpcTimeout)?)
}

/// At most eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

/// Whether a peer has answered that it cannot take the call: at once, without a message.
pub(super) fn is_unavailable(response: &ResponseHead) -> bool {
    response.fields.get(Name::GrpcStatus) == Some(b"14") && is_grpc(&response.fields)
}

/// What an error of lbd's own means for a call.
pub(super) fn code_of(error: &HttpError) -> Code {
    match error.status() {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Code::Unimplemented,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        status if status.is_client_error() => Code::Internal,
        _ => Code::Unavailable,
    }
}

/// The trailer fields of a call that ends with `code`, because of `message`.
pub(super) fn trailers(code: Code, message: &str) -> Fields {
    let mut trailers = Fields::default();
    trailers.push(
        "grpc-status",
        itoa::Buffer::new().format(code as u8).as_bytes(),
    );
    trailers.push("grpc-message", &escaped(message));
    trailers
}

/// The trailer fields of a call whose server breaks off; `None` for what is no call.
pub(super) fn last_words(request: &RequestHead) -> Option<Fields> {
    is_call(request).then(|| trailers(Code::Unavailable, "the server broke off"))
}

/// Printable ASCII, and the rest by its hexadecimal digits.
pub(super) fn escaped(message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits_and_a_unit() {
        for (text, seconds) in [("1H", 3600.0), ("2M", 120.0), ("30S", 30.0), ("100m", 0.1)] {
            let timeout = parse_timeout(text.as_bytes()).unwrap();
            assert!((timeout.as_secs_f64() - seconds).abs() < 1e-9, "{text}");
        }
        assert_eq!(parse_timeout(b"5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse_timeout(b"5n"), Some(Duration::from_nanos(5)));
        for text in ["", "S", "5", "5s", "-5S", "123456789S", " 5S"] {
            assert_eq!(parse_timeout(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_ascii() {
        assert_eq!(escaped("a % b\n应"), b"a %25 b%0A%E5%BA%94");
    }
}
