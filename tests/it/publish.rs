//! An app that is published on one server after the other: requests for it go where it is, and whoever lacks it keeps its
//! other work.

use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::proxy::{Proxy, app_at};
use crate::support::raw::Response;
use crate::support::wait;

/// What moves a request on, and a memory that outlives the test.
const ON: &str = "on = [\"http_404\", \"http_503\"], memory = \"60s\"";

/// All that is to be had when everything is published.
const BOTH: &[&str] = &["/app_a/", "/app_b/"];

/// What a server has that app_a is not published on yet.
const ONLY_B: &[&str] = &["/app_b/"];

/// Says `name` to whoever asks for one of these targets, and answers `status` to everything else.
fn has(targets: &'static [&'static str], name: &'static str, status: u16) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        loop {
            let request = peer.request().await?;
            let is_there = targets.contains(&request.target());
            let status = if is_there { 200 } else { status };
            let length = name.len();
            let head = format!("HTTP/1.1 {status} Said So\r\nContent-Length: {length}\r\n\r\n");
            peer.send(head + name).await?;
        }
    })
}

/// A route for each app, both to one pool with these servers, in their order, and with these keys.
fn apps(servers: &[&Backend], keys: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|backend| backend.server()).collect();
    let app_b = "[[routes]]\npath = \"/app_b/\"\npool = \"app\"\n";
    format!("{app_b}{}", app_at("path = \"/app_a/\"", &servers, keys))
}

/// Servers a, which answers `status` for app_a, and b, which has it, with this `retry` and further keys.
async fn publishing(status: u16, retry: &str, keys: &str) -> (Backend, Backend, Proxy) {
    let (a, b) = (
        Backend::start(has(ONLY_B, "a", status)).await,
        Backend::start(has(BOTH, "b", 404)).await,
    );
    let keys = format!("retry = {{ {retry} }}\n{keys}");
    let proxy = Proxy::start(&apps(&[&a, &b], &keys)).await;
    (a, b, proxy)
}

/// Status and body.
fn said(answer: &Response) -> (u16, String) {
    (answer.status, answer.text())
}

/// So many GETs for `target` are all answered by b.
async fn b_answers(proxy: &Proxy, target: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(said(&proxy.get(target).await), (200, "b".to_owned()));
    }
}

// === what is remembered ===

#[tokio::test]
async fn a_server_that_lacks_an_app_is_asked_for_it_once() {
    for status in [404, 503] {
        let (a, b, proxy) = publishing(status, ON, "").await;
        b_answers(&proxy, "/app_a/", 8).await;
        assert_eq!((a.requests(), b.requests()), (1, 8), "{status}");
    }
}

