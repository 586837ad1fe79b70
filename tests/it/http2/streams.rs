//! Requests beside each other on one connection: none waits for another, none suffers from another's end.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::Builder;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, early_413};
use crate::support::frame::{encode, flag, kind};
use crate::support::frames::Frames;
use crate::support::hpack;
use crate::support::http2::{Http2, answer, head, request, rest};
use crate::support::proxy::{Proxy, app, file};
use crate::support::temp::TempFile;
use crate::support::wait;

use super::{H2C, before};

/// Answers `x` at once; at `/slow` not before the gate opens, at `/big` with eight megabytes.
fn slow_or_big(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            loop {
                let request = peer.request().await?;
                let mut body = vec![b'x'];
                match request.target() {
                    "/slow" => tokio::select! {
                        () = gate.passed() => {}
                        ended = peer.until_closed() => return ended,
                    },
                    "/big" => body.resize(BIG, b'x'),
                    _ => {}
                }
                let length = body.len();
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                ))
                .await?;
                peer.send(body).await?;
            }
        }
    })
}

const BIG: usize = 8 << 20;

#[tokio::test]
async fn a_slow_request_holds_up_no_other() {
    let gate = Gate::closed();
    let backend = Backend::start(slow_or_big(&gate)).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (slow, _) = client.start(request("GET", "/slow", &[]), true).await;
    wait::until("the slow one is with the server", || {
        backend.requests() == 1
    })
    .await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "x");
    }
    gate.open();
    assert_eq!(answer(slow).await.text(), "x");
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let gate = Gate::closed();
    let backend = Backend::start(slow_or_big(&gate)).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let (response, _) = client.start(request("GET", "/slow", &[]), true).await;
        waiting.push(response);
    }
    wait::until("all are with the server", || backend.requests() == 50).await;
    gate.open();
    for response in waiting {
        assert_eq!(answer(response).await.text(), "x");
    }
}

#[tokio::test]
async fn a_reset_ends_its_request_and_no_other() {
    let gate = Gate::closed();
    let backend = Backend::start(slow_or_big(&gate)).await;
    let log = TempFile::new("log");
    let keys = format!("access = \"{}\"", log.path());
    let proxy = Proxy::start_file(&file(&keys, H2C, &app(&[backend.server()], ""))).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (gone, mut stream) = client.start(request("GET", "/slow", &[]), true).await;
    wait::until("the first is with the server", || backend.requests() == 1).await;
    let (stays, _) = client.start(request("GET", "/slow", &[]), true).await;
    wait::until("both are with the server", || backend.requests() == 2).await;

    stream.send_reset(Reason::CANCEL);
    drop(gone);
    wait::until("the server was let go", || backend.open() == 1).await;
    wait::until("the line is written", || log.lines().len() == 1).await;
    let line = log.lines().remove(0);
    assert!(line.contains("\"GET /slow HTTP/2.0\" 499 0 "), "{line}");

    gate.open();
    assert_eq!(answer(stays).await.text(), "x");
    assert_eq!(client.get("/").await.text(), "x");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_all_its_requests() {
    let gate = Gate::closed();
    let backend = Backend::start(slow_or_big(&gate)).await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let (response, _) = client.start(request("GET", "/slow", &[]), true).await;
        waiting.push(response);
    }
    wait::until("all are with the server", || backend.requests() == 5).await;
    drop((client, waiting));
    wait::until("the server was let go", || backend.open() == 0).await;
}

/// A client with room for much more than the one stream that it does not read.
async fn roomy(proxy: &Proxy) -> Http2 {
    let mut builder = Builder::new();
    builder.initial_connection_window_size(4 << 20);
    Http2::connect_with(&builder, proxy.addr()).await
}

#[tokio::test]
async fn an_answer_that_is_not_read_holds_up_no_other() {
    let backend = Backend::start(slow_or_big(&Gate::closed())).await;
    let proxy = before(&backend).await;
    let mut client = roomy(&proxy).await;
    let (big, _) = client.start(request("GET", "/big", &[]), true).await;
    let unread = head(big).await.expect("the head of the big one");
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "x");
    }
    let big = rest(unread).await.expect("the big one");
    assert_eq!(big.body.len(), BIG);
}

