//! When a session begins, when it is over, and what becomes of it when something goes away.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, interval};

use crate::support::datagrams::{Datagrams, Echo};
use crate::support::log::{line, lines, logging};
use crate::support::proxy::Proxy;
use crate::support::streams::{addr, start};
use crate::support::wait;

use super::{before_two, two, udp};

// === servers that fail ===

#[tokio::test]
async fn a_dead_server_goes_unnoticed() {
    let (dead, echo) = (Datagrams::unreachable().await, Echo::start("a").await);
    let servers = [dead.server(), echo.server()];
    let (_proxy, addr) = start(&udp("", &servers, "fail_timeout = \"60s\"")).await;
    for i in 0..6 {
        let client = Datagrams::bind().await;
        let text = format!("datagram {i}");
        assert_eq!(client.ask_text(&text, addr).await, format!("a{text}"));
    }
}

#[tokio::test]
async fn several_dead_servers_go_unnoticed() {
    let (one, two) = (
        Datagrams::unreachable().await,
        Datagrams::unreachable().await,
    );
    let echo = Echo::start("a").await;
    let servers = [one.server(), two.server(), echo.server()];
    let (_proxy, addr) = start(&udp("", &servers, "max_fails = 0")).await;
    for _ in 0..6 {
        let client = Datagrams::bind().await;
        assert_eq!(client.ask_text("x", addr).await, "ax");
    }
}

#[tokio::test]
async fn a_server_that_is_dead_is_out() {
    let (dead, echo) = (Datagrams::unreachable().await, Echo::start("a").await);
    let servers = [dead.server(), echo.server()];
    let pool = "max_fails = 1\nfail_timeout = \"60s\"";
    let text = udp("timeouts = { idle = \"200ms\" }", &servers, pool);
    let (log, proxy) = logging("", &text).await;
    for count in 1..=4 {
        let client = Datagrams::bind().await;
        assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
        lines(&log, count).await;
    }
    let dead = dead.addr().to_string();
    let tried = log
        .lines()
        .iter()
        .filter(|line| line.contains(&dead))
        .count();
    assert_eq!(tried, 1, "{:?}", log.lines());
}

#[tokio::test]
async fn when_every_server_is_dead_the_next_datagram_is_a_new_beginning() {
    let (dead, other) = (
        Datagrams::unreachable().await,
        Datagrams::unreachable().await,
    );
    let servers = [dead.server(), other.server()];
    let (log, mut proxy) = logging("", &udp("", &servers, "")).await;
    let addr = addr(&proxy);
    let client = Datagrams::bind().await;
    client.send("lost", addr).await;
    assert!(line(&log).await.contains("\" 502 0 "), "{:?}", log.lines());
    let echo = Echo::start("a").await;
    proxy.reload(&udp("", &[echo.server()], "")).await;
    assert_eq!(client.ask_text("x", addr).await, "ax");
}

// === responses ===

#[tokio::test]
async fn a_session_is_over_after_its_responses() {
    let (a, b, _proxy, addr) = before_two("responses = 1", "").await;
    let client = Datagrams::bind().await;
    for text in ["a1", "b2", "a3", "b4"] {
        let (name, text) = text.split_at(1);
        let answer = client.ask_text(text, addr).await;
        assert_eq!(answer, format!("{name}{text}"));
    }
    assert_eq!((a.came().len(), b.came().len()), (2, 2));
}

