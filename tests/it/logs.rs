//! The access log: one line for each request, whatever became of it, with every attempt.

mod trouble;

use crate::support::backend::Backend;
use crate::support::behaviour::{closes_before_answer, never_answers, ok, short_body};
use crate::support::client::get;
use crate::support::log::{line, logging_at};
use crate::support::proxy::{Proxy, app, file};
use crate::support::temp::TempFile;
use crate::support::wait;

/// lbd that logs to a file of ours, with further keys for `[log]`, and is impatient with heads.
async fn logging(keys: &str, rest: &str) -> (TempFile, Proxy) {
    logging_at("timeouts = { header = \"200ms\" }", keys, rest).await
}

/// What stands in `line` between `before` and the next `after`.
fn between<'a>(line: &'a str, before: &str, after: char) -> &'a str {
    let (_, rest) = line
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {line}"));
    rest.split(after).next().unwrap_or_default()
}

fn is_seconds(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, millis)| {
        millis.len() == 3
            && (whole.to_owned() + millis)
                .bytes()
                .all(|byte| byte.is_ascii_digit())
    })
}

#[tokio::test]
async fn a_combined_line_begins_as_nginxs_does() {
    let backend = Backend::start(ok("hello")).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let fields = [
        ("Host", "hq:8100"),
        ("Referer", "http://from/"),
        ("User-Agent", "test/1.0"),
        ("X-Request-Id", "id-1"),
    ];
    proxy.request("GET", "/app_a/?x=1", &fields, b"").await;
    let line = line(&log).await;
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let time = between(&line, "[", ']');
    assert!(
        time.len() == 26 && time.ends_with(" +0000") && time.as_bytes()[11] == b':',
        "{time}"
    );
    let rest = "\"GET /app_a/?x=1 HTTP/1.1\" 200 5 \"http://from/\" \"test/1.0\" host=\"hq:8100\" id=id-1 time=";
    assert!(line.contains(rest), "{line}");
    assert!(is_seconds(between(&line, " time=", ' ')), "{line}");
}

#[tokio::test]
async fn a_combined_line_names_every_attempt() {
    let (dead, cut, good) = (
        Backend::refuses(),
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("x")).await,
    );
    let servers = [dead.server(), cut.server(), good.server()];
    let (log, proxy) = logging("", &app(&servers, "")).await;
    assert_eq!(proxy.get("/").await.status, 200);
    let line = line(&log).await;
    assert_eq!(between(&line, " pool=", ' '), "app");
    assert_eq!(
        between(&line, " servers=\"", '"'),
        format!("{}, {}, {}", dead.addr(), cut.addr(), good.addr())
    );
    let results: Vec<_> = between(&line, " results=\"", '"').split(", ").collect();
    assert!(
        matches!(results[..], ["connection refused", reason, "200"] if !reason.is_empty()),
        "{results:?}"
    );
    let times: Vec<_> = between(&line, " times=\"", '"').split(", ").collect();
    assert!(
        times.len() == 3 && times.iter().all(|time| is_seconds(time)),
        "{times:?}"
    );
}

