//! What a route and a pool can be told, each key seen from outside.

use crate::support::backend::Backend;
use crate::support::behaviour::{answers, never_answers, ok};
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::temp::TempFile;
use crate::support::wait;

// === error_pages ===

/// lbd before `backend`, with a page for 502 to 504.
async fn with_a_page(backend: &Backend) -> (TempFile, Proxy) {
    let page = TempFile::new("html");
    std::fs::write(page.path(), "<h1>back soon</h1>").expect("a file of our own");
    let route = format!(
        "path = \"/\"\nerror_pages = {{ \"502-504\" = \"{}\" }}",
        page.path()
    );
    let proxy = Proxy::start(&app_at(&route, &[backend.server()], "")).await;
    (page, proxy)
}

#[tokio::test]
async fn an_error_of_lbd_s_own_shows_the_page_for_it() {
    let (_page, proxy) = with_a_page(&Backend::refuses()).await;
    let answer = proxy.get("/").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (502, "<h1>back soon</h1>")
    );
    assert_eq!(
        answer.field("content-type"),
        Some("text/html; charset=utf-8")
    );
}

#[tokio::test]
async fn an_error_of_the_app_s_own_is_left_as_it_is() {
    let backend = Backend::start(answers(503, "the app's own")).await;
    let (_page, proxy) = with_a_page(&backend).await;
    let answer = proxy.get("/").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "the app's own")
    );
}

// === host ===

/// The Host that the server sees when its pool says `host`.
async fn host_seen(host: &str) -> (Option<String>, Backend) {
    let backend = Backend::start(ok("")).await;
    let proxy = Proxy::start(&app(&[backend.server()], host)).await;
    proxy
        .request("GET", "/", &[("Host", "hq.example:8100")], b"")
        .await;
    let seen = backend.last().fields().get("host").map(str::to_owned);
    (seen, backend)
}

#[tokio::test]
async fn the_host_is_the_client_s_the_server_s_or_a_text() {
    let (seen, _) = host_seen("").await;
    assert_eq!(seen.as_deref(), Some("hq.example:8100"));
    let (seen, backend) = host_seen("host = \"server\"").await;
    assert_eq!(seen, Some(backend.addr().to_string()));
    let (seen, _) = host_seen("host = \"app.internal\"").await;
    assert_eq!(seen.as_deref(), Some("app.internal"));
}

// === what a route says differently ===

#[tokio::test]
async fn a_route_can_be_less_patient_than_its_pool() {
    let backend = Backend::start(never_answers()).await;
    let route = "path = \"/\"\ntimeouts = { read = \"100ms\" }";
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    assert_eq!(proxy.get("/").await.status, 504);
}

#[tokio::test]
async fn a_route_can_retry_less_than_its_pool() {
    let (dead, good) = (Backend::refuses(), Backend::start(ok("good")).await);
    let route = "path = \"/\"\nretry = { on = \"off\" }";
    let servers = [dead.server(), good.server()];
    let proxy = Proxy::start(&app_at(route, &servers, "")).await;
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(good.requests(), 0);
}

// === keepalive ===

/// Connections that four requests take under `keepalive`, and the server that got them.
async fn connections_for_four(keepalive: &str) -> (usize, Backend, Proxy) {
    let backend = Backend::start(ok("")).await;
    let proxy = Proxy::start(&app(&[backend.server()], keepalive)).await;
    let mut client = proxy.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
    }
    (backend.connections(), backend, proxy)
}

#[tokio::test]
async fn without_idle_connections_each_request_makes_its_own() {
    assert_eq!(connections_for_four("keepalive = { idle = 0 }").await.0, 4);
}

#[tokio::test]
async fn a_connection_ends_after_its_number_of_requests() {
    assert_eq!(
        connections_for_four("keepalive = { requests = 2 }").await.0,
        2
    );
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed() {
    let (connections, backend, _proxy) =
        connections_for_four("keepalive = { timeout = \"100ms\" }").await;
    assert_eq!(connections, 1);
    wait::until("the idle connection is closed", || backend.open() == 0).await;
}
