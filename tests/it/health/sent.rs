//! What an HTTP check asks, and where.

use super::{AT_ONCE, OFTEN, all_by, becomes, before, by_both, checked, goes_out, two};
use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// The first check of a server, with these keys of `health` and of the pool.
async fn first(backend: &Backend, health: &str, keys: &str) -> Request {
    let health = format!("health = {{ check = \"http\", {health}, {OFTEN} }}");
    let pool = app(&[backend.server()], &format!("{health}\n{keys}"));
    let _proxy = Proxy::start(&pool).await;
    backend.seen().remove(0)
}

#[tokio::test]
async fn a_check_is_a_plain_request_for_the_root() {
    let backend = Backend::start(ok("x")).await;
    let check = first(&backend, "rise = 2", "").await;
    assert_eq!(check.head.start, "GET / HTTP/1.1");
    let server = backend.addr().to_string();
    let agent = concat!("lbd/", env!("CARGO_PKG_VERSION"), " (check)");
    for (name, value) in [
        ("host", Some(server.as_str())),
        ("user-agent", Some(agent)),
        ("connection", Some("close")),
        ("x-forwarded-for", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(check.fields().get(name), value, "{name}");
    }
}

#[tokio::test]
async fn method_path_and_fields_are_as_the_file_says() {
    let backend = Backend::start(ok("x")).await;
    let keys = "method = \"OPTIONS\", path = \"/status?full=1&x=%20\", host = \"app.internal\", \
                headers = { X-Check = \"1\", Authorization = \"Basic YTpi\" }";
    let check = first(&backend, keys, "").await;
    assert_eq!(check.head.start, "OPTIONS /status?full=1&x=%20 HTTP/1.1");
    for (name, value) in [
        ("host", "app.internal"),
        ("x-check", "1"),
        ("authorization", "Basic YTpi"),
    ] {
        assert_eq!(check.fields().get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn fields_of_the_file_replace_lbd_s_own() {
    let backend = Backend::start(ok("x")).await;
    let keys = "headers = { User-Agent = \"probe\" }";
    let check = first(&backend, keys, "").await;
    assert_eq!(check.fields().get("user-agent"), Some("probe"));
}

#[tokio::test]
async fn the_host_is_the_pool_s_unless_the_check_says_otherwise() {
    let backend = Backend::start(ok("x")).await;
    let server = backend.addr().to_string();
    for (health, pool, host) in [
        ("rise = 2", "host = \"client\"", server.as_str()),
        ("rise = 2", "host = \"server\"", &server),
        ("rise = 2", "host = \"app.internal:81\"", "app.internal:81"),
        ("host = \"b.test\"", "host = \"a.test\"", "b.test"),
    ] {
        let backend = Backend::start(ok("x")).await;
        let check = first(&backend, health, pool).await;
        let host = host.replace(&server, &backend.addr().to_string());
        assert_eq!(check.fields().get("host"), Some(host.as_str()), "{pool}");
    }
}

#[tokio::test]
async fn a_check_has_a_connection_of_its_own() {
    let [a, b] = two().await;
    let proxy = before(&[&a, &b], OFTEN).await;
    by_both(&proxy).await;
    // One may have connected and not asked yet.
    wait::until("each check has had its own", || {
        a.backend.connections() == a.checks() + 1
    })
    .await;
}

#[tokio::test]
async fn checks_may_go_to_another_port() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    // It answers for both of them.
    let mut watcher = Backend::start(ok("watcher")).await;
    let keys = format!("port = {}, {AT_ONCE}", watcher.addr().port());
    let health = format!("health = {{ check = \"http\", {keys} }}");
    let proxy = Proxy::start(&app(&[a.server(), b.server()], &health)).await;
    by_both(&proxy).await;
    watcher.stop().await;
    for server in [&a, &b] {
        goes_out(&proxy, server.addr()).await;
    }
    assert_eq!(proxy.get("/").await.status, 502);
    watcher.start_as(ok("watcher"));
    for server in [&a, &b] {
        becomes(&proxy, server.addr(), "up").await;
    }
    by_both(&proxy).await;
    assert_eq!(a.requests() + b.requests(), 8, "no check came here");
    // Whoever asks there asks for the server.
    let host = watcher.last().fields().get("host").map(str::to_owned);
    let host = host.expect("a Host");
    assert!(
        [a.addr(), b.addr()]
            .map(|addr| addr.to_string())
            .contains(&host)
    );
}

#[tokio::test]
async fn two_pools_with_one_server_each_have_their_own_checks() {
    let [a, b] = two().await;
    a.answers(503, "");
    let sick = checked(&[&a, &b], AT_ONCE, "");
    let servers = [a.backend.server(), b.backend.server()].join(", ");
    let well = format!(
        "[[routes]]\npath = \"/well\"\npool = \"well\"\n[pools.well]\nservers = [{servers}]\n\
         health = {{ check = \"http\", path = \"/other\", {AT_ONCE} }}\n"
    );
    let proxy = Proxy::start(&format!("{sick}{well}")).await;
    all_by(proxy.addr(), "b").await;
    let mut client = proxy.client().await;
    let mut names = String::new();
    for _ in 0..4 {
        names += &client.get("/well").await.text();
    }
    assert!(names.contains('a') && names.contains('b'), "{names}");
}
