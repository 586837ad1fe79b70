//! The end of lbd: tunnels are waited for, or closed one after the other where the operator says so.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated};
use crate::support::client::get;
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, file};
use crate::support::wait;

use super::{Tunnel, refuses, tunnel};

#[tokio::test]
async fn shutdown_waits_for_a_tunnel() {
    let mut tunnel = Tunnel::open().await;
    let (addr, proxy) = (tunnel.proxy.addr(), &tunnel.proxy);
    let (client, server) = (&mut tunnel.client, &mut tunnel.server);
    let talking = async {
        refuses(addr).await;
        client.exchange(server, 100_000).await;
        client.finish().await;
        server.ends().await;
        server.pass(client, b"the end").await;
        server.finish().await;
        client.ends().await;
    };
    tokio::join!(proxy.shutdown(None), talking);
}

#[tokio::test]
async fn a_tunnel_that_does_not_end_is_cut_off_at_the_deadline() {
    let mut tunnel = Tunnel::open().await;
    let addr = tunnel.proxy.addr();
    let start = Instant::now();
    // With a deadline of a second.
    let stopping = tokio::spawn(tunnel.proxy.stop());
    refuses(addr).await;
    tunnel.client.exchange(&mut tunnel.server, 10).await;
    tunnel.client.is_cut().await;
    tunnel.server.is_cut().await;
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    wait::within("stopping", stopping).await.expect("no panic");
}

/// lbd with the routes and pools of `rest`, and with this `close_spread`.
async fn spreading(close_spread: &str, rest: &str) -> Proxy {
    let text = file("", "", rest);
    Proxy::start_file(&format!("close_spread = \"{close_spread}\"\n{text}")).await
}

#[tokio::test]
async fn tunnels_are_closed_one_after_the_other_within_close_spread() {
    let door = Door::open().await;
    let proxy = spreading("1s", &app(&[door.server()], "")).await;
    let mut tunnels = Vec::new();
    // So many that they will hardly ever all draw times that are close together.
    for _ in 0..16 {
        tunnels.push(tunnel(proxy.addr(), &door).await);
    }
    let start = Instant::now();
    let mut ends = JoinSet::new();
    for (mut client, mut server) in tunnels {
        ends.spawn(async move {
            client.is_cut().await;
            let took = start.elapsed();
            server.is_cut().await;
            took
        });
    }
    // Far from its deadline.
    let ((), mut ends) = tokio::join!(proxy.shutdown(Some(wait::DEADLINE)), ends.join_all());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    ends.sort_unstable();
    let (first, last) = (ends[0], ends[15]);
    assert!(last < Duration::from_secs(3), "{ends:?}");
    assert!(last - first > Duration::from_millis(300), "{ends:?}");
}

#[tokio::test]
async fn requests_are_waited_for_when_the_tunnels_are_closed() {
    let gate = Gate::closed();
    let (door, backend) = (
        Door::open().await,
        Backend::start(gated(&gate, "finished")).await,
    );
    let rest = format!(
        "[[routes]]\npath = \"/\"\npool = \"app\"\n[[routes]]\npath = \"/chat\"\npool = \"chat\"\n\
         [pools.app]\nservers = [{}]\n[pools.chat]\nservers = [{}]\n",
        backend.server(),
        door.server()
    );
    let proxy = spreading("200ms", &rest).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    let mut busy = proxy.raw().await;
    busy.send(get("/")).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let answering = async {
        client.is_cut().await;
        server.is_cut().await;
        gate.open();
        assert_eq!(busy.response().await.text(), "finished");
        busy.ends().await;
    };
    tokio::join!(proxy.shutdown(Some(wait::DEADLINE)), answering);
}

#[tokio::test]
async fn a_tunnel_that_ends_by_itself_is_not_waited_for() {
    let door = Door::open().await;
    let proxy = spreading("60s", &app(&[door.server()], "")).await;
    let addr = proxy.addr();
    let (mut client, mut server) = tunnel(addr, &door).await;
    let start = Instant::now();
    let ending = async {
        refuses(addr).await;
        client.finish().await;
        server.ends().await;
        server.finish().await;
        client.ends().await;
    };
    tokio::join!(proxy.shutdown(None), ending);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
