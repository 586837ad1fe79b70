//! What stands behind the cookie's value, and on which answers the cookie stands.

use std::sync::Arc;

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, ok, raw};
use crate::support::certs::Authority;
use crate::support::client::get;
use crate::support::http2::{Http2, request};
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app};
use crate::support::secure::{Secure, trusting};

use super::{BY_COOKIE, answer, before, pair, says};

/// The name of the certificate.
const NAME: &str = "app.example";

/// What stands behind the value of the cookie that these keys describe, for a client without TLS.
async fn attributes(keys: &str) -> String {
    let backend = Backend::start(ok("a")).await;
    let keys = format!("sticky = {{ cookie = \"lb\"{keys} }}");
    let proxy = before(&[&backend], &keys).await;
    let answer = answer(&proxy, "/", &[]).await;
    let cookie = answer.field("set-cookie").expect("a cookie");
    behind(cookie).to_owned()
}

/// What of a cookie stands behind its value.
fn behind(cookie: &str) -> &str {
    cookie.split_once(';').map_or("", |(_, rest)| rest)
}

/// The same for a client with TLS.
async fn attributes_over_tls(keys: &str) -> String {
    let (authority, backend) = (Authority::new(), Backend::start(ok("a")).await);
    let identity = authority.server(&[NAME]);
    let listener = format!("tls = {{ certificates = [{{ {} }}] }}", identity.keys());
    let keys = format!("sticky = {{ cookie = \"lb\"{keys} }}");
    let proxy = Proxy::start_with(&listener, &app(&[backend.server()], &keys)).await;
    let config = Arc::new(trusting(&authority));
    let mut client = Secure::connect(proxy.addr(), NAME, &config).await;
    let answer = client.exchange(get("/")).await;
    let cookie = answer.head.fields.get("set-cookie").expect("a cookie");
    behind(cookie).to_owned()
}

#[tokio::test]
async fn every_attribute_can_be_chosen() {
    let keys = ", path = \"/app\", domain = \"app.example\", max_age = \"90s\", secure = true, http_only = false, same_site = \"none\"";
    assert_eq!(
        attributes(keys).await,
        " Path=/app; Domain=app.example; Max-Age=90; Secure; SameSite=None"
    );
    for (keys, expected) in [
        (
            ", same_site = \"strict\"",
            " Path=/; HttpOnly; SameSite=Strict",
        ),
        (", same_site = \"off\"", " Path=/; HttpOnly"),
        (", secure = \"auto\"", " Path=/; HttpOnly; SameSite=Lax"),
    ] {
        assert_eq!(attributes(keys).await, expected, "{keys}");
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_secure() {
    let expected = " Path=/; HttpOnly; Secure; SameSite=Lax";
    assert_eq!(attributes_over_tls("").await, expected);
    let expected = " Path=/; HttpOnly; SameSite=Lax";
    assert_eq!(attributes_over_tls(", secure = false").await, expected);
}

#[tokio::test]
async fn a_trusted_proxy_says_whether_the_client_came_by_https() {
    let backend = Backend::start(ok("a")).await;
    let text = app(&[backend.server()], BY_COOKIE);
    for (trusted, is_secure) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let listener = format!("trusted_proxies = [\"{trusted}\"]");
        let proxy = Proxy::start_with(&listener, &text).await;
        let answer = answer(&proxy, "/", &[("X-Forwarded-Proto", "https")]).await;
        let cookie = answer.field("set-cookie").expect("a cookie");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{trusted}");
    }
}

// === on which answers ===

#[tokio::test]
async fn the_app_s_own_cookies_stand_beside_it() {
    let own = "Set-Cookie: one=1; Path=/\r\nSet-Cookie: two=2\r\n";
    let backend = Backend::start(raw(says(own, "a"))).await;
    let proxy = before(&[&backend], BY_COOKIE).await;
    let answer = answer(&proxy, "/", &[]).await;
    let cookies = answer.fields.all("set-cookie");
    assert_eq!(cookies.len(), 3, "{cookies:?}");
    assert_eq!(cookies[..2], ["one=1; Path=/", "two=2"]);
    assert!(cookies[2].starts_with("lb="), "{cookies:?}");
}

#[tokio::test]
async fn an_error_of_the_app_s_binds_too() {
    for status in [304, 404, 500] {
        let backend = Backend::start(answers(status, "")).await;
        let proxy = before(&[&backend], BY_COOKIE).await;
        let answer = answer(&proxy, "/", &[]).await;
        assert_eq!(answer.status, status);
        assert!(pair(&answer).starts_with("lb="));
    }
}

#[tokio::test]
async fn an_error_of_lbd_s_own_binds_nobody() {
    let dead = Backend::refuses();
    let proxy = before(&[&dead], BY_COOKIE).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.field("set-cookie")), (502, None));
}

#[tokio::test]
async fn the_answer_to_a_head_binds_too() {
    let backend = Backend::start(ok("a")).await;
    let proxy = before(&[&backend], BY_COOKIE).await;
    let mut client = proxy.client().await.allowing("set-cookie");
    let answer = client.request("HEAD", "/", &[], b"").await;
    assert!(pair(&answer).starts_with("lb="));
}

#[tokio::test]
async fn a_client_of_http2_is_bound_like_any_other() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let text = app(&[a.server(), b.server()], BY_COOKIE);
    let proxy = Proxy::start_with("h2c = true", &text).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let first = client.get("/").await;
    let cookie = first.field("set-cookie").expect("a cookie");
    let (pair, _) = cookie.split_once(';').expect("attributes");
    for _ in 0..5 {
        // In pieces, as browsers send their cookies.
        let fields = [("cookie", "x=1"), ("cookie", pair)];
        let later = client.ask(request("GET", "/", &fields), b"").await;
        assert_eq!(later.text(), first.text());
        assert_eq!(later.field("set-cookie"), None);
    }
}

#[tokio::test]
async fn a_101_binds_and_a_tunnel_goes_where_its_client_belongs() {
    let doors = [Door::open().await, Door::open().await];
    let servers = doors.each_ref().map(Door::server);
    let proxy = Proxy::start(&app(&servers, BY_COOKIE)).await;
    let mut cookies = Vec::new();
    for door in &doors {
        let mut client = Line::connect(proxy.addr()).await;
        client.send(upgrade("/chat", &[])).await;
        let mut server = Line::accept(door).await;
        let asked = server.head().await;
        server.send(switching(&asked, "")).await;
        let head = client.head().await;
        let cookie = head.fields.get("set-cookie").expect("a cookie");
        cookies.push(cookie.split(';').next().unwrap_or_default().to_owned());
        client.exchange(&mut server, 10).await;
    }
    for (cookie, door) in cookies.iter().zip(&doors).rev().cycle().take(6) {
        let mut client = Line::connect(proxy.addr()).await;
        client.send(upgrade("/chat", &[("Cookie", cookie)])).await;
        let mut server = Line::accept(door).await;
        let asked = server.head().await;
        server.send(switching(&asked, "")).await;
        assert_eq!(client.head().await.fields.get("set-cookie"), None);
        client.exchange(&mut server, 10).await;
    }
}
