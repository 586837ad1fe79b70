//! Datagrams: a client and a server of its own for as long as they talk, every datagram as it was sent, and an answer
//! from where the client has asked.

mod ends;
mod logs;
mod turning;

use std::net::SocketAddr;

use crate::support::datagrams::{Datagrams, Echo};
use crate::support::hashed::TO_THREE;
use crate::support::plain::{Door, Plain};
use crate::support::proxy::Proxy;
use crate::support::streams::{long, pool, start, stream, stream_at};

/// A stream of UDP with these keys to one pool, with these servers and keys.
fn udp(keys: &str, servers: &[String], pool_keys: &str) -> String {
    let keys = format!("protocol = \"udp\"\n{keys}");
    stream(&keys, servers, pool_keys)
}

/// Two servers that say a and b before what they echo.
async fn two() -> (Echo, Echo) {
    (Echo::start("a").await, Echo::start("b").await)
}

/// lbd before [`two`], with these keys for the stream and the pool.
async fn before_two(keys: &str, pool_keys: &str) -> (Echo, Echo, Proxy, SocketAddr) {
    let (a, b) = two().await;
    let (proxy, addr) = start(&udp(keys, &[a.server(), b.server()], pool_keys)).await;
    (a, b, proxy, addr)
}

#[tokio::test]
async fn datagrams_pass_both_ways() {
    let echo = Echo::start("a").await;
    let (_proxy, addr) = start(&udp("", &[echo.server()], "")).await;
    let client = Datagrams::bind().await;
    for text in ["one", "two", "three"] {
        assert_eq!(client.ask_text(text, addr).await, format!("a{text}"));
    }
    assert_eq!(echo.sessions(), 1);
}

