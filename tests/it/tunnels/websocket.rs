//! WebSocket as others implement it, at both ends of a tunnel: what passes is neither more nor less than was said.

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::line::long_body;
use crate::support::plain::{Door, Plain};
use crate::support::proxy::{Proxy, app};
use crate::support::websocket::Socket;

type Tcp = Socket<TcpStream>;

/// A WebSocket through lbd: the client's end, and the server's.
async fn opened() -> (Proxy, Tcp, Tcp) {
    let door = Door::open().await;
    let proxy = Proxy::start(&app(&[door.server()], "")).await;
    let stream = Plain::connect(proxy.addr()).await.into_inner();
    let accepting = async { Socket::accept(door.accept().await.into_inner()).await };
    let (client, server) =
        tokio::join!(Socket::connect(stream, "ws://app.example/chat"), accepting);
    (proxy, client, server)
}

/// `from` sends a message, and `to` gets it.
async fn passes(from: &mut Tcp, to: &mut Tcp, message: Message) {
    let length = message.len();
    let ((), came) = tokio::join!(from.send(message.clone()), to.next());
    let came = came.expect("a message");
    assert!(came == message, "{} bytes instead of {length}", came.len());
}

/// A message goes to the server and comes back.
async fn echoes(client: &mut Tcp, server: &mut Tcp, message: Message) {
    passes(client, server, message.clone()).await;
    passes(server, client, message).await;
}

/// Where the length of a frame takes another form, and beyond.
const LENGTHS: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20];

#[tokio::test]
async fn binary_messages_of_every_length_pass() {
    let (_proxy, mut client, mut server) = opened().await;
    for length in LENGTHS {
        let message = Message::binary(long_body(1, length));
        echoes(&mut client, &mut server, message).await;
    }
}

#[tokio::test]
async fn texts_of_every_length_pass() {
    let (_proxy, mut client, mut server) = opened().await;
    for length in LENGTHS {
        // Of two bytes each, but for the first if their number is odd.
        let text = "x".repeat(length % 2) + &"\u{e9}".repeat(length / 2);
        echoes(&mut client, &mut server, Message::text(text)).await;
    }
}

#[tokio::test]
async fn many_messages_pass_in_their_order() {
    let (_proxy, mut client, mut server) = opened().await;
    let sending = async {
        for i in 0..2_000 {
            client.send(Message::text(format!("message {i}"))).await;
        }
    };
    let hearing = async {
        for i in 0..2_000 {
            let came = server.next().await.expect("a message");
            assert_eq!(came, Message::text(format!("message {i}")));
        }
    };
    tokio::join!(sending, hearing);
}

#[tokio::test]
async fn a_long_frame_passes() {
    let (_proxy, mut client, mut server) = opened().await;
    let message = Message::binary(long_body(1, 16 << 20));
    echoes(&mut client, &mut server, message).await;
}

// === parts ===

/// A part of a message.
fn part(kind: Data, bytes: impl Into<Bytes>, is_last: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), is_last))
}

/// `from` sends a message in parts of a megabyte, and `to` gets it whole.
async fn passes_in_parts(from: &mut Tcp, to: &mut Tcp, body: &Bytes) {
    const PART: usize = 1 << 20;
    let sending = async {
        for at in (0..body.len()).step_by(PART) {
            let end = body.len().min(at + PART);
            let kind = if at == 0 {
                Data::Binary
            } else {
                Data::Continue
            };
            let is_last = end == body.len();
            from.send(part(kind, body.slice(at..end), is_last)).await;
        }
    };
    let ((), came) = tokio::join!(sending, to.next());
    let came = came.expect("a message").into_data();
    assert!(came == *body, "{} other bytes", came.len());
}

#[tokio::test]
async fn a_message_of_64_megabytes_passes_both_ways() {
    let (_proxy, mut client, mut server) = opened().await;
    let body = Bytes::from(long_body(1, 64 << 20));
    passes_in_parts(&mut client, &mut server, &body).await;
    passes_in_parts(&mut server, &mut client, &body).await;
}

