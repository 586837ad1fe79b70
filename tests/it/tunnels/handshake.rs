//! What each side sees of the other's handshake.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::client::request;
use crate::support::line::{ACCEPT, KEY, Line, switching, switching_to, upgrade};
use crate::support::peer::Request;
use crate::support::plain::Door;
use crate::support::proxy::{Proxy, app, app_at};
use crate::support::wire::Head;

/// What the server sees of a GET with these fields, which it answers as any other.
async fn seen(fields: &[(&str, &str)]) -> Request {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    let mut client = proxy.raw().await;
    let answer = client.exchange(request("GET", "/chat", fields, b"")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "x"));
    backend.last()
}

/// What the client sees of a 101 with these further field lines, under these further keys of the route.
async fn answered(route: &str, fields: &str) -> Head {
    let door = Door::open().await;
    let route = format!("path = \"/\"\n{route}");
    let proxy = Proxy::start(&app_at(&route, &[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    client.send(upgrade("/chat", &[])).await;
    let mut server = Line::accept(&door).await;
    let asked = server.head().await;
    server.send(switching(&asked, fields)).await;
    let head = client.head().await;
    client.exchange(&mut server, 10).await;
    head
}

/// The server's fields of the connection, joined.
fn of_the_connection(seen: &Request) -> (String, String) {
    let joined = |name| seen.fields().all(name).join(", ").to_lowercase();
    (joined("connection"), joined("upgrade"))
}

// === the server's side ===

#[tokio::test]
async fn the_server_is_asked_to_upgrade_and_sees_nothing_else_of_the_connection() {
    let fields = [
        ("Connection", "keep-alive, Upgrade, X-Secret"),
        ("Upgrade", "websocket"),
        ("Keep-Alive", "timeout=5"),
        ("X-Secret", "1"),
        ("X-Stays", "2"),
    ];
    let seen = seen(&fields).await;
    let expected = ("upgrade".to_owned(), "websocket".to_owned());
    assert_eq!(of_the_connection(&seen), expected);
    for name in ["keep-alive", "x-secret"] {
        assert!(!seen.fields().has(name), "{name} in {seen:?}");
    }
    assert_eq!(seen.fields().get("x-stays"), Some("2"));
    assert_eq!(seen.head.start, "GET /chat HTTP/1.1");
}

#[tokio::test]
async fn the_fields_of_a_websocket_reach_the_server() {
    let websocket = [
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Origin", "http://app.example"),
        ("Cookie", "session=1"),
    ];
    let connection = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let seen = seen(&[&connection[..], &websocket].concat()).await;
    for (name, value) in websocket {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn the_server_learns_who_asked() {
    let seen = seen(&[("Connection", "Upgrade"), ("Upgrade", "websocket")]).await;
    for (name, value) in [
        ("host", "app.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(seen.fields().get(name), Some(value), "{name}");
    }
    assert!(seen.fields().has("x-request-id"));
}

#[tokio::test]
async fn the_option_upgrade_is_found_in_any_case_and_any_line() {
    for lines in [
        &[("Connection", "UPGRADE")][..],
        &[("Connection", "keep-alive ,\tuPgrade")],
        &[("Connection", "keep-alive"), ("connection", "upgrade")],
    ] {
        let fields = [lines, &[("Upgrade", "websocket")]].concat();
        let (connection, protocol) = of_the_connection(&seen(&fields).await);
        let sees = (connection.as_str(), protocol.as_str());
        assert_eq!(sees, ("upgrade", "websocket"), "{lines:?}");
    }
}

const SETTINGS: [(&str, &str); 2] = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
];

#[tokio::test]
async fn http_2_is_taken_out_of_what_is_offered() {
    let cases: [(&[&str], &str); 6] = [
        (&["h2c, websocket"], "websocket"),
        (&["websocket, h2c"], "websocket"),
        (&["H2C,websocket"], "websocket"),
        (&["h2, websocket"], "websocket"),
        (&["h2c", "websocket"], "websocket"),
        (&["first, h2c, second/2"], "first, second/2"),
    ];
    for (offered, left) in cases {
        let lines = offered.iter().map(|line| ("Upgrade", *line));
        let fields: Vec<_> = SETTINGS.into_iter().chain(lines).collect();
        let seen = seen(&fields).await;
        let (connection, protocols) = of_the_connection(&seen);
        assert_eq!(
            (connection.as_str(), protocols.as_str()),
            ("upgrade", left),
            "{offered:?}"
        );
        assert!(!seen.fields().has("http2-settings"), "{seen:?}");
    }
}

#[tokio::test]
async fn an_upgrade_to_nothing_but_http_2_is_a_plain_request() {
    for offered in ["h2c", "h2", "H2C", "h2c, h2"] {
        let fields = [&SETTINGS[..], &[("Upgrade", offered)]].concat();
        let seen = seen(&fields).await;
        let (connection, _) = of_the_connection(&seen);
        assert!(!connection.contains("upgrade"), "{offered}: {seen:?}");
        for name in ["upgrade", "http2-settings"] {
            assert!(!seen.fields().has(name), "{offered}: {seen:?}");
        }
    }
}

// === the client's side ===

#[tokio::test]
async fn the_client_is_told_what_it_has_and_nothing_else_of_the_connection() {
    let secret = "Connection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nX-Stays: 2\r\n";
    let head = answered("", secret).await;
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("x-stays", "2"),
    ] {
        let sees = head.fields.get(name).map(str::to_lowercase);
        assert_eq!(sees.as_deref(), Some(value), "{name}");
    }
    for name in ["x-secret", "keep-alive"] {
        assert!(!head.fields.has(name), "{name} in {head:?}");
    }
}

#[tokio::test]
async fn a_101_has_no_body_and_says_nothing_of_one() {
    let head = answered("", "").await;
    for name in ["content-length", "transfer-encoding"] {
        assert!(!head.fields.has(name), "{name} in {head:?}");
    }
}

#[tokio::test]
async fn the_fields_of_a_websocket_reach_the_client() {
    let fields = "Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
    let head = answered("", fields).await;
    assert_eq!(head.fields.get("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(head.fields.get("sec-websocket-protocol"), Some("chat"));
    assert_eq!(head.fields.all("set-cookie"), ["a=1", "b=2"]);
}

#[tokio::test]
async fn the_routes_edits_are_for_a_101_too() {
    let edits = "response_headers = { set = { X-App = \"a\" }, remove = [\"X-Debug\"] }";
    let head = answered(edits, "X-Debug: 1\r\nX-Stays: 2\r\n").await;
    for (name, value) in [
        ("x-app", Some("a")),
        ("x-debug", None),
        ("x-stays", Some("2")),
    ] {
        assert_eq!(head.fields.get(name), value, "{name}");
    }
}

/// A client that offers these protocols, and the server that has read so.
async fn offering(protocols: &str) -> (Proxy, Line, Line) {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let mut client = Line::connect(proxy.addr()).await;
    let fields = [("Connection", "Upgrade"), ("Upgrade", protocols)];
    client.send(request("GET", "/", &fields, b"")).await;
    let mut server = Line::accept(&door).await;
    server.head().await;
    (proxy, client, server)
}

#[tokio::test]
async fn the_server_chooses_among_what_is_offered() {
    for (offered, chosen) in [
        ("first, second/2", "second/2"),
        ("h2c, first", "first"),
        ("WebSocket", "websocket"),
    ] {
        let (_proxy, mut client, mut server) = offering(offered).await;
        server.send(switching_to(chosen, "")).await;
        let head = client.head().await;
        let sees = head.fields.get("upgrade").map(str::to_lowercase);
        assert_eq!(sees.as_deref(), Some(chosen), "{offered}");
        client.exchange(&mut server, 10).await;
    }
}

#[tokio::test]
async fn a_server_that_has_no_choice_need_not_say_what_it_has_chosen() {
    for offered in ["foo/2", "h2c, foo/2"] {
        let (_proxy, mut client, mut server) = offering(offered).await;
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n";
        server.send(head).await;
        let head = client.head().await;
        assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
        assert_eq!(head.fields.get("upgrade"), Some("foo/2"), "{offered}");
        client.exchange(&mut server, 10).await;
    }
}
