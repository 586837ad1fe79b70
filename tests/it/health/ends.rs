//! `on_down`: what becomes of tunnels to a server that checks take out.

use tokio::net::TcpListener;

use super::{AT_ONCE, becomes, goes_out, response};
use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, Gate, ok};
use crate::support::client::get;
use crate::support::datagrams::{Datagrams, Echo};
use crate::support::line::{Line, switching, upgrade};
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, app};
use crate::support::streams::{addr, start, stream};
use crate::support::wait;

/// A server that switches and says "hello", and "still here" when the gate opens; whoever checks it asks elsewhere.
struct Site {
    server: Backend,
    watcher: Backend,
    gate: Gate,
}

impl Site {
    async fn new() -> Self {
        let gate = Gate::closed();
        Self {
            server: Backend::start(talks(&gate)).await,
            watcher: Backend::start(ok("well")).await,
            gate,
        }
    }

    /// The key `health` with this `on_down`, if any.
    fn health(&self, on_down: &str) -> String {
        let port = self.watcher.addr().port();
        format!("health = {{ check = \"tcp\", port = {port}, {AT_ONCE}{on_down} }}")
    }

    /// lbd before it, and a tunnel through it.
    async fn tunnel(&self, on_down: &str, keys: &str) -> (Proxy, Line) {
        let keys = format!("{}\n{keys}", self.health(on_down));
        let proxy = Proxy::start(&app(&[self.server.server()], &keys)).await;
        let tunnel = greeted(&proxy).await;
        (proxy, tunnel)
    }

    /// Checks take the server out.
    async fn goes_out(&mut self, proxy: &Proxy) {
        self.watcher.stop().await;
        goes_out(proxy, self.server.addr()).await;
    }

    /// And bring it back.
    async fn comes_back(&mut self, proxy: &Proxy) {
        self.watcher.start_as(ok("well"));
        becomes(proxy, self.server.addr(), "up").await;
    }
}

fn talks(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            let request = peer.request().await?;
            if !request.fields().has("upgrade") {
                gate.passed().await;
                return peer.send(response(200, "late")).await;
            }
            peer.send(switching(&request.head, "") + "hello").await?;
            gate.passed().await;
            peer.send("still here").await?;
            peer.until_closed().await
        }
    })
}

async fn greeted(proxy: &Proxy) -> Line {
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let head = client.head().await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
    client.hears("hello").await;
    client
}

const CLOSE: &str = ", on_down = \"close\"";
const KEEP: &str = ", on_down = \"keep\"";

#[tokio::test]
async fn close_ends_tunnels() {
    let mut site = Site::new().await;
    let (proxy, mut client) = site.tunnel(CLOSE, "").await;
    let mut other = greeted(&proxy).await;
    site.goes_out(&proxy).await;
    client.is_cut().await;
    other.is_cut().await;
    assert_eq!(proxy.server(site.server.addr()).tunnels, 0);
}

#[tokio::test]
async fn keep_does_not_and_is_what_happens_if_nothing_is_said() {
    for on_down in [KEEP, ""] {
        let mut site = Site::new().await;
        let (proxy, mut client) = site.tunnel(on_down, "").await;
        site.goes_out(&proxy).await;
        site.gate.open();
        client.hears("still here").await;
        assert_eq!(proxy.server(site.server.addr()).tunnels, 1);
    }
}

#[tokio::test]
async fn a_tunnel_that_begins_after_that_is_not_ended() {
    let mut site = Site::new().await;
    let (proxy, mut client) = site.tunnel(CLOSE, "").await;
    site.goes_out(&proxy).await;
    client.is_cut().await;
    site.comes_back(&proxy).await;
    let mut later = greeted(&proxy).await;
    site.gate.open();
    later.hears("still here").await;
    // And ends the next time.
    site.goes_out(&proxy).await;
    later.is_cut().await;
}

#[tokio::test]
async fn requests_go_on() {
    let mut site = Site::new().await;
    let (proxy, _tunnel) = site.tunnel(CLOSE, "").await;
    let mut client = proxy.raw().await;
    client.send(get("/")).await;
    wait::until("the request is there", || site.server.requests() == 2).await;
    site.goes_out(&proxy).await;
    site.gate.open();
    assert_eq!(client.response().await.text(), "late");
}

