//! What waiting in line is not: a fault of servers, an obstacle for those who need not wait, or longer than it has to be.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, never_answers};
use crate::support::client::get;
use crate::support::peer::Peer;
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Raw;
use crate::support::wait;

/// A line that is long enough, and in which nobody waits in vain.
const LINE: &str = "queue = { size = 10, timeout = \"1h\" }";

/// Further keys: servers are not waited for as long as requests wait here, and who fails once is out for good.
const HASTY: &str = "timeouts = { connect = \"400ms\", send = \"400ms\", read = \"400ms\" }
max_fails = 1
fail_timeout = \"1h\"";

/// Who does not wait for the gate to open: everybody but those who ask for this.
const HOLD: &str = "/hold";

/// Says `name` at once; to [`HOLD`] bit by bit, until the gate opens. Connections stay, or end with each answer.
fn says(name: &'static str, gate: &Gate, stays: bool) -> Behaviour {
    let gate = gate.clone();
    let connection = if stays { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: {connection}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    Behaviour::new(move |mut peer| {
        let (gate, head) = (gate.clone(), head.clone());
        async move {
            loop {
                let request = peer.request().await?;
                peer.send(&head).await?;
                if request.target() == HOLD {
                    drips(&mut peer, &gate).await?;
                }
                peer.send(format!("{:x}\r\n{name}\r\n0\r\n\r\n", name.len()))
                    .await?;
                if !stays {
                    return Ok(());
                }
            }
        }
    })
}

/// Goes on answering until the gate opens: nobody can say that this server is silent.
async fn drips(peer: &mut Peer, gate: &Gate) -> io::Result<()> {
    loop {
        peer.send("1\r\n.\r\n").await?;
        tokio::select! {
            () = gate.passed() => return Ok(()),
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
}

/// A request that has a place of `backend`, as long as the gate is closed.
async fn held(proxy: &Proxy, backend: &Backend) -> Raw {
    let (mut client, before) = (proxy.raw().await, backend.requests());
    client.send(get(HOLD)).await;
    wait::until("it has a place", || backend.requests() > before).await;
    client
}

/// Sends GET `/`, and waits until `count` requests wait in line.
async fn waits(proxy: &Proxy, count: usize) -> Raw {
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("it waits", || proxy.pool().waiting == count).await;
    client
}

/// Returns when a server of another lbd, which has as long to answer and does not, was given up.
async fn longer_than_servers_have() {
    let silent = Backend::start(never_answers()).await;
    let proxy = Proxy::start(&app(&[silent.server()], HASTY)).await;
    assert_eq!(proxy.get("/").await.status, 504);
}

// === no server is blamed ===

/// Two servers with a place each, which are taken, and a request that waits until one has been made free; longer than
/// servers have.
async fn outwaits_its_time(stays: bool) {
    let (gate_a, gate_b) = (Gate::closed(), Gate::closed());
    let (a, b) = (
        Backend::start(says("a", &gate_a, stays)).await,
        Backend::start(says("b", &gate_b, stays)).await,
    );
    let servers = [&a, &b].map(|server| server.server_with("max_conns = 1"));
    let proxy = Proxy::start(&app(&servers, &format!("{LINE}\n{HASTY}"))).await;
    // A connection to each is there already, if they stay.
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    let (mut by_a, mut by_b) = (held(&proxy, &a).await, held(&proxy, &b).await);
    let mut client = waits(&proxy, 1).await;
    longer_than_servers_have().await;
    gate_a.open();
    let answer = client.response().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
    gate_b.open();
    for client in [&mut by_a, &mut by_b] {
        assert_eq!(client.response().await.status, 200);
    }
    let states = [&a, &b].map(|server| proxy.server(server.addr()).state);
    assert_eq!(states, ["up", "up"], "nobody is blamed");
    assert_eq!((a.requests(), b.requests()), (3, 2), "nor asked twice");
}

#[tokio::test]
async fn a_request_may_wait_for_longer_than_a_server_may_take() {
    outwaits_its_time(false).await;
}

#[tokio::test]
async fn so_it_may_if_it_goes_over_a_connection_that_was_kept() {
    outwaits_its_time(true).await;
}

// === who need not wait ===

#[tokio::test]
async fn a_client_of_an_idle_server_that_drains_does_not_wait_with_the_others() {
    let (gate, open) = (Gate::closed(), Gate::closed());
    open.open();
    let (a, b) = (
        Backend::start(says("a", &gate, true)).await,
        Backend::start(says("b", &open, true)).await,
    );
    let keys = format!("{LINE}\nsticky = {{ cookie = \"lb\" }}");
    let one = "max_conns = 1";
    let text = |b: String| app(&[a.server_with(one), b], &keys);
    let mut proxy = Proxy::start(&text(b.server_with(one))).await;
    let mut cookie = String::new();
    for _ in 0..2 {
        let answer = proxy.client().await.allowing("set-cookie").get("/").await;
        if answer.text() == "b" {
            let set = answer.field("set-cookie").unwrap_or_default();
            cookie = set.split(';').next().unwrap_or_default().to_owned();
        }
    }
    let drains = b.server_with("max_conns = 1, drain = true");
    proxy.reload(&text(drains)).await;
    let mut busy = held(&proxy, &a).await;
    let mut other = waits(&proxy, 1).await;
    for _ in 0..3 {
        let fields = [("Cookie", cookie.as_str())];
        let answer = proxy.request("GET", "/", &fields, b"").await;
        assert_eq!(answer.text(), "b");
        assert_eq!(proxy.pool().waiting, 1, "the other one waits still");
    }
    gate.open();
    assert_eq!(busy.response().await.status, 200);
    assert_eq!(other.response().await.text(), "a");
}

// === room that a reload makes ===

#[tokio::test]
async fn those_in_line_take_the_room_that_a_reload_makes() {
    let gate = Gate::closed();
    let backend = Backend::start(says("a", &gate, true)).await;
    let text = |most| app(&[backend.server_with(&format!("max_conns = {most}"))], LINE);
    let mut proxy = Proxy::start(&text(1)).await;
    let mut busy = held(&proxy, &backend).await;
    let mut clients = Vec::new();
    for count in 1..=5 {
        clients.push(waits(&proxy, count).await);
    }
    proxy.reload(&text(2)).await;
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "a");
    }
    // The first one has its place still.
    assert_eq!((backend.requests(), proxy.pool().waiting), (6, 0));
    gate.open();
    assert_eq!(busy.response().await.status, 200);
}

#[tokio::test]
async fn nobody_is_needed_to_tell_them() {
    let gate = Gate::closed();
    let backend = Backend::start(says("a", &gate, true)).await;
    let text = |most| app(&[backend.server_with(&format!("max_conns = {most}"))], LINE);
    let mut proxy = Proxy::start(&text(1)).await;
    let busy = held(&proxy, &backend).await;
    let mut client = waits(&proxy, 1).await;
    // No limit at all.
    proxy.reload(&text(0)).await;
    assert_eq!(client.response().await.text(), "a");
    drop(busy);
}
