//! gRPC is told in its own terms what lbd has to say: a head that is all, with `grpc-status`.

use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, closes_before_answer, never_answers};
use crate::support::http2::{Http2, answer, head, request};
use crate::support::proxy::{Proxy, app};

use super::H2C;

/// A call with these further fields.
fn call(fields: &[(&str, &str)]) -> Request<()> {
    let grpc = [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ];
    request("POST", "/pkg.Service/Method", &[&grpc[..], fields].concat())
}

/// The fields of the answer to `call`, which is nothing but a head.
async fn trailers_only(rest: &str, call: Request<()>) -> HeaderMap {
    let proxy = Proxy::start_with(H2C, rest).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, _upload) = client.start(call, false).await;
    let answer = head(response).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.body().is_end_stream(), "{answer:?}");
    let fields = answer.headers();
    let kind = &fields["content-type"];
    let is_grpc = kind.as_bytes().starts_with(b"application/grpc");
    assert!(is_grpc, "{kind:?}");
    fields.clone()
}

#[tokio::test]
async fn no_server_is_unavailable() {
    let dead = Backend::refuses();
    let fields = trailers_only(&app(&[dead.server()], ""), call(&[])).await;
    assert_eq!(fields["grpc-status"], "14");
}

#[tokio::test]
async fn a_server_that_breaks_off_is_unavailable() {
    let backend = Backend::start(closes_before_answer()).await;
    let proxy = Proxy::start_with(H2C, &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(call(&[]), false).await;
    upload
        .send_data("message".into(), true)
        .expect("the stream takes a body");
    let answer = head(response).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "14");
}

#[tokio::test]
async fn a_server_that_breaks_off_within_the_answer_is_unavailable_in_the_trailers() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let cuts = Behaviour::new(move |mut peer| async move {
        peer.request().await?;
        peer.send(cut).await
    });
    let backend = Backend::start(cuts).await;
    let proxy = Proxy::start_with(H2C, &app(&[backend.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, _) = client.start(call(&[]), true).await;
    let answer = answer(response).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.trailer("grpc-status"), Some("14"));
}

#[tokio::test]
async fn a_call_that_takes_longer_than_it_may_is_told_so() {
    let backend = Backend::start(never_answers()).await;
    let start = Instant::now();
    let late = call(&[("grpc-timeout", "100m")]);
    let fields = trailers_only(&app(&[backend.server()], ""), late).await;
    assert_eq!(fields["grpc-status"], "4");
    let took = start.elapsed();
    let expected = Duration::from_millis(90)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
}

#[tokio::test]
async fn other_content_types_are_told_by_status() {
    let dead = Backend::refuses();
    let proxy = Proxy::start_with(H2C, &app(&[dead.server()], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    for kind in ["application/json", "application/grp", "text/plain"] {
        let post = request("POST", "/", &[("content-type", kind)]);
        let answer = client.ask(post, b"x").await;
        assert_eq!(
            (answer.status, answer.field("grpc-status")),
            (502, None),
            "{kind}"
        );
    }
}