#[tokio::test]
async fn a_json_line_names_every_attempt() {
    let (dead, good) = (Backend::refuses(), Backend::start(ok("hello")).await);
    let (log, proxy) = logging(
        "access_format = \"json\"",
        &app(&[dead.server(), good.server()], ""),
    )
    .await;
    let fields = [
        ("User-Agent", "a \"quoted\" agent"),
        ("X-Request-Id", "id-1"),
    ];
    assert_eq!(
        proxy.request("GET", "/x?y=1", &fields, b"").await.status,
        200
    );
    let line = line(&log).await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for part in [
        "\"client\":\"127.0.0.1\"",
        "\"method\":\"GET\"",
        "\"target\":\"/x?y=1\"",
        "\"version\":\"HTTP/1.1\"",
        "\"status\":200",
        "\"bytes\":5",
        "\"referer\":null",
        "\"user_agent\":\"a \\\"quoted\\\" agent\"",
        "\"host\":\"app.example\"",
        "\"request_id\":\"id-1\"",
        "\"pool\":\"app\"",
        &format!(
            "{{\"server\":\"{}\",\"result\":\"connection refused\",\"connect\":null",
            dead.addr()
        ),
        &format!(
            "{{\"server\":\"{}\",\"result\":200,\"connect\":0.",
            good.addr()
        ),
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let time = between(&line, "\"time\":\"", '"');
    assert!(time.len() >= 20 && time.as_bytes()[10] == b'T', "{time}");
    let duration = between(&line, "\"duration\":", ',');
    assert!(duration.parse::<f64>().is_ok(), "{duration}");
}

#[tokio::test]
async fn an_answer_of_lbds_own_names_no_attempt() {
    let (log, proxy) = logging("", "").await;
    assert_eq!(proxy.get("/nowhere").await.status, 404);
    let line = line(&log).await;
    assert!(line.contains("\"GET /nowhere HTTP/1.1\" 404 14 "), "{line}");
    assert!(!line.contains("servers="), "{line}");
}

#[tokio::test]
async fn a_client_that_goes_away_is_499() {
    let backend = Backend::start(never_answers()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/gone")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    drop(client);
    let line = line(&log).await;
    assert!(line.contains("\"GET /gone HTTP/1.1\" 499 0 "), "{line}");
    assert_eq!(
        between(&line, " servers=\"", '"'),
        backend.addr().to_string()
    );
    wait::until("the server was let go", || backend.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_during_its_upload_is_499() {
    let backend = Backend::start(ok("x")).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client
        .send("PUT /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
        .await;
    wait::until("the head is with the server", || {
        !backend.heads().is_empty()
    })
    .await;
    drop(client);
    let line = line(&log).await;
    assert!(line.contains("\"PUT /gone HTTP/1.1\" 499 0 "), "{line}");
}

#[tokio::test]
async fn a_peer_that_dies_in_its_body_leaves_one_line_with_its_status() {
    let backend = Backend::start(short_body()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/cut")).await;
    client
        .try_response("GET")
        .await
        .expect_err("three bytes of ten");
    let line = line(&log).await;
    assert!(line.contains("\"GET /cut HTTP/1.1\" 200 3 "), "{line}");
}

#[tokio::test]
async fn a_client_cannot_forge_a_field_or_a_line() {
    let (log, proxy) = logging("", "").await;
    proxy
        .request("GET", "/x", &[("User-Agent", "a\" 200 0 \"b\\\"")], b"")
        .await;
    let line = line(&log).await;
    let agent = "a\\x22 200 0 \\x22b\\x5C\\x22";
    assert!(
        line.contains(&format!("\"GET /x HTTP/1.1\" 404 14 \"-\" \"{agent}\" ")),
        "{line}"
    );
}

#[tokio::test]
async fn every_request_leaves_one_line_whatever_became_of_it() {
    let (good, dead) = (Backend::start(ok("x")).await, Backend::refuses());
    let rest = format!(
        "[[routes]]\npath = \"/good/\"\npool = \"good\"\n[[routes]]\npath = \"/dead/\"\npool = \"dead\"\n\
         [pools.good]\nservers = [{}]\n[pools.dead]\nservers = [{}]\n",
        good.server(),
        dead.server()
    );
    let (log, proxy) = logging("", &rest).await;

    // Three on one connection, the last of them refused.
    let mut client = proxy.raw().await;
    client
        .send(
            [
                get("/good/1"),
                get("/good/2"),
                b"GET /3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(),
            ]
            .concat(),
        )
        .await;
    for status in [200, 200, 400] {
        assert_eq!(client.response().await.status, status);
    }
    assert_eq!(proxy.request("HEAD", "/good/4", &[], b"").await.status, 200);
    assert_eq!(proxy.get("/nowhere/5").await.status, 404);
    assert_eq!(proxy.get("/dead/6").await.status, 502);
    assert_eq!(proxy.get("/good").await.status, 308);
    // A head that does not end, and a connection that never says anything, which is no request.
    let mut slow = proxy.raw().await;
    let mut silent = proxy.raw().await;
    slow.send("GET /8 HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(slow.response().await.status, 408);
    silent.ends().await;
    proxy.stop().await;

    let mut statuses: Vec<_> = log
        .lines()
        .iter()
        .map(|line| between(line, "\" ", ' ').to_owned())
        .collect();
    statuses.sort();
    assert_eq!(
        statuses,
        ["200", "200", "200", "308", "400", "404", "408", "502"]
    );
}

#[tokio::test]
async fn head_and_pipelined_requests_count_their_own_bytes() {
    let backend = Backend::start(ok("hello")).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.client().await;
    client.request("HEAD", "/1", &[], b"").await;
    client.request("POST", "/2", &[], b"a longer body").await;
    proxy.stop().await;
    let bytes: Vec<_> = log
        .lines()
        .iter()
        .map(|line| between(line, "\" 200 ", ' ').to_owned())
        .collect();
    assert_eq!(bytes, ["0", "5"]);
}

#[tokio::test]
async fn off_writes_nothing() {
    let log = TempFile::new("log");
    let proxy = Proxy::start_file(&file("access = \"off\"", "", "")).await;
    assert_eq!(
        proxy
            .client()
            .await
            .request("GET", "/", &[], b"")
            .await
            .status,
        404
    );
    proxy.stop().await;
    assert!(log.lines().is_empty());
}