#[tokio::test]
async fn tunnels_to_a_server_that_is_used_all_the_same_go_on() {
    let mut site = Site::new().await;
    let (proxy, mut client) = site.tunnel(CLOSE, "max_out = \"50%\"").await;
    site.goes_out(&proxy).await;
    site.gate.open();
    client.hears("still here").await;
}

#[tokio::test]
async fn tunnels_to_others_go_on() {
    let (mut dying, gate) = (Backend::start(ok("x")).await, Gate::closed());
    let steady = Backend::start(talks(&gate)).await;
    let health = format!("health = {{ check = \"tcp\", {AT_ONCE}{CLOSE} }}");
    let servers = [dying.server_with("backup = true"), steady.server()];
    let proxy = Proxy::start(&app(&servers, &health)).await;
    let mut tunnel = greeted(&proxy).await;
    dying.stop().await;
    goes_out(&proxy, dying.addr()).await;
    gate.open();
    tunnel.hears("still here").await;
}

// === streams ===

/// A connection through a stream to a server that is checked elsewhere: its ends, and who is to be stopped.
async fn through(on_down: &str) -> (Proxy, Backend, Door, Plain, Plain) {
    let (door, watcher) = (Door::open().await, Backend::start(ok("well")).await);
    let port = watcher.addr().port();
    let health = format!("health = {{ check = \"tcp\", port = {port}, {AT_ONCE}{on_down} }}");
    let (proxy, addr) = start(&stream("", &[door.server()], &health)).await;
    let mut client = Plain::connect(addr).await;
    let mut server = door.accept().await;
    client.send("ping").await;
    server.hears("ping").await;
    (proxy, watcher, door, client, server)
}

#[tokio::test]
async fn close_ends_connections_of_a_stream() {
    let (proxy, mut watcher, door, mut client, mut server) = through(CLOSE).await;
    watcher.stop().await;
    goes_out(&proxy, door.addr()).await;
    client.is_closed().await;
    server.is_closed().await;
}

#[tokio::test]
async fn keep_does_not_end_them() {
    let (proxy, mut watcher, door, mut client, mut server) = through(KEEP).await;
    watcher.stop().await;
    goes_out(&proxy, door.addr()).await;
    server.send("pong").await;
    client.hears("pong").await;
    client.send("ping").await;
    server.hears("ping").await;
}

// === datagrams ===

/// A server of datagrams that says its name, and whoever is asked by checks at the same port.
async fn echo(name: &'static str) -> (Echo, TcpListener) {
    loop {
        let echo = Echo::start(name).await;
        // TCP may have given the number to somebody else.
        if let Ok(listener) = TcpListener::bind(echo.addr()).await {
            return (echo, listener);
        }
    }
}

/// lbd before two such servers, the second and who is asked for it, and a client of the first, which is out by now.
async fn client_of_one_that_is_out(
    on_down: &str,
) -> (Proxy, [(Echo, Option<TcpListener>); 2], Datagrams) {
    let ((a, checked), (b, other)) = (echo("a").await, echo("b").await);
    let health = format!("health = {{ check = \"tcp\", {AT_ONCE}{on_down} }}");
    let servers = [a.server(), b.server()];
    let (proxy, addr) = start(&stream("protocol = \"udp\"", &servers, &health)).await;
    let client = Datagrams::bind().await;
    assert_eq!(client.ask_text("", addr).await, "a");
    drop(checked);
    goes_out(&proxy, a.addr()).await;
    (proxy, [(a, None), (b, Some(other))], client)
}

#[tokio::test]
async fn close_has_clients_go_on_with_another_server() {
    let (proxy, _servers, client) = client_of_one_that_is_out(CLOSE).await;
    wait::until_async("the other answers", async || {
        client.ask_text("", addr(&proxy)).await == "b"
    })
    .await;
}

#[tokio::test]
async fn keep_has_them_go_on_with_the_same() {
    let (proxy, _servers, client) = client_of_one_that_is_out(KEEP).await;
    for _ in 0..5 {
        assert_eq!(client.ask_text("", addr(&proxy)).await, "a");
    }
}