#[tokio::test]
async fn a_server_may_say_more_than_it_is_asked() {
    let server = Datagrams::bind().await;
    let (_proxy, addr) = start(&udp("", &[server.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("subscribe", addr).await;
    let (asked, session) = server.receive().await;
    assert_eq!(asked, b"subscribe");
    for news in ["1", "2", "3"] {
        server.send(news, session).await;
        assert_eq!(client.receive().await, (news.as_bytes().to_vec(), addr));
    }
}

#[tokio::test]
async fn each_client_has_a_session_of_its_own_and_the_servers_take_turns() {
    let (a, b, _proxy, addr) = before_two("", "").await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Datagrams::bind().await);
    }
    for round in 0..3 {
        for (i, client) in clients.iter().enumerate() {
            let text = format!("{round} of {i}");
            let name = ["a", "b"][i % 2];
            let answer = client.ask_text(&text, addr).await;
            assert_eq!(answer, format!("{name}{text}"));
        }
    }
    assert_eq!((a.sessions(), b.sessions()), (3, 3));
}

#[tokio::test]
async fn a_datagram_of_somebody_else_does_not_get_into_a_session() {
    let server = Datagrams::bind().await;
    let (_proxy, addr) = start(&udp("", &[server.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("a question", addr).await;
    let (_, session) = server.receive().await;
    let stranger = Datagrams::bind().await;
    stranger.send("an answer of a stranger", session).await;
    server.send("the answer", session).await;
    assert_eq!(client.receive().await.0, b"the answer");
}

#[tokio::test]
async fn ip_hash_goes_by_the_network_of_the_client() {
    let (a, b) = two().await;
    let c = Echo::start("c").await;
    let servers = [a.server(), b.server(), c.server()];
    let text = udp("", &servers, "balance = \"ip_hash\"");
    let (_proxy, addr) = start(&text).await;
    for (ip, name) in TO_THREE {
        let client = Datagrams::bind_to(ip).await;
        assert_eq!(client.ask_text("", addr).await, name, "{ip}");
    }
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let echo = Echo::start("a").await;
    let keys = "protocol = \"udp\"";
    for (bind, asked) in [
        ("0.0.0.0:0", [127, 0, 0, 9]),
        ("0.0.0.0:0", [127, 0, 0, 1]),
        ("127.0.0.4:0", [127, 0, 0, 4]),
    ] {
        let (_proxy, addr) = start(&stream_at(bind, keys, &[echo.server()], "")).await;
        let addr = SocketAddr::from((asked, addr.port()));
        let client = Datagrams::bind().await;
        // It looks at where the answer comes from.
        assert_eq!(client.ask_text("x", addr).await, "ax");
    }
}

#[tokio::test]
async fn a_client_that_asks_two_addresses_is_answered_from_each() {
    let echo = Echo::start("a").await;
    let text = stream_at("0.0.0.0:0", "protocol = \"udp\"", &[echo.server()], "");
    let (_proxy, addr) = start(&text).await;
    let client = Datagrams::bind().await;
    for _ in 0..3 {
        for asked in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            let asked = SocketAddr::from((asked, addr.port()));
            assert_eq!(client.ask_text("x", asked).await, "ax");
        }
    }
}

#[tokio::test]
async fn datagrams_pass_over_ipv6() {
    let echo = Echo::start("a").await;
    let keys = "protocol = \"udp\"";
    for bind in ["[::1]:0", "[::]:0"] {
        let (_proxy, addr) = start(&stream_at(bind, keys, &[echo.server()], "")).await;
        let addr = SocketAddr::new("::1".parse().expect("an address"), addr.port());
        let client = Datagrams::bind_to("::1").await;
        assert_eq!(client.ask_text("x", addr).await, "ax", "{bind}");
    }
}

#[tokio::test]
async fn tcp_and_udp_can_share_a_port() {
    let taken = Datagrams::bind_to("127.0.0.5").await;
    let bind = taken.addr().to_string();
    drop(taken);
    let echo = Echo::start("a").await;
    let door = Door::open().await;
    let text = format!(
        "[[streams]]\nbind = \"{bind}\"\npool = \"tcp\"\n{}{}",
        pool("tcp", &[door.server()], ""),
        stream_at(&bind, "protocol = \"udp\"", &[echo.server()], "")
    );
    let (proxy, addr) = start(&text).await;
    assert_eq!(proxy.addrs()[1..], [addr, addr]);
    let mut client = Plain::connect(addr).await;
    client.send("x").await;
    door.accept().await.hears("x").await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("x", addr).await, "ax");
}

// === sizes ===

#[tokio::test]
async fn datagrams_of_every_size_pass() {
    // Nothing before what is echoed.
    let echo = Echo::start("").await;
    let (_proxy, addr) = start(&udp("", &[echo.server()], "")).await;
    let client = Datagrams::bind().await;
    for size in [0, 1, 2, 1472, 1473, 9000, 0, 65_507, 1] {
        let sent = long(size);
        let came = client.ask(&sent, addr).await;
        assert!(came == sent, "{} bytes of {size} came back", came.len());
    }
}

#[tokio::test]
async fn an_empty_datagram_begins_a_session_too() {
    let echo = Echo::start("a").await;
    let (_proxy, addr) = start(&udp("", &[echo.server()], "")).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("", addr).await, "a");
    assert_eq!(echo.came()[0].0, b"");
}

/// Datagrams that are sent at once: their sizes are the ones that the system likes to join.
fn burst(count: usize, size: usize, last: usize) -> Vec<Vec<u8>> {
    let mut burst: Vec<_> = (0..count)
        .map(|i| {
            let mut datagram = long(size);
            datagram[0] = i as u8;
            datagram
        })
        .collect();
    burst.push(long(last));
    burst
}

#[tokio::test]
async fn a_burst_keeps_its_boundaries_and_its_order_both_ways() {
    let server = Datagrams::bind().await;
    let (_proxy, addr) = start(&udp("", &[server.server()], "")).await;
    let client = Datagrams::bind().await;
    client.send("hello", addr).await;
    let (_, session) = server.receive().await;
    for (size, last) in [(1000, 10), (1200, 1200), (1, 1), (64, 65)] {
        let burst = burst(40, size, last);
        for datagram in &burst {
            client.send(datagram, addr).await;
        }
        for (i, datagram) in burst.iter().enumerate() {
            let (came, from) = server.receive().await;
            assert!(came == *datagram, "{i} of {size}: {} bytes", came.len());
            assert_eq!(from, session, "{i} of {size}");
        }
        for datagram in &burst {
            server.send(datagram, session).await;
        }
        for (i, datagram) in burst.iter().enumerate() {
            let (came, from) = client.receive().await;
            assert!(came == *datagram, "{i} of {size}: {} bytes", came.len());
            assert_eq!(from, addr, "{i} of {size}");
        }
    }
}

#[tokio::test]
async fn bursts_of_several_clients_are_not_mixed_up() {
    let (a, b, _proxy, addr) = before_two("", "").await;
    let clients = [
        Datagrams::bind().await,
        Datagrams::bind().await,
        Datagrams::bind().await,
    ];
    for i in 0..20 {
        for (who, client) in clients.iter().enumerate() {
            client.send(format!("{who} {i:02}"), addr).await;
        }
    }
    for (who, client) in clients.iter().enumerate() {
        let name = ["a", "b"][who % 2];
        for i in 0..20 {
            let (came, _) = client.receive().await;
            let came = String::from_utf8_lossy(&came).into_owned();
            assert_eq!(came, format!("{name}{who} {i:02}"));
        }
    }
    assert_eq!((a.sessions(), b.sessions()), (2, 1));
}
