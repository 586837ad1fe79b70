//! `max_connections`: those who come when there are enough are told so, and those who are there notice nothing.

mod kinds;
mod streams;

use crate::support::client::{Client, get, request};
use crate::support::log::{lines, logging_at};
use crate::support::proxy::{Proxy, file, says};
use crate::support::raw::{Raw, Response};
use crate::support::wait;

/// A route that says hello to everybody.
fn hello() -> String {
    says("path = \"/\"", "hello")
}

/// lbd that serves so many connections at a time.
async fn serving(most: usize) -> Proxy {
    Proxy::start_with(&format!("max_connections = {most}"), &hello()).await
}

/// So many clients that are served, and stay.
async fn served(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = proxy.client().await;
        is_served(&mut client).await;
        clients.push(client);
    }
    clients
}

async fn is_served(client: &mut Client) {
    assert_eq!(client.get("/").await.text(), "hello");
}

/// It says that there are too many connections, that this one ends, and when to come again.
fn assert_crowded(answer: &Response) {
    let fields = ["retry-after", "connection", "server"].map(|name| answer.field(name));
    assert_eq!(
        (answer.status, fields),
        (503, [Some("1"), Some("close"), Some("lbd")])
    );
}

/// Somebody who comes now is told so.
async fn is_full(proxy: &Proxy) {
    let mut client = proxy.raw().await;
    assert_crowded(&client.exchange(get("/")).await);
    client.ends().await;
}

/// Somebody who comes now is served, or will be in a moment.
async fn has_room(proxy: &Proxy) {
    wait::until_async("there is room", async || proxy.get("/").await.status == 200).await;
}

#[tokio::test]
async fn the_one_beyond_is_told_and_the_others_are_served() {
    let proxy = serving(2).await;
    let mut clients = served(&proxy, 2).await;
    for _ in 0..3 {
        is_full(&proxy).await;
        for client in &mut clients {
            is_served(client).await;
        }
    }
}

#[tokio::test]
async fn without_the_key_there_is_no_limit() {
    let proxy = Proxy::start(&hello()).await;
    served(&proxy, 100).await;
    let proxy = serving(0).await;
    served(&proxy, 100).await;
}

#[tokio::test]
async fn when_one_leaves_another_is_served() {
    let proxy = serving(2).await;
    let mut clients = served(&proxy, 2).await;
    is_full(&proxy).await;
    clients.pop();
    has_room(&proxy).await;
    is_served(&mut clients[0]).await;
}

#[tokio::test]
async fn whoever_was_told_and_has_left_takes_no_place() {
    let proxy = serving(1).await;
    let first = served(&proxy, 1).await;
    for _ in 0..20 {
        is_full(&proxy).await;
    }
    drop(first);
    has_room(&proxy).await;
}

#[tokio::test]
async fn what_comes_behind_the_first_request_is_not_answered() {
    let proxy = serving(1).await;
    let _first = served(&proxy, 1).await;
    let mut client = proxy.raw().await;
    client.send(get("/").repeat(3)).await;
    assert_crowded(&client.response().await);
    client.ends().await;
}

#[tokio::test]
async fn an_upload_beyond_is_told_though_it_goes_on() {
    let proxy = serving(1).await;
    let _first = served(&proxy, 1).await;
    let mut client = proxy.raw().await;
    let length = [("Content-Length", "50000000")];
    client.send(request("POST", "/", &length, b"")).await;
    let upload = client.keep_sending(vec![b'x'; 65_536]);
    assert_crowded(&client.response().await);
    upload.abort();
}

#[tokio::test]
async fn what_is_wrong_with_a_request_beyond_is_told_as_ever() {
    let proxy = serving(1).await;
    let _first = served(&proxy, 1).await;
    let mut client = proxy.raw().await;
    let answer = client.exchange("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    client.ends().await;
}

#[tokio::test]
async fn the_access_log_has_a_line_for_it() {
    let (log, proxy) = logging_at("max_connections = 1", "", &hello()).await;
    let _first = served(&proxy, 1).await;
    is_full(&proxy).await;
    proxy.stop().await;
    let lines = lines(&log, 2).await;
    assert!(lines[1].contains("\"GET / HTTP/1.1\" 503 "), "{lines:?}");
}

#[tokio::test]
async fn far_too_many_are_closed_without_a_word() {
    const MOST: usize = 8;
    const TOLD: usize = 64 + MOST / 8;
    let proxy = serving(MOST).await;
    let mut clients = Vec::new();
    for _ in 0..MOST + TOLD {
        let mut client = proxy.raw().await;
        // They are let in one after the other, as soon as they say something.
        client.send("GET / HTTP/1.1\r\n").await;
        clients.push(client);
    }
    for _ in 0..3 {
        let mut client = proxy.raw().await;
        // It may be closed before that.
        let _ = client.try_send(get("/")).await;
        client.ends().await;
    }
    let (first, told) = clients.split_at_mut(MOST);
    for client in first {
        assert_eq!(finish(client).await.text(), "hello");
    }
    for client in told {
        assert_crowded(&finish(client).await);
    }
}

/// The answer to the rest of a request.
async fn finish(client: &mut Raw) -> Response {
    client.exchange("Host: a\r\n\r\n").await
}

// === reloads ===

#[tokio::test]
async fn connections_from_before_a_reload_count() {
    let mut proxy = Proxy::start(&hello()).await;
    let mut clients = served(&proxy, 2).await;
    reload(&mut proxy, 2).await;
    is_full(&proxy).await;
    for client in &mut clients {
        is_served(client).await;
    }
    clients.pop();
    has_room(&proxy).await;
}

#[tokio::test]
async fn a_reload_makes_room() {
    let mut proxy = serving(1).await;
    let mut clients = served(&proxy, 1).await;
    is_full(&proxy).await;
    reload(&mut proxy, 2).await;
    clients.extend(served(&proxy, 1).await);
    is_full(&proxy).await;
    for client in &mut clients {
        is_served(client).await;
    }
}

#[tokio::test]
async fn a_reload_that_makes_less_room_ends_nobody() {
    let mut proxy = serving(3).await;
    let mut clients = served(&proxy, 3).await;
    reload(&mut proxy, 1).await;
    for client in &mut clients {
        is_served(client).await;
    }
    clients.pop();
    is_full(&proxy).await;
}

async fn reload(proxy: &mut Proxy, most: usize) {
    let keys = format!("max_connections = {most}");
    let reloaded = proxy.try_reload(&file("", &keys, &hello())).await;
    reloaded.expect("a good file is taken");
}

// === more than one listener ===

#[tokio::test]
async fn the_addresses_of_a_listener_share_its_places() {
    let two = "bind = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\nmax_connections = 1";
    let text = file("", "", &hello()).replace("bind = \"127.0.0.1:0\"", two);
    let proxy = Proxy::start_file(&text).await;
    let _first = served(&proxy, 1).await;
    let mut other = Raw::connect(proxy.addrs()[1]).await;
    assert_crowded(&other.exchange(get("/")).await);
}

#[tokio::test]
async fn another_listener_has_places_of_its_own() {
    let second = "[[listeners]]\nbind = \"127.0.0.2:0\"\nmax_connections = 1\n";
    let rest = format!("{second}{}", hello());
    let proxy = Proxy::start_with("max_connections = 1", &rest).await;
    let _first = served(&proxy, 1).await;
    is_full(&proxy).await;
    let mut other = Client::connect(proxy.addrs()[1]).await;
    is_served(&mut other).await;
}
