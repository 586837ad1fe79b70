//! The end of lbd: connections are waited for up to a deadline, or closed one after the other over a time of the
//! operator's choice, so that their clients do not all come back at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::line::{Line, fill};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, file};
use crate::support::streams::{addr, pool, start, stream};
use crate::support::wait;

use super::{Through, refuses};

#[tokio::test]
async fn a_connection_is_waited_for_up_to_the_deadline_and_then_cut_off() {
    let mut through = Through::with("").await;
    through.is_open().await;
    let deadline = Duration::from_millis(500);
    let begin = Instant::now();
    through.proxy.shutdown(Some(deadline)).await;
    let took = begin.elapsed();
    let expected = deadline..deadline + Duration::from_secs(2);
    assert!(expected.contains(&took), "{took:?}");
    through.client.is_closed().await;
    through.server.is_closed().await;
}

#[tokio::test]
async fn a_connection_that_ends_by_itself_ends_the_wait() {
    let mut through = Through::with("").await;
    through.is_open().await;
    let Through {
        proxy,
        addr,
        door,
        mut client,
        mut server,
    } = through;
    let begin = Instant::now();
    let ending = tokio::spawn(async move { proxy.shutdown(Some(wait::DEADLINE)).await });
    refuses(addr).await;
    // Nor are those waited for that were made to find out.
    drop(door);
    // Bytes still pass.
    client.send("last words").await;
    client.finish().await;
    assert_eq!(server.rest().await, b"last words");
    server.finish().await;
    client.ends().await;
    wait::within("stopping", ending).await.expect("no panic");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_connection_whose_stream_is_gone_is_waited_for_too() {
    let mut through = Through::with("").await;
    through.proxy.reload("").await;
    through.is_open().await;
    let deadline = Duration::from_millis(300);
    let begin = Instant::now();
    through.proxy.shutdown(Some(deadline)).await;
    let took = begin.elapsed();
    assert!(took >= deadline, "{took:?}");
    through.client.is_closed().await;
}

#[tokio::test]
async fn a_client_that_never_says_where_it_wants_to_go_is_not_waited_for() {
    let door = Door::open().await;
    let pool = pool("app", &[door.server()], "");
    let stream = "[[streams]]\nbind = \"127.0.0.2:0\"\nsni = { \"*\" = \"app\" }\n";
    let (proxy, addr) = start(&format!("{stream}{pool}")).await;
    let mut silent = Plain::connect(addr).await;
    // The first byte of a ClientHello, so that the kernel hands it over.
    silent.send([0x16]).await;
    // Accepted after it.
    assert_eq!(proxy.get("/").await.status, 404);
    let begin = Instant::now();
    proxy.shutdown(None).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    silent.is_closed().await;
}

#[tokio::test]
async fn a_client_for_which_no_server_is_found_yet_is_not_waited_for() {
    let hangs = Backend::never_accepts().await;
    let (proxy, addr) = start(&stream("", &[hangs.server()], "")).await;
    let mut client = Plain::connect(addr).await;
    // Accepted after it.
    assert_eq!(proxy.get("/").await.status, 404);
    let begin = Instant::now();
    proxy.shutdown(None).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    client.is_closed().await;
}

// === one after the other ===

/// lbd with this `close_spread` and a stream to `door`.
async fn spreading(spread: &str, door: &Door) -> Proxy {
    let text = file("", "", &stream("", &[door.server()], ""));
    Proxy::start_file(&format!("close_spread = \"{spread}\"\n{text}")).await
}

#[tokio::test]
async fn a_connection_that_is_closed_before_the_client_has_everything_breaks() {
    let door = Door::open().await;
    let proxy = spreading("100ms", &door).await;
    let mut client = Line::connect(addr(&proxy)).await;
    let mut server = Line::accept(&door).await;
    fill(&mut server.writer, 3).await;
    proxy.shutdown(None).await;
    client.is_reset().await;
}

#[tokio::test]
async fn connections_are_closed_one_after_the_other() {
    const COUNT: usize = 100;
    let spread = Duration::from_secs(2);
    let door = Door::open().await;
    let proxy = spreading("2s", &door).await;
    let mut servers = Vec::new();
    let mut closings = Vec::new();
    for _ in 0..COUNT {
        let mut client = Plain::connect(addr(&proxy)).await;
        let mut server = door.accept().await;
        server.send("x").await;
        client.hears("x").await;
        servers.push(server);
        closings.push(tokio::spawn(async move {
            client.is_closed().await;
            Instant::now()
        }));
    }
    let begin = Instant::now();
    proxy.shutdown(None).await;
    let mut times = Vec::new();
    for closing in closings {
        let closed = closing.await.expect("it was closed without a byte");
        times.push(closed.duration_since(begin));
    }
    times.sort();
    let last = times[COUNT - 1];
    assert!(last < spread + Duration::from_secs(2), "{times:?}");
    // Neither all at its beginning nor all at its end, even if each has a time by chance.
    let middle = times[COUNT / 2];
    let expected = spread / 4..spread * 3 / 4;
    assert!(expected.contains(&middle), "{times:?}");
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().expect("more than one");
    assert!(longest < spread / 4, "{times:?}");
    for mut server in servers {
        server.is_closed().await;
    }
}

#[tokio::test]
async fn the_deadline_cuts_a_longer_spread_short() {
    let door = Door::open().await;
    let proxy = spreading("60s", &door).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Plain::connect(addr(&proxy)).await);
        clients.push(door.accept().await);
    }
    let begin = Instant::now();
    proxy.shutdown(Some(Duration::from_millis(500))).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    for mut client in clients {
        client.is_closed().await;
    }
}

#[tokio::test]
async fn where_there_is_nothing_to_spread_the_end_comes_at_once() {
    let door = Door::open().await;
    let proxy = spreading("60s", &door).await;
    let mut client = Plain::connect(addr(&proxy)).await;
    let mut server = door.accept().await;
    client.finish().await;
    server.ends().await;
    server.finish().await;
    client.ends().await;
    let begin = Instant::now();
    proxy.shutdown(None).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
