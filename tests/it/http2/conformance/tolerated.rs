//! What looks odd and is right, or is to be ignored: the request beside it is answered.

use crate::support::frame::{
    code, data, encode, flag, get, kind, post, reset, setting, settings, window_update,
};
use crate::support::hpack;

use super::{Case, Site, answers};

/// After each case, the connection answers a request.
async fn are_ignored(cases: &[Case<'_>]) {
    let site = Site::start().await;
    for (name, bytes) in cases {
        let mut client = site.client().await;
        client.send(bytes).await;
        client.send(get(1, "/")).await;
        let answer = client.answer(1).await;
        assert_eq!(answer, (200, b"x".to_vec()), "{name}");
    }
}

#[tokio::test]
async fn unknown_types_flags_and_settings_are_ignored() {
    are_ignored(&[
        ("a type", encode(0x77, 0xff, 0, b"whatever")),
        ("a type on an idle stream", encode(0x77, 0, 7, b"")),
        (
            "a setting",
            settings(&[(0x7777, 7), (0, 0), (0xff, u32::MAX)]),
        ),
        ("flags of PING", encode(kind::PING, 0xfe, 0, &[0; 8])),
        ("flags of SETTINGS", encode(kind::SETTINGS, 0xfe, 0, &[])),
        (
            "a reserved bit",
            encode(kind::WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1]),
        ),
        (
            "a reserved bit of a stream",
            encode(kind::PING, 0, 0x8000_0000, &[0; 8]),
        ),
        ("a PING that nobody sent", encode(kind::PING, 1, 0, &[7; 8])),
        ("priorities", encode(kind::PRIORITY, 0, 9, &[0, 0, 0, 3, 7])),
    ])
    .await;
}

#[tokio::test]
async fn late_frames_that_cross_the_end_of_a_stream_are_ignored() {
    let site = Site::start().await;
    for (name, bytes) in [
        ("RST_STREAM", reset(1, code::CANCEL)),
        ("WINDOW_UPDATE", window_update(1, 1)),
        ("PRIORITY", encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
    ] {
        let mut client = site.client().await;
        client.send(get(1, "/")).await;
        assert_eq!(client.answer(1).await.0, 200, "{name}");
        client.send(&bytes).await;
        answers(&mut client).await;
    }
}

#[tokio::test]
async fn a_ping_comes_back_as_it_was() {
    let site = Site::start().await;
    let mut client = site.client().await;
    client.send(encode(kind::PING, 0, 0, b"payload!")).await;
    let pong = client.next_of(kind::PING).await;
    assert_eq!((pong.flags, pong.stream), (flag::ACK, 0));
    assert_eq!(pong.payload, b"payload!");
}

#[tokio::test]
async fn a_head_in_many_pieces_is_one() {
    let site = Site::start().await;
    let block = hpack::request("GET", "/in/pieces", &[]);
    let last = block.len() - 1;
    let mut said = encode(kind::HEADERS, flag::END_STREAM, 1, &[]);
    for piece in block[..last].chunks(30) {
        said.extend(encode(kind::CONTINUATION, 0, 1, piece));
    }
    let end = encode(kind::CONTINUATION, flag::END_HEADERS, 1, &block[last..]);
    let mut client = site.client().await;
    client.send([said, end].concat()).await;
    assert_eq!(client.answer(1).await.0, 200);
    assert_eq!(site.good.last().target(), "/in/pieces");
}

#[tokio::test]
async fn padding_is_no_part_of_a_message() {
    let site = Site::start().await;
    let head = hpack::request("POST", "/", &[]);
    let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
    let head = [&[3_u8, 0, 0, 0, 0, 15][..], &head, &[0; 3]].concat();
    let body = [&[5_u8][..], b"hello", &[0; 5]].concat();
    let all = [&[200_u8][..], &[0; 200]].concat();
    let said = [
        encode(kind::HEADERS, flags, 1, &head),
        data(1, flag::PADDED, &body),
        data(1, flag::PADDED, &[0]),
        data(1, flag::PADDED | flag::END_STREAM, &all),
    ];
    let mut client = site.client().await;
    client.send(said.concat()).await;
    assert_eq!(client.answer(1).await.0, 200);
    assert_eq!(site.good.last().body.data, b"hello");
}

#[tokio::test]
async fn numbers_that_are_passed_over_are_no_error() {
    let site = Site::start().await;
    let mut client = site.client().await;
    for stream in [1, 7, 101, 999] {
        client.send(get(stream, "/")).await;
        assert_eq!(client.answer(stream).await.0, 200, "{stream}");
    }
    answers(&mut client).await;
}

#[tokio::test]
async fn an_empty_end_ends_a_body() {
    let site = Site::start().await;
    let mut client = site.client().await;
    let said = [
        post(1, "/", &[]),
        data(1, 0, b"hello"),
        data(1, 0, b""),
        data(1, flag::END_STREAM, b""),
    ];
    client.send(said.concat()).await;
    assert_eq!(client.answer(1).await.0, 200);
    assert_eq!(site.good.last().body.data, b"hello");
}

#[tokio::test]
async fn a_goaway_of_the_client_lets_its_requests_be_answered() {
    let site = Site::start().await;
    let mut client = site.client().await;
    let goaway = encode(kind::GOAWAY, 0, 0, &[0; 8]);
    client.send([get(1, "/"), goaway].concat()).await;
    assert_eq!(client.answer(1).await, (200, b"x".to_vec()));
    client.ends().await;
}

#[tokio::test]
async fn a_small_window_is_kept_to() {
    let site = Site::start().await;
    let mut client = site.client().await;
    let nothing = settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    client.send([nothing, get(1, "/")].concat()).await;
    let head = client.next_of(kind::HEADERS).await;
    assert_eq!(hpack::status(&head.payload), 200);
    client.send(encode(kind::PING, 0, 0, b"any body")).await;
    loop {
        let frame = client.next().await.expect("an answer to the PING");
        assert_ne!(frame.kind, kind::DATA, "there is no room for it");
        if frame.kind == kind::PING {
            break;
        }
    }
    client.send(window_update(1, 10)).await;
    assert_eq!(client.next_of(kind::DATA).await.payload, b"x");
}
