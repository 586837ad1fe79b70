//! Who was let in by rules that a reload has changed has to come in again; who was let in by the same ones may stay.

use std::net::SocketAddr;
use std::sync::Arc;

use h2::client::Builder;
use rustls::ClientConfig;

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, gated};
use crate::support::certs::{Authority, Identity};
use crate::support::client::get;
use crate::support::frame::{self, code, kind};
use crate::support::frames::Frames;
use crate::support::http2::{self, Http2, request};
use crate::support::proxy::{Proxy, app, file, says};
use crate::support::secure::{Secure, handshake, offering, showing, trusting};
use crate::support::wait;

use super::{NAME, front, tls};

/// The keys of `tls` that ask clients for certificates of `clients`.
fn asking(clients: &Authority, client_auth: &str) -> String {
    format!(
        "client_ca = \"{}\", client_auth = \"{client_auth}\"",
        clients.path()
    )
}

/// A whole lb.toml with this certificate and these further keys for `tls` that says `body`.
fn text(identity: &Identity, keys: &str, body: &str) -> String {
    file("", &tls(&[identity], keys), &says("path = \"/\"", body))
}

async fn reload(proxy: &mut Proxy, text: &str) {
    let reloaded = proxy.try_reload(text).await;
    reloaded.expect("a good file is taken");
}

/// A connection of each version of HTTP.
struct Open {
    http1: Secure,
    http2: Http2,
}

impl Open {
    async fn connect(addr: SocketAddr, config: &ClientConfig) -> Self {
        let http1 = Secure::connect(addr, NAME, &Arc::new(config.clone())).await;
        let stream = handshake(addr, NAME, &offering(config, &["h2"])).await;
        let stream = stream.expect("a handshake that succeeds");
        Self {
            http1,
            http2: Http2::over(&Builder::new(), stream).await,
        }
    }

    async fn are_answered(&mut self, body: &str) {
        assert_eq!(self.http1.exchange(get("/")).await.text(), body);
        assert_eq!(self.http2.get("/").await.text(), body);
    }

    async fn are_ended(mut self) {
        self.http1.ends().await;
        self.http2.ended().await.expect("an end without an error");
    }
}

#[tokio::test]
async fn who_was_let_in_by_other_rules_is_sent_away() {
    let (authority, identity) = front();
    let (clients, others) = (Authority::new(), Authority::new());
    let nobody = trusting(&authority);
    let alice = showing(&authority, &clients.client("alice"));
    for (before, after, config) in [
        (String::new(), asking(&clients, "require"), &nobody),
        (
            asking(&clients, "optional"),
            asking(&clients, "require"),
            &nobody,
        ),
        (
            asking(&clients, "require"),
            asking(&others, "require"),
            &alice,
        ),
    ] {
        let mut proxy = Proxy::start_file(&text(&identity, &before, "x")).await;
        let mut open = Open::connect(proxy.addr(), config).await;
        open.are_answered("x").await;
        reload(&mut proxy, &text(&identity, &after, "x")).await;
        open.are_ended().await;
    }
}

#[tokio::test]
async fn who_came_in_clear_text_is_sent_away_once_there_is_tls() {
    let (_, identity) = front();
    let plain = file("", "h2c = true", &says("path = \"/\"", "x"));
    let mut proxy = Proxy::start_file(&plain).await;
    let mut http1 = proxy.raw().await;
    assert_eq!(http1.exchange(get("/")).await.text(), "x");
    let mut http2 = Frames::connect(proxy.addr()).await;
    http2.send(frame::get(1, "/")).await;
    assert_eq!(http2.answer(1).await.0, 200);
    reload(&mut proxy, &text(&identity, "", "x")).await;
    http1.ends().await;
    let goaway = http2.next_of(kind::GOAWAY).await;
    assert_eq!(goaway.code(), code::NO_ERROR);
    http2.ends().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_by_the_rules_that_it_began_with() {
    let (authority, identity) = front();
    let clients = Authority::new();
    let gate = Gate::closed();
    let backend = Backend::start(gated(&gate, "old")).await;
    let rest = app(&[backend.server()], "");
    let mut proxy = Proxy::start_with(&tls(&[&identity], ""), &rest).await;
    let Open {
        mut http1,
        mut http2,
    } = Open::connect(proxy.addr(), &trusting(&authority)).await;
    // The second of them begins when the first is answered.
    http1.send([get("/"), get("/")].concat()).await;
    wait::until("the request is with the server", || backend.requests() == 1).await;
    let (response, _) = http2.start(request("GET", "/", &[]), true).await;
    wait::until("both are with the server", || backend.requests() == 2).await;

    let strict = text(&identity, &asking(&clients, "require"), "new");
    reload(&mut proxy, &strict).await;
    gate.open();
    assert_eq!(http1.response().await.text(), "old");
    http1.ends().await;
    assert_eq!(http2::answer(response).await.text(), "old");
    http2.ended().await.expect("an end without an error");
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn a_new_certificate_or_route_sends_nobody_away() {
    let (authority, identity) = front();
    let renewed = authority.server(&[NAME]);
    let clients = Authority::new();
    let nobody = trusting(&authority);
    let alice = showing(&authority, &clients.client("alice"));
    for (keys, config) in [
        (String::new(), &nobody),
        (asking(&clients, "optional"), &nobody),
        (asking(&clients, "require"), &alice),
    ] {
        let mut proxy = Proxy::start_file(&text(&identity, &keys, "old")).await;
        let mut open = Open::connect(proxy.addr(), config).await;
        open.are_answered("old").await;
        reload(&mut proxy, &text(&renewed, &keys, "old")).await;
        open.are_answered("old").await;
        reload(&mut proxy, &text(&renewed, &keys, "new")).await;
        open.are_answered("new").await;
    }
}
