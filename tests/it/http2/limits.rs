//! What is too long or too slow is refused on its stream, and only that.

use bytes::Bytes;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::frame::{PREFACE, data, encode, flag, get, kind, post};
use crate::support::frames::{Frames, Verdict};
use crate::support::hpack;
use crate::support::http2::{Http2, answer, request};
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::raw::Raw;

use super::H2C;

/// lbd with these listener keys before one server.
async fn limited(listener: &str) -> (Backend, Proxy) {
    let backend = Backend::start(ok("x")).await;
    let keys = format!("{H2C}\n{listener}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    (backend, proxy)
}

/// lbd with a `max_body` of 1000 bytes before one server.
async fn small_bodies() -> (Backend, Proxy) {
    let backend = Backend::start(ok("x")).await;
    let route = "path = \"/\"\nmax_body = \"1000\"";
    let rest = app_at(route, &[backend.server()], "");
    let proxy = Proxy::start_with(H2C, &rest).await;
    (backend, proxy)
}

#[tokio::test]
async fn a_length_beyond_max_body_is_413() {
    let (backend, proxy) = small_bodies().await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[("content-length", "1001")]);
    let (response, _upload) = client.start(post, false).await;
    assert_eq!(answer(response).await.status, 413);
    assert_eq!(backend.connections(), 0);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_body_beyond_max_body_is_413() {
    let (backend, proxy) = small_bodies().await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("POST", "/", &[]), false).await;
    for _ in 0..3 {
        upload
            .send_data(Bytes::from(vec![b'x'; 500]), false)
            .expect("the stream takes a body");
    }
    assert_eq!(answer(response).await.status, 413);
    assert_eq!(backend.requests(), 0, "the server never saw the end of it");
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_body_of_max_body_passes() {
    let (backend, proxy) = small_bodies().await;
    let mut client = Http2::connect(proxy.addr()).await;
    let post = request("POST", "/", &[]);
    assert_eq!(client.ask(post, &[b'x'; 1000]).await.status, 200);
    assert_eq!(backend.last().body.data.len(), 1000);
}

#[tokio::test]
async fn a_target_beyond_max_uri_is_414() {
    let (backend, proxy) = limited("max_uri = \"1k\"").await;
    let mut client = Http2::connect(proxy.addr()).await;
    let long = format!("/{}", "x".repeat(1500));
    assert_eq!(client.get(&long).await.status, 414);
    assert_eq!(backend.connections(), 0);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let (_backend, proxy) = limited("max_uri = \"1k\"").await;
    let mut client = Frames::connect(proxy.addr()).await;
    let long = format!("/{}", "x".repeat(1500));
    let block = hpack::request("HEAD", &long, &[]);
    let whole = flag::END_HEADERS | flag::END_STREAM;
    client.send(encode(kind::HEADERS, whole, 1, &block)).await;
    let head = client.next_of(kind::HEADERS).await;
    assert_eq!(hpack::status(&head.payload), 414);
    assert!(head.has(flag::END_STREAM), "{head:?}");
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.0, 200);
}

#[tokio::test]
async fn a_head_beyond_max_header_is_431() {
    let (backend, proxy) = limited("max_header = \"4k\"").await;
    let mut client = Frames::connect(proxy.addr()).await;
    let long = hpack::request("GET", "/", &[("x-long", &"x".repeat(5000))]);
    let whole = flag::END_HEADERS | flag::END_STREAM;
    client.send(encode(kind::HEADERS, whole, 1, &long)).await;
    assert_eq!(client.verdict(1).await, Verdict::Answer(431));
    assert_eq!(backend.connections(), 0);
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.0, 200);
}

#[tokio::test]
async fn more_than_a_hundred_fields_are_431() {
    let (_backend, proxy) = limited("").await;
    for (fields, status) in [(95, 200), (101, 431)] {
        let mut client = Frames::connect(proxy.addr()).await;
        let block = hpack::request("GET", "/", &vec![("x-a", "1"); fields]);
        let whole = flag::END_HEADERS | flag::END_STREAM;
        client.send(encode(kind::HEADERS, whole, 1, &block)).await;
        assert_eq!(client.verdict(1).await, Verdict::Answer(status), "{fields}");
    }
}

// === deadlines ===

/// The connection ends, with or without a GOAWAY.
async fn is_given_up(client: &mut Frames) {
    let verdict = client.verdict(0).await;
    assert!(
        matches!(verdict, Verdict::GoAway(_) | Verdict::Closed),
        "{verdict:?}"
    );
    client.ends().await;
}

#[tokio::test]
async fn half_a_preface_is_given_up() {
    let (backend, proxy) = limited("timeouts = { header = \"200ms\" }").await;
    for length in [1, 10, 18, PREFACE.len() - 1] {
        let mut client = Raw::connect(proxy.addr()).await;
        client.send(&PREFACE[..length]).await;
        // Nobody knows yet what this client speaks; 408 in HTTP/1.1 is as good as no word.
        let rest = client.rest().await;
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains(" 200 "), "{length}: {text:?}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_preface_without_settings_is_given_up() {
    let keys = "timeouts = { header = \"200ms\", idle = \"200ms\" }";
    let (_backend, proxy) = limited(keys).await;
    let mut client = Frames::silent(proxy.addr()).await;
    client.send(PREFACE).await;
    is_given_up(&mut client).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_after_its_preface_is_given_up() {
    let keys = "timeouts = { header = \"200ms\", idle = \"200ms\" }";
    let (_backend, proxy) = limited(keys).await;
    let mut client = Frames::connect(proxy.addr()).await;
    is_given_up(&mut client).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_given_up() {
    let (backend, proxy) = limited("timeouts = { header = \"200ms\" }").await;
    let mut client = Frames::connect(proxy.addr()).await;
    let block = hpack::request("GET", "/", &[]);
    client
        .send(encode(kind::HEADERS, flag::END_STREAM, 1, &block))
        .await;
    is_given_up(&mut client).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn half_a_frame_is_given_up() {
    let (_backend, proxy) = limited("timeouts = { header = \"200ms\", idle = \"200ms\" }").await;
    let mut client = Frames::connect(proxy.addr()).await;
    let bytes = get(1, "/");
    client.send(&bytes[..bytes.len() - 1]).await;
    is_given_up(&mut client).await;
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_no_other_request_suffers() {
    let (backend, proxy) = limited("timeouts = { body = \"200ms\" }").await;
    let mut client = Frames::connect(proxy.addr()).await;
    let length = [("content-length", "10")];
    let begun = [post(1, "/", &length), data(1, 0, b"abc")];
    client.send(begun.concat()).await;
    let verdict = client.verdict(1).await;
    assert!(
        matches!(verdict, Verdict::Answer(408) | Verdict::Reset(_)),
        "{verdict:?}"
    );
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.0, 200);
    assert_eq!(backend.requests(), 1);
}
