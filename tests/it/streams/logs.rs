//! One access line for each connection, at its end, whatever became of it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::interval;

use crate::support::backend::Backend;
use crate::support::log::{line, lines, logging};
use crate::support::plain::{Door, Plain};
use crate::support::streams::{addr, stream};

/// A connection of 3 bytes up and 5 down, from its begin to its end.
async fn talk(addr: SocketAddr, door: &Door) {
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await;
    client.send("abc").await;
    client.finish().await;
    assert_eq!(server.rest().await, b"abc");
    server.send("hello").await;
    server.finish().await;
    assert_eq!(client.rest().await, b"hello");
}

#[tokio::test]
async fn a_combined_line_says_what_passed_and_where_to() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &stream("", &[door.server()], "")).await;
    let addr = addr(&proxy);
    talk(addr, &door).await;
    let line = line(&log).await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let said = format!("] \"TCP {addr}\" 200 5 \"-\" \"-\" host=\"-\" id=- time=");
    assert!(line.contains(&said), "no {said} in {line}");
    let (_, rest) = line.split_once(" time=").expect("how long it lasted");
    let (time, rest) = rest.split_once(' ').expect("more behind it");
    assert!(time.parse::<f64>().is_ok(), "{line}");
    let server = door.addr();
    let said = format!("received=3 pool=app servers=\"{server}\" results=\"200\" times=\"");
    assert!(rest.starts_with(&said), "no {said} in {line}");
}

#[tokio::test]
async fn a_json_line_says_the_same() {
    let (dead, door) = (Backend::refuses(), Door::open().await);
    let servers = [dead.server(), door.server()];
    let (log, proxy) = logging("access_format = \"json\"", &stream("", &servers, "")).await;
    let addr = addr(&proxy);
    talk(addr, &door).await;
    let line = line(&log).await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for part in [
        "\"client\":\"127.0.0.1\"",
        "\"method\":\"TCP\"",
        &format!("\"target\":\"{addr}\""),
        "\"status\":200",
        "\"bytes\":5",
        "\"received\":3",
        "\"host\":null",
        "\"pool\":\"app\"",
        &format!(
            "{{\"server\":\"{}\",\"result\":\"connection refused\"",
            dead.addr()
        ),
        &format!("{{\"server\":\"{}\",\"result\":200", door.addr()),
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[tokio::test]
async fn the_time_of_a_slow_client_is_not_its_servers() {
    let door = Door::open().await;
    let keys = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let text = stream(keys, &[door.server()], "");
    let (log, proxy) = logging("access_format = \"json\"", &text).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    let mut pace = interval(Duration::from_millis(40));
    for byte in b"PROXY UNKNOWN\r\n" {
        pace.tick().await;
        client.send([*byte]).await;
    }
    let mut server = door.accept().await;
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
    let line: Value = serde_json::from_str(&line(&log).await).expect("an object");
    let connect = line["attempts"][0]["connect"].as_f64().expect("seconds");
    let duration = line["duration"].as_f64().expect("seconds");
    assert!(connect < duration / 2.0, "{line}");
}

#[tokio::test]
async fn requests_have_no_received() {
    for format in ["combined", "json"] {
        let keys = format!("access_format = \"{format}\"");
        let (log, proxy) = logging(&keys, "").await;
        assert_eq!(proxy.get("/").await.status, 404);
        let line = line(&log).await;
        assert!(!line.contains("received"), "{line}");
    }
}

#[tokio::test]
async fn a_line_names_every_attempt() {
    let (dead, door) = (Backend::refuses(), Door::open().await);
    let servers = [dead.server(), door.server()];
    let (log, proxy) = logging("", &stream("", &servers, "")).await;
    talk(addr(&proxy), &door).await;
    let line = line(&log).await;
    let (dead, good) = (dead.addr(), door.addr());
    let said = format!("servers=\"{dead}, {good}\" results=\"connection refused, 200\" times=\"");
    assert!(line.contains(&said), "no {said} in {line}");
}

#[tokio::test]
async fn when_no_server_can_be_connected_the_line_says_502() {
    let dead = Backend::refuses();
    let (log, proxy) = logging("", &stream("", &[dead.server()], "")).await;
    Plain::connect(addr(&proxy)).await.is_closed().await;
    let line = line(&log).await;
    assert!(line.contains("\" 502 0 "), "{line}");
    assert!(line.contains("results=\"connection refused\""), "{line}");
}

#[tokio::test]
async fn when_every_server_hangs_the_line_says_504() {
    let hangs = Backend::never_accepts().await;
    let pool = "timeouts = { connect = \"200ms\" }";
    let (log, proxy) = logging("", &stream("", &[hangs.server()], pool)).await;
    Plain::connect(addr(&proxy)).await.is_closed().await;
    let line = line(&log).await;
    assert!(line.contains("\" 504 0 "), "{line}");
    assert!(line.contains("results=\"connect timeout\""), "{line}");
}

/// The line of a client that leaves while these servers are tried.
async fn left(servers: &[String]) -> String {
    let (log, proxy) = logging("", &stream("", servers, "")).await;
    let client = Plain::connect(addr(&proxy)).await;
    // Answered after that was accepted.
    assert_eq!(proxy.get("/").await.status, 404);
    client.reset();
    let mut lines = lines(&log, 2).await.into_iter();
    let line = lines.find(|line| line.contains("\"TCP "));
    line.expect("a line of the connection")
}

#[tokio::test]
async fn when_the_client_leaves_before_a_server_is_found_the_line_says_499() {
    let hangs = Backend::never_accepts().await;
    let line = left(&[hangs.server()]).await;
    assert!(line.contains("\" 499 0 "), "{line}");
    assert!(line.contains("results=\"client left\""), "{line}");
}

#[tokio::test]
async fn when_the_client_leaves_after_a_server_has_failed_the_line_says_499_too() {
    let (dead, hangs) = (Backend::refuses(), Backend::never_accepts().await);
    let line = left(&[dead.server(), hangs.server()]).await;
    assert!(line.contains("\" 499 0 "), "{line}");
    let results = "results=\"connection refused, client left\"";
    assert!(line.contains(results), "{line}");
}

#[tokio::test]
async fn a_connection_that_breaks_was_relayed_all_the_same() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &stream("", &[door.server()], "")).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    let mut server = door.accept().await;
    server.send("1234567").await;
    client.hears("1234567").await;
    client.reset();
    server.is_reset().await;
    let line = line(&log).await;
    assert!(line.contains("\" 200 7 "), "{line}");
    assert!(line.contains(" received=0 "), "{line}");
}

