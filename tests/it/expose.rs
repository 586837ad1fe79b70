//! `expose_upstream`: an answer says which server has given it, to those who may know.

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, closes_before_answer, ok, raw};
use crate::support::h2_peer::{H2Peer, says};
use crate::support::http2::{Http2, request};
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, says as answers_itself};
use crate::support::raw::{Raw, Response};

/// In a field, and as the file calls the server.
const PLAIN: &str = "expose_upstream = { header = \"X-Upstream\" }";

/// In a field, and as a number that stands for the server.
const HASHED: &str = "expose_upstream = { header = \"X-Upstream\", value = \"hashed\" }";

/// In a cookie.
const COOKIE: &str = "expose_upstream = { cookie = \"upstream\" }";

/// The text of lbd before these servers, with these keys for their pool.
fn pool(servers: &[&Backend], keys: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    app(&servers, keys)
}

/// The answer to a request with these fields.
async fn answer(proxy: &Proxy, fields: &[(&str, &str)]) -> Response {
    let client = proxy.client().await;
    let mut client = client.allowing("x-upstream").allowing("set-cookie");
    client.request("GET", "/", fields, b"").await
}

/// Who has answered, as its field says.
async fn who(proxy: &Proxy) -> Option<String> {
    let answer = answer(proxy, &[]).await;
    answer.field("x-upstream").map(str::to_owned)
}

// === a field ===

#[tokio::test]
async fn each_answer_names_the_server_that_gave_it() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let proxy = Proxy::start(&pool(&[&a, &b], PLAIN)).await;
    for server in [&a, &b, &a, &b] {
        let addr = server.addr().to_string();
        assert_eq!(who(&proxy).await, Some(addr));
    }
}

#[tokio::test]
async fn a_server_with_a_name_is_called_by_it_and_its_address() {
    let backend = Backend::start(ok("x")).await;
    let named = format!("localhost:{}", backend.addr().port());
    let proxy = Proxy::start(&app(&[format!("\"{named}\"")], PLAIN)).await;
    let told = who(&proxy).await.unwrap_or_default();
    // With the address behind it, for a name may stand for several.
    assert!(told.starts_with(&named), "{told}");
}

#[tokio::test]
async fn without_the_key_nobody_is_told() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&pool(&[&backend], "")).await;
    // This client takes no field that it does not know.
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn after_a_retry_the_one_that_answered_is_named() {
    let dead = Backend::refuses();
    let broken = Backend::start(closes_before_answer()).await;
    let alive = Backend::start(ok("alive")).await;
    let proxy = Proxy::start(&pool(&[&dead, &broken, &alive], PLAIN)).await;
    assert_eq!(who(&proxy).await, Some(alive.addr().to_string()));
}

#[tokio::test]
async fn an_error_of_the_server_s_own_is_its_answer() {
    let backend = Backend::start(answers(500, "broken")).await;
    let proxy = Proxy::start(&pool(&[&backend], PLAIN)).await;
    assert_eq!(who(&proxy).await, Some(backend.addr().to_string()));
}

#[tokio::test]
async fn what_the_server_says_in_that_field_stays() {
    let bytes = "HTTP/1.1 200 OK\r\nX-Upstream: inner\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::start(raw(bytes)).await;
    let proxy = Proxy::start(&pool(&[&backend], PLAIN)).await;
    let addr = backend.addr().to_string();
    let fields = answer(&proxy, &[]).await.fields;
    assert_eq!(fields.all("x-upstream"), ["inner", &addr]);
}

#[tokio::test]
async fn a_switch_to_another_protocol_names_the_server() {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], PLAIN)).await;
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    server.send(switching(&asked, "")).await;
    let head = client.head().await;
    let addr = door.addr().to_string();
    assert_eq!(head.fields.get("x-upstream"), Some(addr.as_str()));
}

// === a number ===

#[tokio::test]
async fn a_hash_has_16_digits_and_is_the_same_at_every_node() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let text = pool(&[&a, &b], HASHED);
    let mut told = Vec::new();
    for _ in 0..2 {
        let node = Proxy::start(&text).await;
        told.push([who(&node).await, who(&node).await]);
    }
    assert_eq!(told[0], told[1]);
    let [first, second] = &told[0];
    assert_ne!(first, second, "each server has its own");
    for hash in [first, second] {
        let hash = hash.as_deref().expect("it is told");
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(hash.len() == 16 && hash.bytes().all(is_digit), "{hash}");
    }
}

