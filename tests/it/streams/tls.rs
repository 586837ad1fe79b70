//! TLS that ends at lbd: inside it is as in clear text.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::support::backend::Backend;
use crate::support::certs::{Authority, Identity};
use crate::support::client::get;
use crate::support::log::{line, logging};
use crate::support::plain::{Door, Plain, greets};
use crate::support::proxy::Proxy;
use crate::support::raw::Raw;
use crate::support::secure::{Agreed, handshake, offering, showing, trusting};
use crate::support::streams::{addr, ends_tls, long, start, stream};
use crate::support::wait;

use super::{NAME, certified};

/// A connection through lbd, with TLS on the client's side only.
struct Through {
    _proxy: Proxy,
    client: TlsStream<TcpStream>,
    server: Plain,
}

impl Through {
    async fn new() -> Self {
        let (authority, identity) = certified();
        let door = Door::open().await;
        let text = stream(&ends_tls(&identity, ""), &[door.server()], "");
        let (proxy, addr) = start(&text).await;
        let client = handshake(addr, NAME, &Arc::new(trusting(&authority))).await;
        Self {
            _proxy: proxy,
            client: client.expect("a handshake that succeeds"),
            server: door.accept().await,
        }
    }
}

async fn says(client: &mut TlsStream<TcpStream>, text: &str) {
    let sending = async {
        client.write_all(text.as_bytes()).await?;
        client.flush().await
    };
    let sent = wait::within("sending", sending).await;
    sent.expect("the proxy takes what the client says");
}