#[tokio::test]
async fn a_connection_that_idles_leaves_its_line() {
    let door = Door::open().await;
    let text = stream("timeouts = { idle = \"200ms\" }", &[door.server()], "");
    let (log, proxy) = logging("", &text).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    client.is_closed().await;
    let line = line(&log).await;
    assert!(line.contains("\" 200 0 "), "{line}");
}

#[tokio::test]
async fn a_connection_that_is_cut_off_at_the_end_leaves_its_line() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &stream("", &[door.server()], "")).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    let mut server = door.accept().await;
    client.send("abc").await;
    server.hears("abc").await;
    proxy.shutdown(Some(Duration::from_millis(100))).await;
    assert_eq!(log.lines().len(), 1, "it is on disk by then");
    assert!(log.lines()[0].contains(" received=3 "), "{:?}", log.lines());
}

#[tokio::test]
async fn each_connection_leaves_one_line() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &stream("", &[door.server()], "")).await;
    for count in 1..=5 {
        talk(addr(&proxy), &door).await;
        lines(&log, count).await;
    }
}

#[tokio::test]
async fn each_attempt_has_a_time_of_its_own_though_all_have_failed() {
    let (hangs, dead) = (Backend::never_accepts().await, Backend::refuses());
    let keys = "timeouts = { connect = \"500ms\" }";
    let text = stream(keys, &[hangs.server(), dead.server()], "");
    let (log, proxy) = logging("", &text).await;
    Plain::connect(addr(&proxy)).await.is_closed().await;
    let line = line(&log).await;
    let (_, times) = line.split_once(" times=\"").expect("times");
    let times: Vec<f64> = times
        .trim_end_matches('"')
        .split(", ")
        .map(|time| time.parse().expect("a time"))
        .collect();
    assert!(times[0] >= 0.5 && times[1] < 0.4, "{line}");
}
