//! One access line for each session, at its end.

use crate::support::datagrams::{Datagrams, Echo};
use crate::support::log::{line, lines, logging};
use crate::support::streams::addr;

use super::udp;

/// A session of two datagrams of 3 bytes each, and two answers of 4.
async fn talk(keys: &str) -> (String, String, Echo) {
    let echo = Echo::start("a").await;
    let text = udp("timeouts = { idle = \"200ms\" }", &[echo.server()], "");
    let (log, proxy) = logging(keys, &text).await;
    let client = Datagrams::bind().await;
    for _ in 0..2 {
        assert_eq!(client.ask_text("abc", addr(&proxy)).await, "aabc");
    }
    let line = line(&log).await;
    (line, addr(&proxy).to_string(), echo)
}

#[tokio::test]
async fn a_combined_line_says_what_passed_and_where_to() {
    let (line, addr, echo) = talk("").await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let said = format!("] \"UDP {addr}\" 200 8 \"-\" \"-\" host=\"-\" id=- time=");
    assert!(line.contains(&said), "no {said} in {line}");
    let server = echo.addr();
    let said = format!(" received=6 pool=app servers=\"{server}\" results=\"200\" times=\"");
    assert!(line.contains(&said), "no {said} in {line}");
}

#[tokio::test]
async fn a_json_line_says_the_same() {
    let (line, addr, echo) = talk("access_format = \"json\"").await;
    for part in [
        "\"client\":\"127.0.0.1\"",
        "\"method\":\"UDP\"",
        &format!("\"target\":\"{addr}\""),
        "\"status\":200",
        "\"bytes\":8",
        "\"received\":6",
        "\"pool\":\"app\"",
        // Nothing is connected; how long the session lasted is its `total`.
        &format!(
            "{{\"server\":\"{}\",\"result\":200,\"connect\":null,",
            echo.addr()
        ),
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[tokio::test]
async fn a_line_names_every_attempt() {
    let (dead, echo) = (Datagrams::unreachable().await, Echo::start("a").await);
    let servers = [dead.server(), echo.server()];
    let text = udp("responses = 1", &servers, "");
    let (log, proxy) = logging("", &text).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
    let line = line(&log).await;
    let (dead, good) = (dead.addr(), echo.addr());
    let said = format!(" servers=\"{dead}, {good}\" results=\"");
    assert!(line.contains(&said), "no {said} in {line}");
    assert!(line.contains(", 200\" times=\""), "{line}");
    assert!(line.contains("\" 200 2 "), "{line}");
}

#[tokio::test]
async fn each_session_leaves_one_line() {
    let echo = Echo::start("a").await;
    let text = udp("responses = 1", &[echo.server()], "");
    let (log, proxy) = logging("", &text).await;
    let client = Datagrams::bind().await;
    for count in 1..=5 {
        assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
        lines(&log, count).await;
    }
}
