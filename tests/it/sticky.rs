//! Clients that stay with a server: by a cookie of lbd's, by an app's own, or by what was learnt of them.

mod attributes;
mod duty;
mod elsewhere;
mod learn;
mod nodes;
mod route;
mod streams;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, ok};
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Response;

/// The key of a pool that binds clients by a cookie.
const BY_COOKIE: &str = "sticky = { cookie = \"lb\" }";

/// Three servers that say a, b and c.
async fn three() -> [Backend; 3] {
    [
        Backend::start(ok("a")).await,
        Backend::start(ok("b")).await,
        Backend::start(ok("c")).await,
    ]
}

/// lbd before these servers, with these keys for their pool.
async fn before(servers: &[&Backend], keys: &str) -> Proxy {
    Proxy::start(&pool(servers, keys)).await
}

/// The text for that.
fn pool(servers: &[&Backend], keys: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    app(&servers, keys)
}

/// `name=value` of the only `Set-Cookie`.
fn pair(answer: &Response) -> String {
    let cookie = answer.field("set-cookie");
    let cookie = cookie.unwrap_or_else(|| panic!("no Set-Cookie in {answer:?}"));
    cookie.split(';').next().unwrap_or_default().to_owned()
}

/// The answer to a request with these fields, which may set a cookie.
async fn answer(proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut client = proxy.client().await.allowing("set-cookie");
    client.request("GET", path, fields, b"").await
}

/// Who answers a client without a cookie, and the one that it gets.
async fn bound(proxy: &Proxy) -> (String, String) {
    let answer = answer(proxy, "/", &[]).await;
    (answer.text(), pair(&answer))
}

/// Who answers a client that has `cookie`, and the one that it gets in its place.
async fn moved(proxy: &Proxy, cookie: &str) -> (String, String) {
    let answer = answer(proxy, "/", &[("Cookie", cookie)]).await;
    (answer.text(), pair(&answer))
}

/// Who answers a client that has `cookie`, and that is not told anything of cookies.
async fn kept(proxy: &Proxy, cookie: &str) -> String {
    let answer = proxy.request("GET", "/", &[("Cookie", cookie)], b"").await;
    answer.text()
}

/// The bytes of a 200 with these field lines and this body.
fn says(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// Says `name`, but to `/wait` not before the gate opens.
fn waits(gate: &Gate, name: &'static str) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            loop {
                let request = peer.request().await?;
                if request.target() == "/wait" {
                    gate.passed().await;
                }
                peer.send(says("", name)).await?;
            }
        }
    })
}

#[tokio::test]
async fn the_first_answer_gives_a_cookie_that_names_nobody() {
    let [a, b, _] = three().await;
    let proxy = before(&[&a, &b], BY_COOKIE).await;
    let answer = answer(&proxy, "/", &[]).await;
    let cookie = answer.field("set-cookie").expect("a cookie");
    let rest = cookie.strip_prefix("lb=").expect("its name");
    let (value, attributes) = rest.split_at(32);
    assert!(
        value
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "{cookie}"
    );
    assert_eq!(attributes, "; Path=/; HttpOnly; SameSite=Lax");
}

#[tokio::test]
async fn each_client_stays_with_its_server_and_hears_of_it_once() {
    let [a, b, c] = three().await;
    let proxy = before(&[&a, &b, &c], BY_COOKIE).await;
    let mut clients = Vec::new();
    for name in ["a", "b", "c", "a", "b", "c"] {
        let (who, cookie) = bound(&proxy).await;
        assert_eq!(who, name, "new clients are balanced");
        clients.push((who, cookie));
    }
    for _ in 0..10 {
        for (name, cookie) in &clients {
            assert_eq!(kept(&proxy, cookie).await, *name);
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_bound_its_requests_are() {
    let [a, b, _] = three().await;
    let proxy = before(&[&a, &b], BY_COOKIE).await;
    let ((_, to_a), (_, to_b)) = (bound(&proxy).await, bound(&proxy).await);
    let mut client = proxy.client().await;
    for (cookie, name) in [(&to_a, "a"), (&to_b, "b"), (&to_b, "b"), (&to_a, "a")] {
        let fields = [("Cookie", cookie.as_str())];
        let answer = client.request("GET", "/", &fields, b"").await;
        assert_eq!(answer.text(), name);
    }
}

#[tokio::test]
async fn the_cookie_is_found_among_others() {
    let [a, b, _] = three().await;
    let proxy = before(&[&a, &b], BY_COOKIE).await;
    bound(&proxy).await;
    let (name, cookie) = bound(&proxy).await;
    for _ in 0..3 {
        let cookies = format!("x=1; lbx=2; {cookie}; y=\"lb=3\"");
        assert_eq!(kept(&proxy, &cookies).await, name);
    }
    let fields = [("Cookie", "x=1"), ("Cookie", &cookie)];
    let answer = proxy.request("GET", "/", &fields, b"").await;
    assert_eq!(answer.text(), name);
}

#[tokio::test]
async fn what_is_no_cookie_of_lbd_s_is_balanced_and_bound_anew() {
    let [a, b, _] = three().await;
    let proxy = before(&[&a, &b], BY_COOKIE).await;
    let ((_, to_a), (_, to_b)) = (bound(&proxy).await, bound(&proxy).await);
    let garbage = [
        "lb=".to_owned(),
        "lb=x".to_owned(),
        format!("lb={}", a.addr()),
        format!("lb={}", "0".repeat(32)),
        format!("lb={}", "f".repeat(4000)),
        to_a[..to_a.len() - 1].to_owned(),
        format!("{to_a}0"),
        to_a.replace("lb=", "bl="),
    ];
    for (cookie, expected) in garbage
        .iter()
        .zip([("a", &to_a), ("b", &to_b)].iter().cycle())
    {
        let (name, cookie) = moved(&proxy, cookie).await;
        assert_eq!((name.as_str(), &cookie), *expected);
    }
}

#[tokio::test]
async fn the_name_of_a_server_s_route_is_no_cookie() {
    let [a, b, _] = three().await;
    let servers = [
        a.server_with("route = \"node1\""),
        b.server_with("route = \"node2\""),
    ];
    let proxy = Proxy::start(&app(&servers, BY_COOKIE)).await;
    let (_, to_a) = bound(&proxy).await;
    let (name, cookie) = moved(&proxy, "lb=node1").await;
    assert_eq!(name, "b", "it is balanced");
    assert_ne!(cookie, to_a);
}

#[tokio::test]
async fn with_an_age_each_answer_renews_the_cookie() {
    let [a, b, _] = three().await;
    let keys = "sticky = { cookie = \"lb\", max_age = \"1h\" }";
    let proxy = before(&[&a, &b], keys).await;
    let first = answer(&proxy, "/", &[]).await;
    let (name, cookie) = (first.text(), pair(&first));
    let line = format!("{cookie}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    assert_eq!(first.field("set-cookie"), Some(&*line));
    for _ in 0..5 {
        let later = answer(&proxy, "/", &[("Cookie", &cookie)]).await;
        assert_eq!(later.field("set-cookie"), Some(&*line));
        assert_eq!(later.text(), name);
    }
}