#[tokio::test]
async fn two_big_answers_come_at_once() {
    let backend = Backend::start(slow_or_big(&Gate::closed())).await;
    let proxy = before(&backend).await;
    let mut client = roomy(&proxy).await;
    let (a, _) = client.start(request("GET", "/big", &[]), true).await;
    let (b, _) = client.start(request("GET", "/big", &[]), true).await;
    let (a, b) = tokio::join!(answer(a), answer(b));
    assert_eq!((a.body.len(), b.body.len()), (BIG, BIG));
}

#[tokio::test]
async fn an_upload_that_the_server_does_not_take_holds_up_no_other() {
    let gate = Gate::closed();
    let after = gate.clone();
    // Takes a connection's head at once, and its body not before the gate opens.
    let backend = Backend::start(Behaviour::new(move |mut peer| {
        let gate = after.clone();
        async move {
            loop {
                let head = peer.head().await?;
                if head.start.starts_with("PUT ") {
                    gate.passed().await;
                }
                let request = peer.body(head).await?;
                let length = request.body.data.len();
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nX-Length: {length}\r\nContent-Length: 1\r\n\r\nx"
                ))
                .await?;
            }
        }
    }))
    .await;
    let proxy = before(&backend).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("PUT", "/", &[]), false).await;
    upload
        .send_data(Bytes::from(vec![b'x'; BIG]), true)
        .expect("the stream takes a body");
    wait::until("the head is with the server", || backend.heads().len() == 1).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "x");
    }
    gate.open();
    assert_eq!(answer(response).await.field("x-length"), Some("8388608"));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let backend = Backend::start(slow_or_big(&Gate::closed())).await;
    let keys = format!("{H2C}\ntimeouts = {{ send = \"300ms\" }}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let mut client = roomy(&proxy).await;
    let (big, _) = client.start(request("GET", "/big", &[]), true).await;
    let unread = head(big).await.expect("the head of the big one");
    wait::until("lbd gave up the download", || backend.open() == 0).await;
    rest(unread).await.expect_err("it was given up");
}

#[tokio::test]
async fn a_download_at_a_slow_pace_is_not_given_up() {
    let backend = Backend::start(slow_or_big(&Gate::closed())).await;
    let keys = format!("{H2C}\ntimeouts = {{ send = \"1s\" }}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let mut client = roomy(&proxy).await;
    let (big, _) = client.start(request("GET", "/big", &[]), true).await;
    let mut body = head(big).await.expect("the head").into_body();
    let (mut length, mut pace) = (0, tokio::time::interval(Duration::from_millis(5)));
    while let Some(piece) = wait::within("more of it", body.data()).await {
        let piece = piece.expect("more of it").len();
        length += piece;
        pace.tick().await;
        let freed = body.flow_control().release_capacity(piece);
        freed.expect("what has come can be released");
    }
    assert_eq!(length, BIG);
}

#[tokio::test]
async fn a_client_that_is_answered_early_is_not_stopped_before_it_has_heard_so() {
    let backend = Backend::start(early_413()).await;
    let proxy = Proxy::start_with(H2C, &app(&[backend.server()], "")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    let post = [(":method", "POST"), (":scheme", "http"), (":path", "/")];
    let head = hpack::block(&[&post[..], &[(":authority", "app.example")]].concat());
    client
        .send(encode(kind::HEADERS, flag::END_HEADERS, 1, &head))
        .await;
    assert_eq!(client.answer(1).await.0, 413);
    client
        .send(encode(kind::DATA, flag::END_STREAM, 1, b"the rest"))
        .await;
    client.send(encode(kind::PING, 0, 0, b"12345678")).await;
    loop {
        let frame = client.next().await.expect("the connection goes on");
        assert_ne!((frame.kind, frame.stream), (kind::RST_STREAM, 1));
        if frame.kind == kind::PING {
            break;
        }
    }
}
