//! The support code against itself, without lbd: peers misbehave as their names say, and the strict reader refuses what it should.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::backend::Backend;
use crate::support::behaviour::{
    self, chunked_with_trailers, cl_and_te, counting, drops_second_request, echo_request,
    informational, ok, resets_after_headers, short_body, two_lengths,
};
use crate::support::client::{Client, get, request};
use crate::support::raw::Raw;
use crate::support::wait;

#[tokio::test]
async fn a_stopped_server_refuses_and_starts_again_where_it_was() {
    let mut backend = Backend::start(ok("before")).await;
    let addr = backend.addr();
    assert_eq!(Client::connect(addr).await.get("/").await.text(), "before");

    backend.stop().await;
    let refused = TcpStream::connect(addr).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    backend.start_as(ok("after"));
    assert_eq!(backend.addr(), addr);
    assert_eq!(Client::connect(addr).await.get("/").await.text(), "after");
    assert_eq!((backend.connections(), backend.requests()), (2, 2));
}

#[tokio::test]
async fn stopping_ends_connections() {
    let mut backend = Backend::start(ok("x")).await;
    let mut client = Raw::connect(backend.addr()).await;
    assert_eq!(client.exchange(get("/")).await.status, 200);
    backend.stop().await;
    client.ends().await;
    assert_eq!(backend.open(), 0);
}

#[tokio::test]
async fn a_host_that_never_accepts_lets_connecting_hang() {
    let backend = Backend::never_accepts().await;
    let connecting = timeout(
        Duration::from_millis(300),
        TcpStream::connect(backend.addr()),
    );
    assert!(
        connecting.await.is_err(),
        "the connection was made or refused"
    );
}

#[tokio::test]
async fn the_echo_shows_every_byte() {
    let backend = Backend::start(echo_request()).await;
    let bytes = b"PUT /%41 HTTP/1.1\r\nhOST:  x \r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: 1\r\n\r\n";
    let answer = Raw::connect(backend.addr()).await.exchange(bytes).await;
    assert_eq!(answer.text().as_bytes(), bytes);
    let request = backend.last();
    assert_eq!(
        (
            request.method(),
            request.target(),
            request.fields().get("host")
        ),
        ("PUT", "/%41", Some("x"))
    );
    assert_eq!(
        (&request.body.data[..], request.body.trailers.get("t")),
        (&b"abc"[..], Some("1"))
    );
}

#[tokio::test]
async fn the_strict_reader_takes_chunks_and_trailers_apart() {
    let backend = Backend::start(chunked_with_trailers()).await;
    let answer = Raw::connect(backend.addr()).await.exchange(get("/")).await;
    assert_eq!(
        (answer.text().as_str(), answer.body.trailers.get("x-sum")),
        ("hello world", Some("11"))
    );
}

#[tokio::test]
async fn the_strict_reader_refuses_two_framings() {
    for behaviour in [
        cl_and_te(),
        two_lengths(),
        behaviour::raw("HTTP/1.1 200 OK\r\nbroken\r\n\r\n"),
    ] {
        let backend = Backend::start(behaviour).await;
        let mut client = Raw::connect(backend.addr()).await;
        client.send(get("/")).await;
        assert_eq!(
            client
                .try_response("GET")
                .await
                .expect_err("refused")
                .kind(),
            ErrorKind::InvalidData
        );
    }
}

#[tokio::test]
async fn a_short_body_is_an_error_and_a_reset_is_a_reset() {
    for (behaviour, kind) in [
        (short_body(), ErrorKind::UnexpectedEof),
        (resets_after_headers(), ErrorKind::ConnectionReset),
    ] {
        let backend = Backend::start(behaviour).await;
        let mut client = Raw::connect(backend.addr()).await;
        client.send(get("/")).await;
        assert_eq!(
            client
                .try_response("GET")
                .await
                .expect_err("cut off")
                .kind(),
            kind
        );
    }
}

#[tokio::test]
async fn interim_answers_come_one_by_one() {
    let backend = Backend::start(informational()).await;
    let mut client = Raw::connect(backend.addr()).await;
    client
        .send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 100);
    assert_eq!((backend.heads().len(), backend.requests()), (1, 0));
    client.send("ok").await;
    assert_eq!(client.response().await.status, 103);
    assert_eq!(client.response().await.text(), "final");
}

#[tokio::test]
async fn the_second_request_meets_a_close() {
    let backend = Backend::start(drops_second_request()).await;
    let mut client = Raw::connect(backend.addr()).await;
    assert_eq!(client.exchange(get("/1")).await.text(), "first");
    client.send(get("/2")).await;
    client.ends().await;
    wait::until("the backend let go", || backend.open() == 0).await;
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn counting_counts_over_all_connections() {
    let backend = Backend::start(counting()).await;
    for expected in ["1", "2", "3"] {
        let answer = Client::connect(backend.addr())
            .await
            .request("POST", "/", &[], b"x")
            .await;
        assert_eq!(answer.text(), expected);
    }
}

#[tokio::test]
#[should_panic(expected = "unexpected field X-Surprise")]
async fn the_client_distrusts_fields_nobody_named() {
    let backend = Backend::start(behaviour::raw(
        "HTTP/1.1 204 No Content\r\nX-Surprise: 1\r\n\r\n",
    ))
    .await;
    Client::connect(backend.addr()).await.get("/").await;
}

#[test]
fn a_request_has_a_length_only_with_a_body() {
    assert_eq!(get("/x"), b"GET /x HTTP/1.1\r\nHost: app.example\r\n\r\n");
    let with_body = request("PUT", "/", &[("host", "h")], b"ab");
    assert_eq!(
        with_body,
        b"PUT / HTTP/1.1\r\nhost: h\r\nContent-Length: 2\r\n\r\nab"
    );
}