#[tokio::test]
async fn that_is_so_unless_the_file_says_otherwise() {
    let (a, _b, proxy) = publishing(404, "on = [\"http_404\"]", "").await;
    b_answers(&proxy, "/app_a/", 4).await;
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn not_even_a_post_is_sent_to_a_server_that_lacks_the_app() {
    let (a, _b, proxy) = publishing(503, ON, "").await;
    b_answers(&proxy, "/app_a/", 1).await;
    for method in ["POST", "PATCH", "POST", "LOCK"] {
        let answer = proxy.request(method, "/app_a/", &[], b"x").await;
        assert_eq!(said(&answer), (200, "b".to_owned()), "{method}");
    }
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn all_who_lack_an_app_are_remembered() {
    let servers = [
        Backend::start(has(ONLY_B, "a", 404)).await,
        Backend::start(has(ONLY_B, "c", 503)).await,
        Backend::start(has(BOTH, "b", 404)).await,
    ];
    let proxy = Proxy::start(&apps(&servers.each_ref(), &format!("retry = {{ {ON} }}"))).await;
    b_answers(&proxy, "/app_a/", 6).await;
    assert_eq!(servers.map(|server| server.requests()), [1, 1, 6]);
}

#[tokio::test]
async fn a_server_that_lacks_one_app_has_its_turn_in_others() {
    for status in [404, 503] {
        let keys = "max_fails = 1\nfail_timeout = \"60s\"";
        let (a, _b, proxy) = publishing(status, ON, keys).await;
        b_answers(&proxy, "/app_a/", 3).await;
        let mut names = Vec::new();
        for _ in 0..8 {
            names.push(proxy.get("/app_b/").await.text());
        }
        let by_a = names.iter().filter(|name| *name == "a").count();
        assert_eq!(by_a, 4, "{status}: {names:?}");
        assert_eq!(proxy.server(a.addr()).state, "up", "{status}");
    }
}

#[tokio::test]
async fn what_nobody_has_is_a_404_of_theirs_and_nobody_lacks_it() {
    let (a, b, proxy) = publishing(404, ON, "").await;
    for n in 1..=3 {
        let answer = proxy.get("/app_a/absent").await;
        assert!(["a", "b"].contains(&answer.text().as_str()), "{answer:?}");
        assert_eq!((answer.status, a.requests(), b.requests()), (404, n, n));
    }
    // As for the first time, if a is asked at all.
    b_answers(&proxy, "/app_a/", 2).await;
    assert_eq!(a.requests(), 4);
}

#[tokio::test]
async fn an_error_of_another_does_not_say_that_it_has_the_app() {
    let (a, b) = (
        Backend::start(has(BOTH, "a", 404)).await,
        Backend::start(has(&[], "b", 500)).await,
    );
    let proxy = Proxy::start(&apps(&[&a, &b], &format!("retry = {{ {ON} }}"))).await;
    let answer = proxy.get("/app_a/absent").await;
    assert_eq!(said(&answer), (500, "b".to_owned()));
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(proxy.get("/app_a/").await.text());
    }
    assert!(names.contains(&"a".to_owned()), "{names:?}");
}

// === what is forgotten ===

#[tokio::test]
async fn after_its_memory_a_server_is_asked_again() {
    let on = "on = [\"http_404\"], memory = \"50ms\"";
    let (mut a, _b, proxy) = publishing(404, on, "").await;
    wait::until_async("a is asked again", async || {
        b_answers(&proxy, "/app_a/", 1).await;
        a.requests() > 1
    })
    .await;
    a.restart_as(has(BOTH, "a", 404)).await;
    wait::until_async("a serves it", async || {
        proxy.get("/app_a/").await.text() == "a"
    })
    .await;
}

#[tokio::test]
async fn a_reload_forgets() {
    let (a, b, mut proxy) = publishing(404, ON, "").await;
    b_answers(&proxy, "/app_a/", 4).await;
    assert_eq!(a.requests(), 1);
    proxy
        .reload(&apps(&[&a, &b], &format!("retry = {{ {ON} }}")))
        .await;
    b_answers(&proxy, "/app_a/", 2).await;
    assert_eq!(a.requests(), 2);
}

#[tokio::test]
async fn without_memory_everybody_is_asked_in_turn() {
    let on = "on = [\"http_404\"], memory = \"0s\"";
    let keys = "max_fails = 1\nfail_timeout = \"60s\"";
    let (a, b, proxy) = publishing(404, on, keys).await;
    b_answers(&proxy, "/app_a/", 8).await;
    assert_eq!((a.requests(), b.requests()), (4, 8));
}

#[tokio::test]
async fn without_memory_a_503_is_a_failure() {
    let on = "on = [\"http_503\"], memory = \"0s\"";
    let keys = "max_fails = 1\nfail_timeout = \"60s\"";
    let (a, _b, proxy) = publishing(503, on, keys).await;
    b_answers(&proxy, "/app_a/", 2).await;
    assert_eq!(proxy.server(a.addr()).state, "out");
    b_answers(&proxy, "/app_b/", 4).await;
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn a_route_may_remember_differently() {
    let (a, b) = (
        Backend::start(has(&[], "a", 404)).await,
        Backend::start(has(BOTH, "b", 404)).await,
    );
    let text = apps(&[&a, &b], &format!("retry = {{ {ON} }}"));
    let forgetful = "path = \"/app_b/\"\nretry = { memory = \"0s\" }";
    let text = text.replace("path = \"/app_b/\"", forgetful);
    let proxy = Proxy::start(&text).await;
    b_answers(&proxy, "/app_a/", 4).await;
    assert_eq!(a.requests(), 1);
    b_answers(&proxy, "/app_b/", 4).await;
    assert_eq!(a.requests(), 3, "every other one is its turn");
}

// === who is asked all the same ===

#[tokio::test]
async fn a_post_is_not_repeated_before_it_is_known_who_has_the_app() {
    for status in [404, 503] {
        let (a, b, proxy) = publishing(status, ON, "").await;
        let answer = proxy.request("POST", "/app_a/", &[], b"x").await;
        assert_eq!(said(&answer), (status, "a".to_owned()));
        assert_eq!((a.requests(), b.requests()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn when_everybody_else_is_dead_the_one_that_lacks_the_app_is_asked() {
    let on = "on = [\"error\", \"http_404\", \"http_503\"], memory = \"60s\"";
    let (a, mut b, proxy) = publishing(503, on, "").await;
    b_answers(&proxy, "/app_a/", 2).await;
    b.stop().await;
    for n in 2..=3 {
        assert_eq!(
            said(&proxy.get("/app_a/").await),
            (503, "a".to_owned()),
            "its own answer is better than none"
        );
        assert_eq!(a.requests(), n);
    }
}

#[tokio::test]
async fn a_client_of_a_server_that_lacks_the_app_gets_it_and_stays_a_client() {
    for status in [404, 503] {
        let sticky = "sticky = { cookie = \"lb\" }";
        let (_a, _b, proxy) = publishing(status, ON, sticky).await;
        let mut new = proxy.client().await.allowing("set-cookie");
        let answer = new.get("/app_b/").await;
        let cookie = answer.field("set-cookie").expect("a new client is bound");
        let cookie = cookie.split(';').next().unwrap_or_default();
        assert_eq!(answer.text(), "a");
        // A Set-Cookie would fail the test from here on.
        for (target, name) in [("/app_a/", "b"), ("/app_b/", "a")].repeat(3) {
            let answer = proxy
                .request("GET", target, &[("Cookie", cookie)], b"")
                .await;
            assert_eq!(said(&answer), (200, name.to_owned()), "{status} {target}");
        }
    }
}

#[tokio::test]
async fn a_client_that_nobody_has_yet_is_bound_where_the_app_is() {
    let (_a, _b, proxy) = publishing(404, ON, "sticky = { cookie = \"lb\" }").await;
    for _ in 0..3 {
        let mut new = proxy.client().await.allowing("set-cookie");
        let answer = new.get("/app_a/").await;
        assert_eq!(said(&answer), (200, "b".to_owned()));
        assert!(answer.fields.has("set-cookie"), "{answer:?}");
    }
}
