//! One access line for each tunnel, when it is over: how long it lasted, and what passed each way.

use std::time::Duration;

use tokio::time::interval;

use crate::support::backend::Backend;
use crate::support::behaviour::answers;
use crate::support::h2_line::{line as stream, websocket};
use crate::support::http2::{Http2, head};
use crate::support::line::{Line, upgrade};
use crate::support::log::{line, lines, logging};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, file};
use crate::support::temp::TempFile;

use super::{accepted, greeted, greets, tunnel};

/// Two bytes up and five down, and the end.
async fn talk(client: &mut Line, server: &mut Line) {
    client.pass(server, b"hi").await;
    server.pass(client, b"hello").await;
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
}

/// How many seconds `line` says that it lasted, and what stands behind that.
fn lasted(line: &str) -> (f64, &str) {
    let (_, rest) = line.split_once(" time=").expect("how long it lasted");
    let (time, rest) = rest.split_once(' ').expect("more behind it");
    (time.parse().expect("seconds"), rest)
}

#[tokio::test]
async fn a_combined_line_says_what_passed() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &app(&[door.server()], "")).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    talk(&mut client, &mut server).await;
    let line = line(&log).await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let said = "\"GET /chat HTTP/1.1\" 101 5 \"-\" \"-\" host=\"app.example\" id=";
    assert!(line.contains(said), "{line}");
    let (_, rest) = lasted(&line);
    let address = door.addr();
    let said = format!("received=2 pool=app servers=\"{address}\" results=\"101\" times=\"");
    assert!(rest.starts_with(&said), "no {said} in {line}");
}

#[tokio::test]
async fn a_json_line_says_the_same() {
    let door = Door::open().await;
    let (log, proxy) = logging("access_format = \"json\"", &app(&[door.server()], "")).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    talk(&mut client, &mut server).await;
    let line = line(&log).await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for part in [
        "\"method\":\"GET\"",
        "\"target\":\"/chat\"",
        "\"status\":101",
        "\"bytes\":5",
        "\"received\":2",
        "\"host\":\"app.example\"",
        "\"pool\":\"app\"",
        "\"result\":101",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[tokio::test]
async fn what_comes_with_the_heads_counts() {
    let backend = Backend::start(greets()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    let asked = [&upgrade("/chat", &[])[..], b"early"].concat();
    client.send(asked).await;
    client.head().await;
    client.hears("hello").await;
    client.finish().await;
    client.ends().await;
    let line = line(&log).await;
    assert!(line.contains("\"GET /chat HTTP/1.1\" 101 5 "), "{line}");
    assert!(line.contains(" received=5 "), "{line}");
}

#[tokio::test]
async fn the_line_comes_at_the_end_and_not_before() {
    let backend = Backend::start(greets()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = greeted(&proxy).await;
    // Written after a line that the tunnel might have had.
    assert_eq!(proxy.get("/plain").await.status, 200);
    let first = line(&log).await;
    assert!(first.contains("\"GET /plain HTTP/1.1\" 200 1 "), "{first}");
    assert!(!first.contains("received="), "{first}");
    client.finish().await;
    client.ends().await;
    let second = lines(&log, 2).await.remove(1);
    assert!(second.contains("\"GET /chat HTTP/1.1\" 101 5 "), "{second}");
}

#[tokio::test]
async fn the_line_says_how_long_the_tunnel_lasted() {
    let backend = Backend::start(greets()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = greeted(&proxy).await;
    let mut pace = interval(Duration::from_millis(100));
    for _ in 0..4 {
        pace.tick().await;
        client.send(".").await;
    }
    client.finish().await;
    client.ends().await;
    let line = line(&log).await;
    let (time, _) = lasted(&line);
    assert!((0.25..5.0).contains(&time), "{line}");
}

#[tokio::test]
async fn a_tunnel_that_is_reset_has_its_line() {
    let door = Door::open().await;
    let (log, proxy) = logging("", &app(&[door.server()], "")).await;
    let (mut client, server) = tunnel(proxy.addr(), &door).await;
    server.reset();
    client.is_cut().await;
    let line = line(&log).await;
    assert!(line.contains("\"GET /chat HTTP/1.1\" 101 0 "), "{line}");
}

#[tokio::test]
async fn a_tunnel_that_is_cut_off_at_the_end_has_its_line() {
    let backend = Backend::start(greets()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let _client = greeted(&proxy).await;
    proxy.stop().await;
    let line = line(&log).await;
    assert!(line.contains("\"GET /chat HTTP/1.1\" 101 5 "), "{line}");
}

#[tokio::test]
async fn a_refused_upgrade_has_the_line_of_a_request() {
    let backend = Backend::start(answers(403, "no")).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    assert_eq!(client.exchange(upgrade("/chat", &[])).await.status, 403);
    let line = line(&log).await;
    assert!(line.contains("\"GET /chat HTTP/1.1\" 403 2 "), "{line}");
    assert!(!line.contains("received="), "{line}");
}

#[tokio::test]
async fn a_tunnel_over_http_2_has_its_line() {
    let (log, door) = (TempFile::new("log"), Door::open().await);
    let keys = format!("access = \"{}\"", log.path());
    let rest = app(&[door.server()], "");
    let proxy = Proxy::start_file(&file(&keys, "h2c = true", &rest)).await;
    let mut http2 = Http2::connect(proxy.addr()).await;
    let (response, upload) = http2.start(websocket("/chat", &[]), false).await;
    let mut server = accepted(&door).await;
    let mut client = stream(head(response).await.expect("an answer"), upload);
    client.pass(&mut server, b"hi").await;
    server.pass(&mut client, b"hello").await;
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
    let line = line(&log).await;
    assert!(line.contains(" /chat HTTP/2.0\" "), "{line}");
    assert!(
        line.contains(" 5 \"-\" \"-\" host=\"app.example\" "),
        "{line}"
    );
    assert!(
        lasted(&line).1.starts_with("received=2 pool=app "),
        "{line}"
    );
}