#[tokio::test]
async fn two_questions_at_once_are_both_answered() {
    let server = Datagrams::bind().await;
    let (_proxy, addr) = start(&udp("responses = 1", &[server.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("1", addr).await;
    client.send("2", addr).await;
    let questions = [server.receive().await, server.receive().await];
    for (question, session) in questions {
        server.send(question, session).await;
    }
    for expected in ["1", "2"] {
        assert_eq!(client.receive().await.0, expected.as_bytes());
    }
}

#[tokio::test]
async fn a_session_with_two_responses_lasts_for_two_to_each_question() {
    let (a, b) = (Datagrams::bind().await, Datagrams::bind().await);
    let servers = [a.server(), b.server()];
    let (_proxy, addr) = start(&udp("responses = 2", &servers, "")).await;
    let client = Datagrams::bind().await;
    client.send("1", addr).await;
    client.send("2", addr).await;
    for _ in 0..2 {
        let (_, session) = a.receive().await;
        a.send("first", session).await;
        a.send("second", session).await;
    }
    for expected in ["first", "second", "first", "second"] {
        assert_eq!(client.receive().await.0, expected.as_bytes());
    }
    client.send("3", addr).await;
    assert_eq!(b.receive().await.0, b"3");
}

#[tokio::test]
async fn what_a_server_says_beyond_its_responses_is_not_passed_on() {
    let (a, b) = (Datagrams::bind().await, Datagrams::bind().await);
    let servers = [a.server(), b.server()];
    let (_proxy, addr) = start(&udp("responses = 1", &servers, "")).await;
    let client = Datagrams::bind().await;
    client.send("first", addr).await;
    let (_, session) = a.receive().await;
    a.send("the answer", session).await;
    a.send("one too many", session).await;
    assert_eq!(client.receive().await.0, b"the answer");
    client.send("second", addr).await;
    let (_, session) = b.receive().await;
    b.send("another answer", session).await;
    assert_eq!(client.receive().await.0, b"another answer");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_has_failed_and_no_other_with_it() {
    let (silent, echo) = (Datagrams::bind().await, Echo::start("a").await);
    let servers = [silent.server(), echo.server()];
    let pool = "max_fails = 1\nfail_timeout = \"60s\"";
    let keys = "responses = 1\ntimeouts = { idle = \"200ms\" }";
    let (log, proxy) = logging("", &udp(keys, &servers, pool)).await;
    let unlucky = Datagrams::bind().await;
    unlucky.send("unheard", addr(&proxy)).await;
    assert_eq!(silent.receive().await.0, b"unheard");
    line(&log).await;
    for count in 2..=5 {
        let client = Datagrams::bind().await;
        assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
        lines(&log, count).await;
    }
}

// === idle ===

#[tokio::test]
async fn a_session_that_idles_is_over() {
    let (a, b) = two().await;
    let servers = [a.server(), b.server()];
    let text = udp("timeouts = { idle = \"300ms\" }", &servers, "");
    let (log, proxy) = logging("", &text).await;
    let client = Datagrams::bind().await;
    for (count, name) in [(1, "a"), (2, "b"), (3, "a")] {
        let begin = Instant::now();
        for _ in 0..3 {
            assert_eq!(client.ask_text("", addr(&proxy)).await, name);
        }
        lines(&log, count).await;
        let took = begin.elapsed();
        assert!(took > Duration::from_millis(250), "{took:?}");
    }
}

#[tokio::test]
async fn a_datagram_in_either_direction_is_enough_to_stay() {
    let server = Datagrams::bind().await;
    let keys = "timeouts = { idle = \"600ms\" }";
    let (_proxy, addr) = start(&udp(keys, &[server.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("hello", addr).await;
    let (_, session) = server.receive().await;
    let mut ticks = interval(Duration::from_millis(100));
    for _ in 0..12 {
        ticks.tick().await;
        client.send("u", addr).await;
        assert_eq!(server.receive().await, (b"u".to_vec(), session));
    }
    for _ in 0..12 {
        ticks.tick().await;
        server.send("d", session).await;
        assert_eq!(client.receive().await, (b"d".to_vec(), addr));
    }
}

// === how many ===

#[tokio::test]
async fn beyond_max_sessions_new_clients_wait_and_old_ones_go_on() {
    let echo = Echo::start("a").await;
    let keys = "max_sessions = 2\ntimeouts = { idle = \"1s\" }";
    let (log, proxy) = logging("", &udp(keys, &[echo.server()], "")).await;
    let addr = addr(&proxy);
    let (first, second, third) = (
        Datagrams::bind().await,
        Datagrams::bind().await,
        Datagrams::bind().await,
    );
    assert_eq!(first.ask_text("1", addr).await, "a1");
    assert_eq!(second.ask_text("2", addr).await, "a2");
    third.send("dropped", addr).await;
    // They are answered after that was dropped.
    assert_eq!(first.ask_text("1", addr).await, "a1");
    assert_eq!(second.ask_text("2", addr).await, "a2");
    let came: Vec<_> = echo.came().into_iter().map(|(text, _)| text).collect();
    assert_eq!(came, [b"1", b"2", b"1", b"2"]);
    // When they are over, there is room.
    lines(&log, 2).await;
    assert_eq!(third.ask_text("3", addr).await, "a3");
}

#[tokio::test]
async fn sessions_from_before_a_reload_count_for_max_sessions() {
    let echo = Echo::start("a").await;
    let file = udp("max_sessions = 1", &[echo.server()], "");
    let (mut proxy, addr) = start(&file).await;
    let (first, second) = (Datagrams::bind().await, Datagrams::bind().await);
    assert_eq!(first.ask_text("1", addr).await, "a1");
    proxy.reload(&file).await;
    second.send("dropped", addr).await;
    // It is answered after that was dropped.
    assert_eq!(first.ask_text("2", addr).await, "a2");
    assert_eq!(echo.sessions(), 1);
}

// === reloads, and the end ===

#[tokio::test]
async fn a_session_outlives_a_reload_that_leaves_its_server() {
    let (a, b, mut proxy, addr) = before_two("", "").await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("1", addr).await, "a1");
    proxy.reload(&udp("", &[a.server(), b.server()], "")).await;
    assert_eq!(client.ask_text("2", addr).await, "a2");
    proxy.reload(&udp("", &[b.server()], "")).await;
    // Each worker hears of a reload in its turn: what is under way before that still goes the old way.
    wait::until_async("its next session begins", async || {
        client.ask_text("3", addr).await == "b3"
    })
    .await;
    assert_eq!(a.sessions(), 1);
    let other = Datagrams::bind().await;
    assert_eq!(other.ask_text("4", addr).await, "b4");
}

#[tokio::test]
async fn a_new_stream_of_udp_answers_after_a_reload() {
    let echo = Echo::start("a").await;
    let mut proxy = Proxy::start("").await;
    proxy.reload(&udp("", &[echo.server()], "")).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
}

#[tokio::test]
async fn the_address_of_a_stream_that_is_gone_is_free() {
    let (_a, _b, mut proxy, addr) = before_two("", "").await;
    proxy.reload("").await;
    assert_eq!(proxy.addrs().len(), 1);
    wait::until_async("the port is free", async || {
        UdpSocket::bind(addr).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn sessions_do_not_hold_up_the_end_beyond_its_deadline() {
    let echo = Echo::start("a").await;
    let (log, proxy) = logging("", &udp("", &[echo.server()], "")).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("x", addr(&proxy)).await, "ax");
    let begin = Instant::now();
    proxy.shutdown(Some(Duration::from_millis(300))).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(log.lines().len(), 1, "each session leaves its line");
}
