//! The access log when something is wrong: with an answer, or with the place where the lines go.

use std::process::Command;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{raw, short_body};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app, file};
use crate::support::temp::TempFile;
use crate::support::wait;

use super::{line, logging};

#[tokio::test]
async fn a_bad_first_chunk_is_logged_as_the_502_that_it_is_answered_with() {
    let bad = raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    let backend = Backend::start(bad).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/bad")).await;
    // What the client gets is for `framing::answers`.
    let _ = client.try_response("GET").await;
    let line = line(&log).await;
    assert!(line.contains("\"GET /bad HTTP/1.1\" 502 "), "{line}");
}

#[tokio::test]
async fn half_an_answer_is_logged_as_such() {
    let backend = Backend::start(short_body()).await;
    let (log, proxy) = logging("", &app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    client.send(get("/half")).await;
    let answer = client.try_response("GET").await;
    assert!(answer.is_err(), "the client sees that it is not whole");
    let line = line(&log).await;
    assert!(line.contains("\"GET /half HTTP/1.1\" 200 3 "), "{line}");
    assert!(
        line.contains("results=\"broke off within the body\""),
        "{line}"
    );
}

#[tokio::test]
async fn a_refused_request_is_logged_with_its_line() {
    let (log, proxy) = logging("", &app(&["\"127.0.0.1:9\"".to_owned()], "")).await;
    let mut client = proxy.raw().await;
    let refused = client
        .exchange("TRACE /secret HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(refused.status, 405);
    let line = line(&log).await;
    assert!(line.contains("\"TRACE /secret HTTP/1.1\" 405 "), "{line}");
}

// A reload that hangs in a system call takes its thread with it: the deadline needs another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_up_neither_requests_nor_a_reload() {
    let fifo = TempFile::new("fifo");
    let made = Command::new("mkfifo").arg(fifo.path()).status();
    assert!(made.expect("mkfifo is there").success());
    let reader = pipe::OpenOptions::new().open_receiver(fifo.path());
    // Without a reader lbd could not open it; this one never reads. When it goes, whoever hangs goes on.
    let _reader = reader.expect("a pipe of our own");

    let access = format!("access = \"{}\"", fifo.path());
    let mut proxy = Proxy::start_file(&file(&access, "", "")).await;
    let mut client = proxy.raw().await;
    // 18 MB of lines; lbd keeps 8 MB, or twice that in full buffers of two lines.
    let long = request("GET", "/", &[("User-Agent", &"x".repeat(30_000))], b"");
    for _ in 0..600 {
        assert_eq!(client.exchange(&long).await.status, 404);
    }

    let start = Instant::now();
    let reloading = tokio::spawn(async move {
        proxy.reload("").await;
        proxy
    });
    let proxy = wait::within("reloading", reloading)
        .await
        .expect("no panic");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(proxy.get("/").await.status, 404);
    proxy.stop().await;
}
