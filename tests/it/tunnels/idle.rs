//! `timeouts.tunnel`: how long nothing may move, in neither direction; the other timeouts are not for tunnels.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::support::backend::Backend;
use crate::support::behaviour::never_answers;
use crate::support::client::get;
use crate::support::line::{Line, upgrade};
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app_at};

use super::{Tunnel, accepted, is_switched, tunnel};

/// Since `start` it has been `least`, and not much longer.
fn has_taken(least: Duration, start: Instant) {
    let took = start.elapsed();
    let expected = least..least + Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_ends_on_both_sides() {
    let start = Instant::now();
    let mut tunnel = Tunnel::with("timeouts = { tunnel = \"300ms\" }").await;
    tunnel.client.is_cut().await;
    tunnel.server.is_cut().await;
    has_taken(Duration::from_millis(250), start);
}

#[tokio::test]
async fn a_tunnel_of_which_one_direction_has_ended_may_not_idle_either() {
    let mut tunnel = Tunnel::with("timeouts = { tunnel = \"300ms\" }").await;
    tunnel.client.finish().await;
    tunnel.server.ends().await;
    tunnel.client.is_cut().await;
    tunnel.server.is_cut().await;
}

/// For almost twice as long as [`SHORT`] a byte passes now and then, and none the other way.
async fn drips(from: &mut Line, to: &mut Line) {
    let mut pace = interval(Duration::from_millis(100));
    for _ in 0..12 {
        pace.tick().await;
        from.pass(to, b".").await;
    }
}

const SHORT: &str = "timeouts = { tunnel = \"600ms\" }";

#[tokio::test]
async fn a_tunnel_in_which_only_the_client_speaks_is_not_idle() {
    let mut tunnel = Tunnel::with(SHORT).await;
    drips(&mut tunnel.client, &mut tunnel.server).await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn a_tunnel_in_which_only_the_server_speaks_is_not_idle() {
    let mut tunnel = Tunnel::with(SHORT).await;
    drips(&mut tunnel.server, &mut tunnel.client).await;
    tunnel.is_open().await;
}

#[tokio::test]
async fn each_tunnel_idles_for_itself() {
    let mut busy = Tunnel::with("timeouts = { tunnel = \"400ms\" }").await;
    let (mut client, mut server) = tunnel(busy.proxy.addr(), &busy.door).await;
    let idling = tokio::spawn(async move {
        client.is_cut().await;
        server.is_cut().await;
    });
    let mut pace = interval(Duration::from_millis(50));
    while !idling.is_finished() {
        pace.tick().await;
        busy.is_open().await;
    }
    idling.await.expect("it ended without a byte");
    busy.is_open().await;
}

#[tokio::test]
async fn a_route_can_be_less_patient_than_its_pool() {
    let door = Door::open().await;
    let route = "path = \"/\"\ntimeouts = { tunnel = \"200ms\" }";
    let keys = "timeouts = { tunnel = \"60s\" }";
    let proxy = Proxy::start(&app_at(route, &[door.server()], keys)).await;
    let start = Instant::now();
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    client.is_cut().await;
    server.is_cut().await;
    has_taken(Duration::from_millis(150), start);
}

#[tokio::test]
async fn a_route_can_be_more_patient_than_its_pool() {
    let door = Door::open().await;
    let rest = format!(
        "[[routes]]\npath = \"/\"\npool = \"app\"\ntimeouts = {{ tunnel = \"60s\" }}\n\
         [[routes]]\npath = \"/short/\"\npool = \"app\"\n\
         [pools.app]\nservers = [{}]\ntimeouts = {{ tunnel = \"300ms\" }}\n",
        door.server()
    );
    let proxy = Proxy::start(&rest).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    // One that began later, and has the pool's patience, is over first.
    let mut short = Line::connect(proxy.addr()).await;
    short.send(upgrade("/short/", &[])).await;
    let mut its_server = accepted(&door).await;
    is_switched(&mut short).await;
    short.is_cut().await;
    its_server.is_cut().await;
    client.exchange(&mut server, 10).await;
}

#[tokio::test]
async fn the_other_timeouts_are_not_for_tunnels() {
    let (door, hanging) = (Door::open().await, Backend::start(never_answers()).await);
    let rest = format!(
        "[[routes]]\npath = \"/\"\npool = \"app\"\n[[routes]]\npath = \"/hang/\"\npool = \"hanging\"\n\
         [pools.app]\nservers = [{}]\ntimeouts = {{ read = \"200ms\" }}\n\
         [pools.hanging]\nservers = [{}]\ntimeouts = {{ read = \"200ms\" }}\n",
        door.server(),
        hanging.server()
    );
    let listener =
        "timeouts = { header = \"200ms\", body = \"200ms\", send = \"200ms\", idle = \"200ms\" }";
    let proxy = Proxy::start_with(listener, &rest).await;
    let (mut client, mut server) = tunnel(proxy.addr(), &door).await;
    // Others that began later are given up meanwhile: a server that does not answer, and a client that says nothing.
    let mut waiting = proxy.raw().await;
    assert_eq!(waiting.exchange(get("/hang/")).await.status, 504);
    waiting.ends().await;
    client.exchange(&mut server, 10).await;
}
