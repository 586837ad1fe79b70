//! `Location` and `Refresh`: a peer that names itself, or the wrong scheme or port, must not lead the client away from lbd.

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, ok};
use crate::support::proxy::{Proxy, app_at};

const ROUTE: &str = "path = \"/\"";

/// lbd before a server that answers 302 with `field`; `PEER` stands for the server's address, `OWN_PORT` for its
/// port, `PORT` for the port of lbd.
/// Gives what the client sees of that field, and the Host that it sent.
async fn rewritten(route: &str, name: &str, value: &str) -> (String, String) {
    let mut backend = Backend::start(ok("to learn the address")).await;
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    let host = format!("app.example:{}", proxy.addr().port());
    let value = value
        .replace("OWN_PORT", &backend.addr().port().to_string())
        .replace("PEER", &backend.addr().to_string())
        .replace("PORT", &proxy.addr().port().to_string());
    let answer = format!("HTTP/1.1 302 Found\r\n{name}: {value}\r\nContent-Length: 0\r\n\r\n");
    backend
        .restart_as(Behaviour::new(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.request().await?;
                peer.send(answer).await
            }
        }))
        .await;

    let mut client = proxy.client().await.allowing("refresh");
    let answer = client
        .request("GET", "/app_a/x", &[("Host", &host)], b"")
        .await;
    assert_eq!(answer.status, 302);
    (
        answer.field(name).expect("the field crosses").to_owned(),
        host,
    )
}

/// The client, following `Location: value`, stays with lbd and asks for `path`.
async fn leads_to(route: &str, value: &str, path: &str) {
    let (location, host) = rewritten(route, "Location", value).await;
    let good = [path.to_owned(), format!("http://{host}{path}")];
    assert!(
        good.contains(&location),
        "{value} became {location}, not one of {good:?}"
    );
}

/// `Location: value` is none of lbd's business.
async fn stays(value: &str) {
    let (location, _) = rewritten(ROUTE, "Location", value).await;
    assert_eq!(location, value);
}

#[tokio::test]
async fn a_location_that_names_the_server_leads_to_lbd() {
    leads_to(ROUTE, "http://PEER/login?next=/x", "/login?next=/x").await;
}

#[tokio::test]
async fn a_location_that_names_the_pool_leads_to_lbd() {
    leads_to(ROUTE, "http://app/login", "/login").await;
}

#[tokio::test]
async fn a_location_that_lost_the_port_leads_to_lbd() {
    leads_to(ROUTE, "http://app.example/login", "/login").await;
}

#[tokio::test]
async fn a_location_with_the_port_of_the_server_leads_to_lbd() {
    leads_to(ROUTE, "http://app.example:OWN_PORT/login", "/login").await;
}

#[tokio::test]
async fn a_location_with_a_port_that_lbd_does_not_know_is_meant() {
    stays("http://app.example:9/login").await;
}

#[tokio::test]
async fn a_location_that_is_right_leads_to_lbd() {
    leads_to(ROUTE, "http://app.example:PORT/login", "/login").await;
}

#[tokio::test]
async fn a_location_gets_back_the_prefix_that_was_replaced() {
    let route = "path = \"/app_a/\"\nreplace_prefix = \"/\"";
    leads_to(route, "http://PEER/login", "/app_a/login").await;
    leads_to(route, "http://PEER/", "/app_a/").await;
}

#[tokio::test]
async fn a_location_elsewhere_stays() {
    stays("https://login.other.example/x?y").await;
    stays("http://app.example.evil.example/x").await;
    stays("//cdn.other.example/x").await;
}

#[tokio::test]
async fn a_location_never_becomes_a_path_that_browsers_read_as_another_host() {
    for path in ["/\\evil.example/", "/\t/evil.example/", "//evil.example/"] {
        let (location, host) = rewritten(ROUTE, "Location", &format!("http://PEER{path}")).await;
        let start = format!("http://{host}/");
        assert!(location.starts_with(&start), "{path:?}: {location:?}");
    }
}

#[tokio::test]
async fn a_relative_location_stays() {
    stays("/login").await;
    stays("login?x=1").await;
}

#[tokio::test]
async fn a_refresh_that_names_the_server_leads_to_lbd() {
    let (refresh, host) = rewritten(ROUTE, "Refresh", "5; url=http://PEER/next").await;
    let good = [
        "5; url=/next".to_owned(),
        format!("5; url=http://{host}/next"),
    ];
    assert!(good.contains(&refresh), "{refresh}");
}
