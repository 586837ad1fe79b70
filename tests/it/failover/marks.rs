//! Passive health: when a server goes out, for how long, and how it comes back.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, answers, closes_before_answer, never_answers, ok};
use crate::support::client::{Client, get};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{among_the_next, before};

/// `n` times GET `/`, every one answered by the server that works.
async fn gets(client: &mut Client, n: usize) {
    for _ in 0..n {
        assert_eq!(client.get("/").await.text(), "good");
    }
}

#[tokio::test]
async fn max_fails_takes_a_server_out() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let proxy = before(&[&failing, &good], "max_fails = 3\nfail_timeout = \"60s\"").await;
    gets(&mut proxy.client().await, 20).await;
    assert_eq!(failing.requests(), 3);
}

#[tokio::test]
async fn max_fails_holds_for_all_workers_together() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let pool = app(
        &[failing.server(), good.server()],
        "max_fails = 3\nfail_timeout = \"60s\"",
    );
    let text = format!(
        "workers = 2\n[log]\naccess = \"off\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n{pool}"
    );
    let proxy = Proxy::start_file(&text).await;
    for _ in 0..40 {
        assert_eq!(proxy.get("/").await.text(), "good");
    }
    assert_eq!(failing.requests(), 3);
}

#[tokio::test]
async fn max_fails_zero_never_takes_a_server_out() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let proxy = before(&[&failing, &good], "max_fails = 0").await;
    gets(&mut proxy.client().await, 20).await;
    assert!(failing.requests() >= 5, "{}", failing.requests());
}

#[tokio::test]
async fn a_server_that_is_out_gets_one_probe_after_fail_timeout() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let proxy = before(&[&failing, &good], "max_fails = 1\nfail_timeout = \"1s\"").await;
    let mut client = proxy.client().await;
    gets(&mut client, 4).await;
    let out = Instant::now();
    assert_eq!(failing.requests(), 1);
    wait::until_async("the probe", async || {
        gets(&mut client, 1).await;
        failing.requests() > 1
    })
    .await;
    // The failure lies a little before `out`; nginx's whole seconds would make it later, not earlier.
    assert!(
        out.elapsed() > Duration::from_millis(900),
        "{:?}",
        out.elapsed()
    );
    gets(&mut client, 20).await;
    assert_eq!(
        failing.requests(),
        2,
        "it failed, and is out for another fail_timeout"
    );
}

#[tokio::test]
async fn of_many_requests_at_once_one_probes() {
    let (hanging, good) = (
        Backend::start(never_answers()).await,
        Backend::start(ok("good")).await,
    );
    let keys = "max_fails = 1\nfail_timeout = \"500ms\"\ntimeouts = { read = \"300ms\" }";
    let proxy = before(&[&hanging, &good], keys).await;
    gets(&mut proxy.client().await, 1).await;
    assert_eq!(hanging.requests(), 1);
    wait::until_async("the probe", async || {
        let (mut a, mut b, mut c, mut d) = tokio::join!(
            proxy.client(),
            proxy.client(),
            proxy.client(),
            proxy.client()
        );
        tokio::join!(
            gets(&mut a, 1),
            gets(&mut b, 1),
            gets(&mut c, 1),
            gets(&mut d, 1)
        );
        hanging.requests() > 1
    })
    .await;
    assert_eq!(hanging.requests(), 2);
}

#[tokio::test]
async fn one_good_answer_brings_a_server_back() {
    let (mut a, b) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let proxy = before(&[&a, &b], "max_fails = 1\nfail_timeout = \"300ms\"").await;
    let mut client = proxy.client().await;
    gets(&mut client, 4).await;
    assert_eq!(a.requests(), 1);
    a.restart_as(answers(500, "even an error is an answer"))
        .await;
    wait::until_async("a answered the probe", async || {
        client.get("/").await.status == 500
    })
    .await;
    let mut turns = 0;
    for _ in 0..6 {
        turns += usize::from(client.get("/").await.status == 500);
    }
    assert!(
        (2..=4).contains(&turns),
        "a has its share again: {turns} of 6"
    );
}

