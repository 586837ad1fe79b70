//! `grpc.health.v1.Health/Check` (the gRPC health checking protocol).
//!
//! Both messages are a few bytes: a request with one string, an answer with one number.

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Version, header};

use super::{http2, probe::Probe};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Of `HealthCheckResponse.ServingStatus`.
const SERVING: u8 = 1;
/// More than any answer has.
const MOST: usize = 1025;

pub(super) async fn check(probe: &Probe<'_>, service: &str) -> Result<(), String> {
    let io = probe.connect(true).await?;
    let answer = http2::ask(io, request(probe)?, Some(ask(service)), MOST).await?;
    if answer.head.status() != http::StatusCode::OK {
        return Err(format!("answered {}", answer.head.status().as_u16()));
    }
    if answer.body.len() >= MOST {
        return Err("answered more than any health check says".to_owned());
    }
    // Without a message the status stands in front.
    let trailers = answer.trailers.as_ref();
    let trailers = trailers.unwrap_or_else(|| answer.head.headers());
    let status = trailers.get("grpc-status");
    match status.and_then(|status| status.to_str().ok()) {
        Some("0") => {}
        Some("12") => return Err("does not know grpc.health.v1 (grpc-status 12)".to_owned()),
        Some("5") => return Err("does not know the service (grpc-status 5)".to_owned()),
        Some(other) => return Err(format!("answered grpc-status {other}")),
        None => return Err("answered without grpc-status".to_owned()),
    }
    match serving_status(&answer.body) {
        Some(SERVING) => Ok(()),
        Some(2) => Err("is not serving".to_owned()),
        Some(3) => Err("does not know the service".to_owned()),
        _ => Err("does not say whether it serves".to_owned()),
    }
}

fn request(probe: &Probe<'_>) -> Result<Request<()>, String> {
    let (scheme, host) = (probe.scheme(), probe.host());
    Request::post(format!("{scheme}://{host}{PATH}"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())
        .map_err(|error| error.to_string())
}

/// `HealthCheckRequest { service }`, behind its length.
fn ask(service: &str) -> Bytes {
    let service = &service.as_bytes()[..service.len().min(127)];
    let mut message = BytesMut::new();
    let length = if service.is_empty() {
        0
    } else {
        service.len() + 2
    };
    message.put_u8(0);
    message.put_u32(length as u32);
    if !service.is_empty() {
        message.put_slice(&[0x0a, service.len() as u8]);
        message.put_slice(service);
    }
    message.freeze()
}

/// The number in `HealthCheckResponse { status }`, behind its length.
fn serving_status(message: &[u8]) -> Option<u8> {
    match message {
        [0, 0, 0, 0, 2, 0x08, status] => Some(*status),
        [0, 0, 0, 0, 0] => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_those_of_the_protocol() {
        assert_eq!(&ask("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&ask("ab")[..], b"\0\0\0\0\x04\x0a\x02ab");
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(b"<html>"), None);
    }
}