#[tokio::test]
async fn a_message_in_parts_comes_whole() {
    let (_proxy, mut client, mut server) = opened().await;
    for _ in 0..2 {
        client.send(part(Data::Text, "all ", false)).await;
        client.send(part(Data::Continue, "", false)).await;
        client.send(part(Data::Continue, "of ", false)).await;
        client.send(part(Data::Continue, "it", true)).await;
        let came = server.next().await.expect("a message");
        assert_eq!(came, Message::text("all of it"));
        std::mem::swap(&mut client, &mut server);
    }
}

#[tokio::test]
async fn a_ping_may_come_between_parts() {
    let (_proxy, mut client, mut server) = opened().await;
    client.send(part(Data::Text, "before", false)).await;
    client.send(Message::Ping(Bytes::from_static(b"?"))).await;
    client.send(part(Data::Continue, " and after", true)).await;
    let came = server.next().await.expect("a message");
    assert_eq!(came, Message::Ping(Bytes::from_static(b"?")));
    let came = server.next().await.expect("a message");
    assert_eq!(came, Message::text("before and after"));
}

// === pings ===

/// `from` asks whether `to` is there, and is told so.
async fn is_there(from: &mut Tcp, to: &mut Tcp, question: &'static [u8]) {
    let question = Bytes::from_static(question);
    passes(from, to, Message::Ping(question.clone())).await;
    to.flush().await;
    let came = from.next().await.expect("an answer");
    assert_eq!(came, Message::Pong(question));
}

#[tokio::test]
async fn pings_are_answered_from_end_to_end() {
    let (_proxy, mut client, mut server) = opened().await;
    for question in [&b""[..], b"are you there", &[b'?'; 125]] {
        is_there(&mut client, &mut server, question).await;
        is_there(&mut server, &mut client, question).await;
    }
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_passes() {
    let (_proxy, mut client, mut server) = opened().await;
    let pong = Message::Pong(Bytes::from_static(b"still here"));
    passes(&mut client, &mut server, pong.clone()).await;
    passes(&mut server, &mut client, pong).await;
}

// === the end ===

/// The codes and reasons of all these tests.
fn farewells() -> [Option<CloseFrame>; 5] {
    let farewell = |code: u16, reason: &str| CloseFrame {
        code: CloseCode::from(code),
        reason: reason.into(),
    };
    [
        None,
        Some(farewell(1000, "")),
        Some(farewell(1001, "going away")),
        Some(farewell(1011, "something is wrong")),
        Some(farewell(4000, "a reason of the application's own: \u{e9}")),
    ]
}

/// The end hears that the connection is over as it should be.
async fn is_over(end: &mut Tcp) {
    let ended = end.next().await;
    assert!(matches!(ended, Err(Error::ConnectionClosed)), "{ended:?}");
}

#[tokio::test]
async fn a_client_says_why_it_closes() {
    for farewell in farewells() {
        let (_proxy, mut client, mut server) = opened().await;
        let close = Message::Close(farewell);
        passes(&mut client, &mut server, close.clone()).await;
        // The server answers with the same, and closes.
        is_over(&mut server).await;
        drop(server);
        assert_eq!(client.next().await.expect("an answer"), close);
        is_over(&mut client).await;
    }
}

#[tokio::test]
async fn a_server_says_why_it_closes() {
    for farewell in farewells() {
        let (_proxy, mut client, mut server) = opened().await;
        let close = Message::Close(farewell);
        passes(&mut server, &mut client, close.clone()).await;
        let serving = async {
            assert_eq!(server.next().await.expect("an answer"), close);
            is_over(&mut server).await;
            drop(server);
        };
        // The client answers while it waits for the server to close.
        tokio::join!(is_over(&mut client), serving);
    }
}

#[tokio::test]
async fn messages_before_the_close_are_not_lost() {
    let (_proxy, mut client, mut server) = opened().await;
    client.send(Message::text("last words")).await;
    client.send(Message::Close(None)).await;
    let came = server.next().await.expect("a message");
    assert_eq!(came, Message::text("last words"));
    let came = server.next().await.expect("a message");
    assert_eq!(came, Message::Close(None));
}