#[tokio::test]
async fn old_failures_do_not_add_up() {
    // One failure, a pause longer than the window, another failure: never two within the window.
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let proxy = before(
        &[&failing, &good],
        "max_fails = 2\nfail_timeout = \"150ms\"",
    )
    .await;
    let mut client = proxy.client().await;
    for round in 1..=3 {
        gets(&mut client, 2).await;
        assert_eq!(failing.requests(), round, "it still has its turn");
        let failed = Instant::now();
        wait::until("the window has passed", || {
            failed.elapsed() > Duration::from_millis(200)
        })
        .await;
    }
}

#[tokio::test]
async fn a_listed_status_counts_while_another_try_is_possible() {
    let (failing, good) = (
        Backend::start(answers(503, "busy")).await,
        Backend::start(ok("good")).await,
    );
    let retry = "retry = { on = [\"error\", \"http_503\"], memory = \"0s\" }";
    let keys = format!("max_fails = 2\nfail_timeout = \"60s\"\n{retry}");
    let proxy = before(&[&failing, &good], &keys).await;
    gets(&mut proxy.client().await, 10).await;
    assert_eq!(failing.requests(), 2);
}

#[tokio::test]
async fn a_single_server_is_never_taken_out() {
    let only = Backend::start(closes_before_answer()).await;
    let proxy = before(&[&only], "max_fails = 1\nfail_timeout = \"60s\"").await;
    for expected in 1..=5 {
        assert_eq!(proxy.get("/").await.status, 502);
        assert_eq!(only.requests(), expected);
    }
}

#[tokio::test]
async fn a_single_server_that_comes_back_serves_at_once() {
    let mut only = Backend::refuses();
    let proxy = before(&[&only], "max_fails = 1\nfail_timeout = \"60s\"").await;
    assert_eq!(proxy.get("/").await.status, 502);
    only.start_as(ok("good"));
    assert_eq!(proxy.get("/").await.text(), "good");
}

// === backup ===

#[tokio::test]
async fn a_backup_serves_only_while_no_other_server_can() {
    let (mut primary, backup) = (
        Backend::start(ok("primary")).await,
        Backend::start(ok("backup")).await,
    );
    let servers = [primary.server(), backup.server_with("backup = true")];
    let proxy = Proxy::start(&app(&servers, "fail_timeout = \"200ms\"")).await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.text(), "primary");
    }
    primary.stop().await;
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.text(), "backup");
    }
    primary.start_as(ok("primary"));
    wait::until_async("the primary is back", async || {
        proxy.get("/").await.text() == "primary"
    })
    .await;
}

/// 200 with `body`; on `/hints` before that more hints than the buffers of both connections hold.
fn hints(body: &'static str) -> Behaviour {
    let link = format!("Link: <{}>\r\n", "x".repeat(590)).repeat(80);
    let hint = format!("HTTP/1.1 103 Early Hints\r\n{link}\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}");
    Behaviour::new(move |mut peer| {
        let (hint, answer) = (hint.clone(), answer.clone());
        async move {
            loop {
                if peer.request().await?.target() == "/hints" {
                    for _ in 0..400 {
                        peer.send(&hint).await?;
                    }
                }
                peer.send(&answer).await?;
            }
        }
    })
}

#[tokio::test]
async fn a_client_that_does_not_read_takes_no_server_out() {
    let (a, b) = (
        Backend::start(hints("a")).await,
        Backend::start(hints("b")).await,
    );
    let pool = app(
        &[a.server(), b.server()],
        "max_fails = 1\nfail_timeout = \"60s\"\ntimeouts = { read = \"100ms\" }",
    );
    let proxy = Proxy::start_with("timeouts = { send = \"500ms\" }", &pool).await;
    let mut deaf = proxy.raw().await;
    deaf.send(get("/hints")).await;
    wait::until("the request is with a", || a.requests() == 1).await;
    wait::until("lbd gave it up", || a.open() == 0).await;
    for name in ["a", "b"] {
        assert!(among_the_next(&proxy, name).await, "{name} is out");
    }
}
