//! `grpc.health.v1.Health/Check` (the gRPC health checking protocol).
//!
//! Both messages are a few bytes: a request with one string, an answer with one number.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Version, header};

use super::{http::Ended, probe::Probe};
use crate::{net::Io, upstream::Failure};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Of `HealthCheckResponse.ServingStatus`.
const SERVING: u8 = 1;

pub(super) async fn check(probe: &Probe<'_>, service: &str) -> Result<(), String> {
    let io = probe.connect(true).await?;
    let (message, trailers) = call(probe, io, ask(service)).await?;
    let status = trailers.get("grpc-status");
    match status.and_then(|status| status.to_str().ok()) {
        Some("0") => {}
        Some("12") => return Err("does not know grpc.health.v1 (grpc-status 12)".to_owned()),
        Some("5") => return Err("does not know the service (grpc-status 5)".to_owned()),
        Some(other) => return Err(format!("answered grpc-status {other}")),
        None => return Err("answered without grpc-status".to_owned()),
    }
    match serving_status(&message) {
        Some(SERVING) => Ok(()),
        Some(2) => Err("is not serving".to_owned()),
        Some(3) => Err("does not know the service".to_owned()),
        _ => Err("does not say whether it serves".to_owned()),
    }
}

/// The call's message and what stands behind it, or in front of it if there is none.
async fn call(probe: &Probe<'_>, io: Io, message: Bytes) -> Result<(Vec<u8>, HeaderMap), String> {
    let in_words = |error: h2::Error| Failure::stream(&error).reason.to_owned();
    let (requests, connection) = h2::client::handshake(io).await.map_err(in_words)?;
    let _connection = Ended(tokio::task::spawn_local(async move {
        // Its end is told by the call.
        let _ = connection.await;
    }));
    let mut requests = requests.ready().await.map_err(in_words)?;
    let (response, mut upload) = requests
        .send_request(request(probe)?, false)
        .map_err(in_words)?;
    upload.send_data(message, true).map_err(in_words)?;
    let response = response.await.map_err(in_words)?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("answered {}", response.status().as_u16()));
    }
    let (head, mut body) = response.into_parts();
    let mut answer = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(in_words)?;
        body.flow_control()
            .release_capacity(chunk.len())
            .map_err(in_words)?;
        answer.extend_from_slice(&chunk);
        if answer.len() > 1024 {
            return Err("answered more than any health check says".to_owned());
        }
    }
    let trailers = body.trailers().await.map_err(in_words)?;
    Ok((answer, trailers.unwrap_or(head.headers)))
}

fn request(probe: &Probe<'_>) -> Result<Request<()>, String> {
    let scheme = match probe.pool.tls {
        Some(_) => "https",
        None => "http",
    };
    Request::post(format!("{scheme}://{}{PATH}", probe.host()))
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
