//! Trailers with an underscore in their names are treated as fields with one are.

use bytes::Bytes;

use crate::support::backend::Backend;
use crate::support::behaviour::{ok, raw};
use crate::support::client;
use crate::support::http2::{Http2, answer, fields, request};
use crate::support::proxy::{Proxy, app};

use super::{H2C, before};

#[tokio::test]
async fn an_underscore_in_the_servers_trailers_is_nobodys_trick() {
    let backend = Backend::start(raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX_Sum: 5\r\n\r\n",
    ))
    .await;
    let proxy = before(&backend).await;
    let mut http2 = Http2::connect(proxy.addr()).await;
    let get = request("GET", "/", &[("te", "trailers")]);
    assert_eq!(http2.ask(get, b"").await.trailer("x_sum"), Some("5"));
    let te = [("TE", "trailers"), ("Connection", "TE")];
    let get = client::request("GET", "/", &te, b"");
    let answer = proxy.raw().await.exchange(get).await;
    assert_eq!(answer.body.trailers.get("x_sum"), Some("5"));
}

/// The names of the trailers that the server sees of `x-sum` and `x_sum`, from a client of each version, under these
/// further listener keys.
async fn seen(listener: &str) -> [Vec<String>; 2] {
    let backend = Backend::start(ok("x")).await;
    let keys = format!("{H2C}\n{listener}");
    let proxy = Proxy::start_with(&keys, &app(&[backend.server()], "")).await;
    let last = || {
        let trailers = backend.last().body.trailers;
        let names = trailers.names().into_iter().map(str::to_lowercase);
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };

    let mut http2 = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = http2.start(request("POST", "/", &[]), false).await;
    upload
        .send_data(Bytes::from_static(b"hello"), false)
        .expect("the stream takes a body");
    upload
        .send_trailers(fields(&[("x-sum", "5"), ("x_sum", "5")]))
        .expect("the stream takes trailers");
    assert_eq!(answer(response).await.status, 200);
    let of_http2 = last();

    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "5\r\nhello\r\n0\r\nX-Sum: 5\r\nX_Sum: 5\r\n\r\n";
    let answer = proxy.raw().await.exchange(format!("{head}{body}")).await;
    assert_eq!((answer.status, backend.requests()), (200, 2));
    [of_http2, last()]
}

#[tokio::test]
async fn an_underscore_in_a_clients_trailers_is_not_passed_on() {
    for names in seen("").await {
        assert_eq!(names, ["x-sum"]);
    }
}

#[tokio::test]
async fn an_underscore_in_a_clients_trailers_is_passed_on_where_the_operator_says_so() {
    for names in seen("underscores_in_headers = true").await {
        assert_eq!(names, ["x-sum", "x_sum"]);
    }
}
