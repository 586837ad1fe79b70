//! What a session makes of its server, and when it turns to another: silence may be an answer, or the lack of one.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::support::datagrams::{Datagrams, Echo};
use crate::support::streams::start;
use crate::support::wait;

use super::udp;

#[tokio::test]
async fn a_server_that_only_listens_is_used_again_once_it_is_back() {
    // Nobody else is at this address who could get the port meanwhile.
    let gone = Datagrams::bind_to("127.0.0.6").await;
    let other = Datagrams::bind().await;
    let servers = [gone.server(), other.server()];
    let its_addr = gone.addr();
    drop(gone);
    let pool = "max_fails = 1\nfail_timeout = \"1s\"";
    let (_proxy, addr) = start(&udp("", &servers, pool)).await;
    let client = Datagrams::bind().await;
    client.send("first", addr).await;
    assert_eq!(other.receive().await.0, b"first");
    let back = Datagrams::bind_again(its_addr).await;
    let mut pace = interval(Duration::from_millis(100));
    let mut heard = 0;
    // The first of them finds out, which takes a second; nobody else is sent there meanwhile.
    wait::until_async("it hears several clients", async || {
        pace.tick().await;
        let client = Datagrams::bind().await;
        client.send("next", addr).await;
        tokio::select! {
            _ = back.receive() => heard += 1,
            _ = other.receive() => {}
        }
        heard == 3
    })
    .await;
}

#[tokio::test]
async fn a_client_that_asks_again_and_again_is_answered_by_another_server() {
    let (silent, echo) = (Datagrams::bind().await, Echo::start("b").await);
    let servers = [silent.server(), echo.server()];
    let keys = "responses = 1\ntimeouts = { idle = \"1s\" }";
    let (_proxy, addr) = start(&udp(keys, &servers, "")).await;
    let client = Datagrams::bind().await;
    let begin = Instant::now();
    let mut pace = interval(Duration::from_millis(400));
    let mut asked: i32 = 0;
    let asking = async {
        loop {
            tokio::select! {
                (answer, _) = client.receive() => break answer,
                _ = pace.tick() => {
                    client.send(asked.to_string(), addr).await;
                    asked += 1;
                }
            }
        }
    };
    let answer = wait::within("an answer", asking).await;
    let took = begin.elapsed();
    let expected = Duration::from_millis(900)..Duration::from_millis(2500);
    assert!(expected.contains(&took), "{took:?}");
    // The client has given up its first question by now.
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let recent = [asked - 2, asked - 1].map(|question| format!("b{question}"));
    assert!(recent.contains(&answer), "{answer} to one of {asked}");
}

#[tokio::test]
async fn a_session_whose_server_a_reload_takes_out_goes_on_with_another() {
    let (a, b) = (Datagrams::bind().await, Datagrams::bind().await);
    let (mut proxy, addr) = start(&udp("", &[a.server(), b.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("old", addr).await;
    assert_eq!(a.receive().await.0, b"old");
    proxy.reload(&udp("", &[b.server()], "")).await;
    let begin = Instant::now();
    let mut pace = interval(Duration::from_millis(100));
    // An answer is waited for, but not for long.
    loop {
        pace.tick().await;
        client.send("new", addr).await;
        tokio::select! {
            _ = a.receive() => {}
            _ = b.receive() => break,
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    for text in ["1", "2", "3"] {
        client.send(text, addr).await;
        assert_eq!(b.receive().await.0, text.as_bytes());
    }
}
