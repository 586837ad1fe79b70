//! What becomes of a request that a server of HTTP/2 refuses, resets or leaves: who may try it again.

use std::io;

use h2::Reason;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::backend::Backend;
use crate::support::behaviour::{
    Behaviour, Gate, closes_before_answer, garbage, never_answers, ok,
};
use crate::support::client::get;
use crate::support::frame::{PREFACE, code, encode, flag, kind, number, reset, setting, settings};
use crate::support::frame_peer::FramePeer;
use crate::support::h2_peer::{H2Peer, Manner, breaks_off, echoes, resets, says};
use crate::support::http2::{self, Http2, head, request};
use crate::support::proxy::Proxy;
use crate::support::wire::Reader;

use super::{before, pool};

/// Before a server of this manner and one that says "x", a request with `method` is answered by the other one.
async fn goes_to_the_other(manner: Manner, method: &str) -> (H2Peer, H2Peer) {
    let (failing, good) = (H2Peer::start(manner).await, H2Peer::start(says("x")).await);
    let proxy = before(&[&failing, &good], "").await;
    let answer = proxy.request(method, "/", &[], b"body").await;
    assert_eq!(answer.text(), "x", "{method}");
    assert_eq!(
        (failing.calls().len(), good.calls().len()),
        (1, 1),
        "{method}"
    );
    (failing, good)
}

#[tokio::test]
async fn what_a_server_refuses_goes_to_the_other_whatever_its_method() {
    // It has done nothing with it (RFC 9113 section 8.7).
    for method in ["PUT", "POST"] {
        let refuses = resets(1.., Reason::REFUSED_STREAM, "");
        let (_, good) = goes_to_the_other(refuses, method).await;
        assert_eq!(good.calls()[0].body, b"body");
    }
}

#[tokio::test]
async fn what_a_server_refuses_that_had_no_room_for_it_goes_to_the_other() {
    for is_http2 in [false, true] {
        let no_room = settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        let refuse = |stream| reset(stream, code::REFUSED_STREAM);
        let busy = FramePeer::start(no_room, refuse).await;
        let good = H2Peer::start(says("x")).await;
        let rest = pool(&[busy.server(), good.server()], "");
        let proxy = Proxy::start_with("h2c = true", &rest).await;
        let body = vec![b'x'; 10_000];
        let status = if is_http2 {
            let mut client = Http2::connect(proxy.addr()).await;
            client.ask(request("POST", "/", &[]), &body).await.status
        } else {
            proxy.request("POST", "/", &[], &body).await.status
        };
        assert_eq!((status, busy.requests()), (200, 1));
        assert!(good.calls()[0].body == body);
    }
}

/// Before a single server that refuses its request with this number, that request is answered "x" all the same.
async fn is_tried_again(number: usize) {
    let refuses = resets(number..=number, Reason::REFUSED_STREAM, "x");
    let peer = H2Peer::start(refuses).await;
    let proxy = before(&[&peer], "").await;
    for _ in 1..=number {
        let answer = proxy.request("POST", "/", &[], b"body").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
    }
    assert!(peer.calls().iter().all(|call| call.body == b"body"));
}

#[tokio::test]
async fn what_the_only_server_refuses_on_a_new_connection_is_tried_again() {
    is_tried_again(1).await;
}

#[tokio::test]
async fn what_the_only_server_refuses_on_a_used_connection_is_tried_again() {
    is_tried_again(2).await;
}

#[tokio::test]
async fn a_long_body_that_was_refused_comes_whole_or_not_at_all() {
    let failing = H2Peer::start(resets(1.., Reason::REFUSED_STREAM, "")).await;
    let good = H2Peer::start(echoes()).await;
    let proxy = before(&[&failing, &good], "").await;
    let body = vec![b'x'; 300_000];
    let mut client = Http2::connect(proxy.addr()).await;
    let answer = client.ask(request("PUT", "/", &[]), &body).await;
    match answer.status {
        200 => assert_eq!(answer.body.len(), body.len()),
        status => assert_eq!((status, good.calls().len()), (502, 0)),
    }
}

#[tokio::test]
async fn what_a_server_resets_goes_to_the_other_if_it_may_be_repeated() {
    let resets = || resets(1.., Reason::INTERNAL_ERROR, "");
    goes_to_the_other(resets(), "PUT").await;
    let (failing, good) = (
        H2Peer::start(resets()).await,
        H2Peer::start(says("x")).await,
    );
    let proxy = before(&[&failing, &good], "").await;
    assert_eq!(proxy.request("POST", "/", &[], b"body").await.status, 502);
    assert_eq!((failing.calls().len(), good.calls().len()), (1, 0));
}

#[tokio::test]
async fn a_reset_before_the_head_counts_as_a_failure() {
    let failing = H2Peer::start(resets(1.., Reason::INTERNAL_ERROR, "")).await;
    let good = H2Peer::start(says("x")).await;
    let keys = "max_fails = 1\nfail_timeout = \"60s\"";
    let proxy = before(&[&failing, &good], keys).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.text(), "x");
    }
    assert_eq!(failing.calls().len(), 1, "it is out");
}

