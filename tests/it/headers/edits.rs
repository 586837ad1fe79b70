//! `request_headers`, `response_headers` and `host`: what the operator adds, takes away, and says with variables.

use crate::support::backend::Backend;
use crate::support::behaviour::{ok, raw};
use crate::support::client::HOST;
use crate::support::proxy::{Proxy, app, app_at, says};

#[tokio::test]
async fn request_fields_are_set_and_removed() {
    let backend = Backend::start(ok("x")).await;
    let route = "path = \"/\"\nrequest_headers = { set = { X-App = \"a\", X-Mine = \"lbd\" }, remove = [\"X-Debug\"] }";
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    proxy
        .request(
            "GET",
            "/",
            &[("x-debug", "1"), ("X-Mine", "client"), ("x-mine", "again")],
            b"",
        )
        .await;
    let seen = backend.last();
    assert_eq!(
        (
            seen.fields().get("x-app"),
            seen.fields().get("x-mine"),
            seen.fields().get("x-debug")
        ),
        (Some("a"), Some("lbd"), None)
    );
}

#[tokio::test]
async fn answer_fields_are_set_and_removed() {
    let backend = Backend::start(raw(
        "HTTP/1.1 200 OK\r\nServer: apache\r\nX-Mine: peer\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let route = "path = \"/\"\nresponse_headers = { set = { X-App = \"a\", X-Mine = \"lbd\" }, remove = [\"server\"] }";
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    let answer = proxy
        .client()
        .await
        .allowing("x-app")
        .allowing("x-mine")
        .get("/")
        .await;
    assert_eq!(
        (
            answer.field("x-app"),
            answer.field("x-mine"),
            answer.field("server")
        ),
        (Some("a"), Some("lbd"), None)
    );
}

#[tokio::test]
async fn variables_say_what_the_request_is() {
    let backend = Backend::start(ok("x")).await;
    let route = "path = \"/\"\nrequest_headers = { set = { \
        X-Who = \"$remote_addr\", X-Host = \"$host\", X-Scheme = \"$scheme\", X-Port = \"$server_port\", X-Id = \"$request_id\", \
        X-All = \"${scheme}://$host:$server_port!\" } }";
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    let port = proxy.addr().port().to_string();
    proxy
        .request("GET", "/", &[("Host", "APP.Example:81")], b"")
        .await;
    let seen = backend.last();
    let all = format!("http://app.example:{port}!");
    for (name, value) in [
        ("x-who", Some("127.0.0.1")),
        ("x-host", Some("app.example")),
        ("x-scheme", Some("http")),
        ("x-port", Some(port.as_str())),
        ("x-id", seen.fields().get("x-request-id")),
        ("x-all", Some(all.as_str())),
        ("host", Some("APP.Example:81")),
    ] {
        assert_eq!(seen.fields().get(name), value, "{name}");
    }
}

#[tokio::test]
async fn variables_see_through_trusted_proxies() {
    let backend = Backend::start(ok("x")).await;
    let route = "path = \"/\"\nrequest_headers = { set = { X-Who = \"$remote_addr\", X-Scheme = \"$scheme\" } }";
    let file = app_at(route, &[backend.server()], "");
    let proxy = Proxy::start_with("trusted_proxies = [\"127.0.0.1/32\"]", &file).await;
    proxy
        .request(
            "GET",
            "/",
            &[
                ("X-Forwarded-For", "203.0.113.7"),
                ("X-Forwarded-Proto", "https"),
            ],
            b"",
        )
        .await;
    let seen = backend.last();
    assert_eq!(
        (seen.fields().get("x-who"), seen.fields().get("x-scheme")),
        (Some("203.0.113.7"), Some("https"))
    );
}

#[tokio::test]
async fn a_client_cannot_write_a_second_field_through_a_variable() {
    let backend = Backend::start(ok("x")).await;
    let route = "path = \"/\"\nrequest_headers = { set = { X-Path = \"$uri\" } }";
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    // Decoded, this path has a line break; a refusal is as good as an escape.
    let answer = proxy.get("/a%0d%0aX-Evil:%201").await;
    if answer.status == 200 {
        assert!(
            !backend.last().fields().has("x-evil"),
            "{:?}",
            backend.last()
        );
    } else {
        assert_eq!((answer.status, backend.requests()), (400, 0));
    }
}

#[tokio::test]
async fn the_host_is_the_clients_or_the_servers_or_a_name() {
    let backend = Backend::start(ok("x")).await;
    let server = backend.addr().to_string();
    for (keys, expected) in [
        ("", HOST),
        ("host = \"client\"", HOST),
        ("host = \"server\"", &server),
        ("host = \"inner.example\"", "inner.example"),
    ] {
        let proxy = Proxy::start(&app(&[backend.server()], keys)).await;
        proxy.get("/").await;
        let seen = backend.last();
        assert_eq!(
            (
                seen.fields().get("host"),
                seen.fields().get("x-forwarded-host")
            ),
            (Some(expected), Some(HOST)),
            "{keys}"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_host_goes_to_the_servers() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let answer = proxy.raw().await.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let seen = backend.last();
    let server = backend.addr().to_string();
    assert_eq!(seen.fields().get("host"), Some(server.as_str()));
    assert_ne!(seen.fields().get("x-forwarded-host"), Some(""));
}

// === answers of lbd's own ===

#[tokio::test]
async fn own_answers_lose_the_fields_that_are_removed() {
    let route = "path = \"/\"\nresponse_headers = { remove = [\"Server\"] }";
    let dead = Backend::refuses();
    for (rest, status) in [
        (says(route, "x"), 200),
        (app_at(route, &[dead.server()], ""), 502),
    ] {
        let answer = Proxy::start(&rest).await.get("/").await;
        assert_eq!((answer.status, answer.field("server")), (status, None));
    }
}

#[tokio::test]
async fn own_answers_have_each_field_that_is_set_once() {
    let set = "set = { Content-Type = \"text/html\", Server = \"ours\" }";
    let route = format!("path = \"/\"\nresponse_headers = {{ {set} }}");
    let dead = Backend::refuses();
    for (rest, status) in [
        (says(&route, "x"), 200),
        (app_at(&route, &[dead.server()], ""), 502),
    ] {
        let answer = Proxy::start(&rest).await.get("/").await;
        assert_eq!(
            (
                answer.status,
                answer.field("content-type"),
                answer.field("server")
            ),
            (status, Some("text/html"), Some("ours"))
        );
    }
}