#[tokio::test]
async fn a_cookie_can_have_the_hash_too() {
    let backend = Backend::start(ok("x")).await;
    let by_field = Proxy::start(&pool(&[&backend], HASHED)).await;
    let hash = who(&by_field).await.expect("it is told");
    let keys = HASHED.replace("header = \"X-Upstream\"", "cookie = \"upstream\"");
    let by_cookie = Proxy::start(&pool(&[&backend], &keys)).await;
    let answer = answer(&by_cookie, &[]).await;
    let cookie = format!("upstream={hash}; Path=/; SameSite=Lax");
    assert_eq!(answer.field("set-cookie"), Some(cookie.as_str()));
}

// === a cookie ===

#[tokio::test]
async fn a_cookie_names_the_server() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&pool(&[&backend], COOKIE)).await;
    let answer = answer(&proxy, &[]).await;
    let cookie = format!("upstream={}; Path=/; SameSite=Lax", backend.addr());
    assert_eq!(answer.field("set-cookie"), Some(cookie.as_str()));
}

#[tokio::test]
async fn a_cookie_that_the_client_has_is_not_repeated() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&pool(&[&backend], COOKIE)).await;
    let own = format!("a=1; upstream={}", backend.addr());
    let told = answer(&proxy, &[("Cookie", &own)]).await;
    assert!(!told.fields.has("set-cookie"), "{told:?}");
    // That was somebody else.
    let other = "upstream=10.0.0.1:80";
    let told = answer(&proxy, &[("Cookie", other)]).await;
    assert!(told.fields.has("set-cookie"), "{told:?}");
}

// === who may know ===

/// The pool's key, with these networks.
fn to(networks: &str) -> String {
    PLAIN.replace(" }", &format!(", to = [\"{networks}\"] }}"))
}

#[tokio::test]
async fn only_those_of_the_networks_are_told() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&pool(&[&backend], &to("127.0.0.2/31"))).await;
    for (source, is_told) in [
        ("127.0.0.1", false),
        ("127.0.0.2", true),
        ("127.0.0.3", true),
    ] {
        let mut client = Raw::connect_from(source, proxy.addr()).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = client.exchange(request).await;
        assert_eq!(answer.fields.has("x-upstream"), is_told, "{source}");
    }
}

#[tokio::test]
async fn who_comes_by_a_trusted_proxy_counts_and_not_the_proxy() {
    let backend = Backend::start(ok("x")).await;
    let trusts = "trusted_proxies = [\"127.0.0.0/8\"]";
    let text = pool(&[&backend], &to("10.0.0.0/8"));
    let proxy = Proxy::start_with(trusts, &text).await;
    for (client, is_told) in [("10.1.2.3", true), ("192.0.2.7", false)] {
        let answer = answer(&proxy, &[("X-Forwarded-For", client)]).await;
        assert_eq!(answer.fields.has("x-upstream"), is_told, "{client}");
    }
}

#[tokio::test]
async fn a_stranger_cannot_claim_to_be_one_of_them() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&pool(&[&backend], &to("10.0.0.0/8"))).await;
    let answer = answer(&proxy, &[("X-Forwarded-For", "10.1.2.3")]).await;
    assert!(!answer.fields.has("x-upstream"), "{answer:?}");
}

// === answers of lbd's own ===

#[tokio::test]
async fn an_answer_of_lbd_s_own_names_nobody() {
    let broken = Backend::start(closes_before_answer()).await;
    for keys in [PLAIN, COOKIE] {
        let own = answers_itself("path = \"/own/\"", "hello");
        let proxy = Proxy::start(&(own + &pool(&[&broken], keys))).await;
        // This client takes no field that it does not know.
        for (target, status) in [("/", 502), ("/own/", 200), ("/own", 308)] {
            assert_eq!(proxy.get(target).await.status, status, "{target}");
        }
    }
}

// === HTTP/2 ===

#[tokio::test]
async fn clients_and_servers_of_http_2_are_no_exception() {
    let peer = H2Peer::start(says("x")).await;
    let addr = peer.server().trim_matches('"').to_owned();
    for (keys, name, value) in [
        (PLAIN, "x-upstream", addr.clone()),
        (
            COOKIE,
            "set-cookie",
            format!("upstream={addr}; Path=/; SameSite=Lax"),
        ),
    ] {
        let text = app(&[peer.server()], &format!("protocol = \"h2c\"\n{keys}"));
        let proxy = Proxy::start_with("h2c = true", &text).await;
        let mut client = Http2::connect(proxy.addr()).await;
        let answer = client.get("/").await;
        assert_eq!(answer.field(name), Some(value.as_str()));
    }
}

#[tokio::test]
async fn a_cookie_among_others_over_http_2_is_not_repeated() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start_with("h2c = true", &pool(&[&backend], COOKIE)).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let own = format!("upstream={}", backend.addr());
    let crumbs = [("cookie", "a=1"), ("cookie", own.as_str())];
    let answer = client.ask(request("GET", "/", &crumbs), b"").await;
    assert_eq!((answer.status, answer.field("set-cookie")), (200, None));
}