async fn hears(client: &mut TlsStream<TcpStream>, text: &str) {
    let mut bytes = vec![0; text.len()];
    let read = wait::within("more bytes", client.read_exact(&mut bytes)).await;
    read.expect("the connection goes on");
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// The end is announced: without a `close_notify` this fails.
async fn ends(client: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    let read = wait::within("the end", client.read_to_end(&mut rest)).await;
    read.expect("an end that is announced");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[tokio::test]
async fn what_is_inside_passes_both_ways() {
    let mut through = Through::new().await;
    for _ in 0..3 {
        says(&mut through.client, "ping").await;
        through.server.hears("ping").await;
        through.server.send("pong").await;
        hears(&mut through.client, "pong").await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let mut through = Through::new().await;
    through.server.send("220 hello\r\n").await;
    hears(&mut through.client, "220 hello\r\n").await;
}

#[tokio::test]
async fn long_transfers_pass_both_ways_at_once() {
    let Through {
        _proxy,
        client,
        server,
    } = Through::new().await;
    let (up, down) = (long(2_000_001), long(1_000_003));
    let (mut reader, mut writer) = split(client);
    let mut heard = Vec::new();
    let sending = async {
        writer.write_all(&up).await?;
        writer.shutdown().await
    };
    let client = async { tokio::join!(sending, reader.read_to_end(&mut heard)) };
    let ((sent, read), asked) = tokio::join!(
        wait::within("the client's part", client),
        server.trade(&down)
    );
    sent.expect("the proxy takes everything");
    read.expect("an end that is announced");
    assert!(asked == up, "{} bytes came to the server", asked.len());
    assert!(heard == down, "{} bytes came to the client", heard.len());
}

#[tokio::test]
async fn each_side_can_end_and_still_listen() {
    let mut through = Through::new().await;
    says(&mut through.client, "a question").await;
    let finished = wait::within("finishing", through.client.shutdown()).await;
    finished.expect("the proxy takes an end");
    assert_eq!(through.server.rest().await, b"a question");
    through.server.send("a late answer").await;
    hears(&mut through.client, "a late answer").await;
    through.server.finish().await;
    ends(&mut through.client).await;

    let mut through = Through::new().await;
    through.server.finish().await;
    ends(&mut through.client).await;
    says(&mut through.client, "a late question").await;
    through.server.hears("a late question").await;
}

#[tokio::test]
async fn a_client_that_ends_without_a_word_has_said_everything() {
    let Through {
        _proxy,
        mut client,
        mut server,
    } = Through::new().await;
    let sent = long(300_000);
    let leaving = async {
        client.write_all(&sent).await?;
        client.flush().await?;
        // No close_notify, as many have it.
        let (mut tcp, _) = client.into_inner();
        tcp.shutdown().await?;
        Ok::<_, io::Error>(tcp)
    };
    let leaving = wait::within("the client's part", leaving);
    let (left, asked) = tokio::join!(leaving, server.rest());
    left.expect("the proxy takes everything");
    assert!(asked == sent, "{} bytes came to the server", asked.len());
}

#[tokio::test]
async fn the_stream_chooses_among_the_protocols_that_the_client_offers() {
    let (authority, identity) = certified();
    let backend = Backend::start(greets("a")).await;
    let keys = ends_tls(&identity, "alpn = [\"mqtt\", \"x-other\"]");
    let (_proxy, addr) = start(&stream(&keys, &[backend.server()], "")).await;
    let config = offering(&trusting(&authority), &["x-other", "mqtt"]);
    let client = handshake(addr, NAME, &config).await;
    let mut client = client.expect("a handshake that succeeds");
    assert_eq!(Agreed::of(&client).protocol, "mqtt");
    hears(&mut client, "a").await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_a_reload() {
    let (authority, old) = certified();
    let new = authority.server(&[NAME]);
    let backend = Backend::start(greets("a")).await;
    let text = |identity: &Identity| stream(&ends_tls(identity, ""), &[backend.server()], "");
    let (mut proxy, addr) = start(&text(&old)).await;
    let config = Arc::new(trusting(&authority));
    for identity in [&old, &new] {
        proxy.reload(&text(identity)).await;
        let client = handshake(addr, NAME, &config).await;
        let client = client.expect("a handshake that succeeds");
        assert_eq!(Agreed::of(&client).certificate, *identity.certificate());
    }
}

// === who is let in ===

/// Whether a client with this configuration hears the server's greeting.
async fn is_served(config: ClientConfig, authorities: (&Identity, &Authority), auth: &str) -> bool {
    let (identity, clients) = authorities;
    let keys = format!(
        "client_ca = \"{}\", client_auth = \"{auth}\"",
        clients.path()
    );
    let backend = Backend::start(greets("a")).await;
    let text = stream(&ends_tls(identity, &keys), &[backend.server()], "");
    let (_proxy, addr) = start(&text).await;
    let Ok(mut client) = handshake(addr, NAME, &Arc::new(config)).await else {
        return false;
    };
    // A client of TLS 1.3 is done before lbd has seen its certificate.
    let mut letter = [0];
    let read = wait::within("the greeting", client.read_exact(&mut letter)).await;
    read.is_ok() && letter == *b"a"
}

#[tokio::test]
async fn only_who_shows_a_certificate_is_let_in_where_one_is_required() {
    let (authority, identity) = certified();
    let clients = Authority::new();
    let alice = showing(&authority, &clients.client("alice"));
    let mallory = showing(&authority, &Authority::new().client("alice"));
    let nobody = trusting(&authority);
    for (config, auth, expected) in [
        (&alice, "require", true),
        (&mallory, "require", false),
        (&nobody, "require", false),
        (&alice, "optional", true),
        (&mallory, "optional", false),
        (&nobody, "optional", true),
    ] {
        let is_served = is_served(config.clone(), (&identity, &clients), auth).await;
        assert_eq!(is_served, expected, "{auth}");
    }
}

#[tokio::test]
async fn clear_text_reaches_no_server() {
    let (_, identity) = certified();
    let backend = Backend::start(greets("a")).await;
    let text = stream(&ends_tls(&identity, ""), &[backend.server()], "");
    let (log, proxy) = logging("", &text).await;
    let mut client = Raw::connect(addr(&proxy)).await;
    client.send(get("/")).await;
    // An alert may come, but neither the server's greeting nor a page.
    let rest = client.rest().await;
    assert_ne!(rest, b"a");
    let text = String::from_utf8_lossy(&rest);
    assert!(!text.contains("HTTP"), "{text:?}");
    let line = line(&log).await;
    assert!(line.contains("\" 400 "), "{line}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_is_given_up() {
    let (_, identity) = certified();
    let backend = Backend::start(greets("a")).await;
    let keys = format!(
        "timeouts = {{ header = \"300ms\" }}\n{}",
        ends_tls(&identity, "")
    );
    let (_proxy, addr) = start(&stream(&keys, &[backend.server()], "")).await;
    let beginnings: [&[u8]; 3] = [&[], &[0x16, 3], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]];
    for said in beginnings {
        let begin = Instant::now();
        let mut client = Raw::connect(addr).await;
        client.send(said).await;
        client.rest().await;
        // The kernel may hand over a connection that says nothing after a second.
        let took = begin.elapsed();
        let expected = Duration::from_millis(250)..Duration::from_secs(4);
        assert!(expected.contains(&took), "{took:?}");
    }
}
