//! Whatever became of one message, both ends agree where the next one begins.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::client::{get, request};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// What a client pipelines behind a POST. One request, unless its first line and half of its second are taken for a body.
const SECOND: [&str; 2] = [
    "GET /public HTTP/1.1\r\nX-Pad: ",
    "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Answers 200, except to `/fails`: there it does what `fails` says.
fn failing(fails: Behaviour) -> Behaviour {
    Behaviour::new(move |mut peer| {
        let fails = fails.clone();
        async move {
            loop {
                let request = peer.request().await?;
                if request.target() == "/fails" {
                    return fails.serve(peer).await;
                }
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
        }
    })
}

fn closes() -> Behaviour {
    failing(Behaviour::new(|_peer| async { Ok(()) }))
}

fn hangs() -> Behaviour {
    failing(Behaviour::new(|mut peer| async move {
        peer.until_closed().await
    }))
}

/// A POST with `body`, [`SECOND`] in the same packet; lbd answers the one itself with `status`, and serves the other or closes.
async fn serves_the_second(behaviour: Behaviour, framing: &str, body: &str, status: u16) {
    let backend = Backend::start(behaviour).await;
    let keys = "max_fails = 0\ntimeouts = { read = \"200ms\" }";
    let proxy = Proxy::start(&app(&[backend.server()], keys)).await;
    let mut client = proxy.raw().await;
    let post = format!("POST /fails HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}");
    let first = client
        .exchange([&post, SECOND[0], SECOND[1]].concat())
        .await;
    assert_eq!(first.status, status);
    if first.field("connection") == Some("close") {
        client.ends().await;
        assert_eq!(backend.requests(), 1);
        return;
    }
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.exchange(get("/third")).await.status, 200);
    let targets: Vec<_> = backend
        .seen()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert_eq!(targets, ["/fails", "/public", "/third"]);
}

#[tokio::test]
async fn the_request_behind_a_502_is_not_taken_for_the_body() {
    let body = "A".repeat(SECOND[0].len());
    let framing = format!("Content-Length: {}", body.len());
    serves_the_second(closes(), &framing, &body, 502).await;
}

#[tokio::test]
async fn the_request_behind_a_504_is_not_taken_for_the_body() {
    let body = "A".repeat(SECOND[0].len());
    let framing = format!("Content-Length: {}", body.len());
    serves_the_second(hangs(), &framing, &body, 504).await;
}

#[tokio::test]
async fn the_request_behind_a_chunked_one_is_not_taken_for_chunks() {
    for (behaviour, status) in [(closes(), 502), (hangs(), 504)] {
        let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", 30, "A".repeat(30));
        serves_the_second(behaviour, "Transfer-Encoding: chunked", &body, status).await;
    }
}

#[tokio::test]
async fn a_body_of_which_half_has_come_is_not_taken_for_a_request() {
    let backend = Backend::start(Behaviour::new(|mut peer| async move {
        peer.head().await.map(drop)
    }))
    .await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    let answer = client
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        .await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (502, Some("close"))
    );
}

// === answers that have no body by themselves ===

/// Heads whose messages end with them, and the methods that ask for them.
const BODILESS: [(&str, &str); 3] = [
    ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n"),
    ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    (
        "GET",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 60\r\n\r\n",
    ),
];

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";

/// When the body that should not be there comes.
#[derive(Clone, Copy)]
enum Late {
    /// Right behind its head.
    No,
    /// 20 ms later, and the next request after that.
    BeforeTheNextRequest,
}

/// Answers `/bodiless` with `head`, then a body that looks like an answer; opens `sent` when it is out.
fn sends_a_body_anyway(head: &'static str, late: Late, sent: &Gate) -> Behaviour {
    let sent = sent.clone();
    Behaviour::new(move |mut peer| {
        let sent = sent.clone();
        async move {
            loop {
                let request = peer.request().await?;
                if request.target() == "/bodiless" {
                    peer.send(head).await?;
                    if !matches!(late, Late::No) {
                        sleep(Duration::from_millis(20)).await;
                    }
                    peer.send(POISON).await?;
                    sent.open();
                } else {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown")
                        .await?;
                }
            }
        }
    })
}

/// The next requests, of the same and of another client, get their own answers.
async fn poisons_nothing(late: Late) {
    for (method, head) in BODILESS {
        let sent = Gate::closed();
        let backend = Backend::start(sends_a_body_anyway(head, late, &sent)).await;
        let proxy = Proxy::start(&app(&[backend.server()], "")).await;
        let mut client = proxy.raw().await;
        client.send(request(method, "/bodiless", &[], b"")).await;
        let answer = client.try_response(method).await;
        answer.expect("a well-formed, complete answer");
        wait::within("the body", sent.passed()).await;
        for mut next in [client, proxy.raw().await] {
            let answer = next.exchange(get("/next")).await;
            assert_eq!(answer.text(), "own", "after {method}, {head:?}");
        }
    }
}

#[tokio::test]
async fn a_body_right_behind_an_answer_without_one_is_not_the_next_answer() {
    poisons_nothing(Late::No).await;
}

#[tokio::test]
async fn a_body_that_comes_later_is_not_the_next_answer() {
    poisons_nothing(Late::BeforeTheNextRequest).await;
}