/// A server that takes a request, says that its last stream was `last`, and goes; as an element of `servers`.
async fn goes_away(last: u8) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(leave(stream, last));
        }
    });
    format!("\"{addr}\"")
}

async fn leave(stream: TcpStream, last: u8) -> io::Result<()> {
    let mut reader = Reader::new(stream);
    reader.exactly(PREFACE.len()).await?;
    reader.source().write_all(&settings(&[])).await?;
    let mut has_ended = false;
    while !has_ended {
        let head = reader.exactly(9).await?;
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        reader.exactly(length).await?;
        let is_message = matches!(head[3], kind::HEADERS | kind::DATA);
        has_ended = is_message && head[4] & flag::END_STREAM != 0;
    }
    // The code is NO_ERROR.
    let goaway = encode(kind::GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0]);
    reader.source().write_all(&goaway).await?;
    if last == 0 {
        // Until lbd has heard so.
        reader.rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_server_leaves_untouched_goes_to_the_other() {
    for method in ["GET", "POST"] {
        let good = H2Peer::start(says("x")).await;
        let servers = [goes_away(0).await, good.server()];
        let proxy = Proxy::start(&pool(&servers, "")).await;
        let answer = proxy.request(method, "/", &[], b"body").await;
        assert_eq!(answer.text(), "x", "{method}");
    }
}

#[tokio::test]
async fn what_a_server_has_taken_before_it_leaves_is_not_executed_twice() {
    let good = H2Peer::start(says("x")).await;
    let servers = [goes_away(1).await, good.server()];
    let proxy = Proxy::start(&pool(&servers, "")).await;
    let answer = proxy.request("POST", "/", &[], b"body").await;
    assert_eq!((answer.status, good.calls().len()), (502, 0));
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_passed_over() {
    let dead = Backend::refuses();
    let good = H2Peer::start(says("x")).await;
    let proxy = Proxy::start(&pool(&[dead.server(), good.server()], "")).await;
    assert_eq!(proxy.request("POST", "/", &[], b"body").await.text(), "x");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_as_whole() {
    let gate = Gate::closed();
    let peer = H2Peer::start(breaks_off(&gate)).await;
    let proxy = before(&[&peer], "").await;
    let mut http1 = proxy.raw().await;
    http1.send(get("/")).await;
    assert_eq!(http1.response_head().await.status, 200);
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, _) = client.start(request("GET", "/", &[]), true).await;
    let half = head(response).await.expect("a head");
    gate.open();
    // No last chunk, and no end of the stream.
    let rest = http1.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    let whole = http2::rest(half).await;
    assert!(whole.is_err(), "{whole:?}");
}

#[tokio::test]
async fn a_server_that_speaks_http_1_is_no_server() {
    let plain = Backend::start(ok("in HTTP/1.1")).await;
    let good = H2Peer::start(says("x")).await;
    let proxy = Proxy::start(&pool(&[plain.server(), good.server()], "")).await;
    assert_eq!(proxy.get("/").await.text(), "x");
}

#[tokio::test]
async fn what_no_server_of_http_2_was_there_for_goes_to_the_other_whatever_its_method() {
    for (name, behaviour) in [
        ("HTTP/1.1", ok("in HTTP/1.1")),
        ("another protocol", garbage()),
        ("closes", Behaviour::new(|_| async { Ok(()) })),
        ("closes when it was spoken to", closes_before_answer()),
        ("says nothing", never_answers()),
    ] {
        let other = Backend::start(behaviour).await;
        let good = H2Peer::start(says("x")).await;
        let keys = "timeouts = { connect = \"1s\" }";
        let proxy = Proxy::start(&pool(&[other.server(), good.server()], keys)).await;
        let answer = proxy.request("POST", "/", &[], b"body").await;
        assert_eq!(answer.text(), "x", "{name}");
        assert_eq!((other.connections(), good.calls().len()), (1, 1), "{name}");
        assert_eq!(good.calls()[0].body, b"body");
    }
}

/// A server whose first connection breaks, without a word, when the second request has come on it; as an element of
/// `servers`.
async fn breaks_once() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.expect("a connection");
        let _ = answers(first, 1).await;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answers(stream, usize::MAX));
        }
    });
    format!("\"{addr}\"")
}

/// Answers `x` to so many requests, and closes when there is another.
async fn answers(stream: TcpStream, most: usize) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    for _ in 0..most {
        let Some(accepted) = connection.accept().await else {
            return Ok(());
        };
        let (_, mut respond) = accepted?;
        let mut body = respond.send_response(http::Response::new(()), false)?;
        body.send_data(bytes::Bytes::from_static(b"x"), true)?;
    }
    connection.accept().await;
    Ok(())
}

#[tokio::test]
async fn a_used_connection_that_breaks_is_replaced_unnoticed() {
    let proxy = Proxy::start(&pool(&[breaks_once().await], "")).await;
    for _ in 0..3 {
        assert_eq!(proxy.get("/").await.text(), "x");
    }
}
