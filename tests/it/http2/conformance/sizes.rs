//! Frames that are too long, or of another length than their type has.

use crate::support::frame::{data, encode, flag, get, kind, post, setting};
use crate::support::hpack;

use super::{SIZE, Site, end_the_connection, end_the_stream, ended};

#[tokio::test]
async fn lengths_that_a_type_does_not_have() {
    let open = post(1, "/hang/", &[]);
    let on = |kind, payload: &[u8]| [&open[..], &encode(kind, 0, 1, payload)].concat();
    end_the_connection(
        SIZE,
        &[
            ("PING of 7", encode(kind::PING, 0, 0, &[0; 7])),
            ("PING of 9", encode(kind::PING, 0, 0, &[0; 9])),
            ("PING of none", encode(kind::PING, 0, 0, &[])),
            ("RST_STREAM of 3", on(kind::RST_STREAM, &[0; 3])),
            ("RST_STREAM of 5", on(kind::RST_STREAM, &[0; 5])),
            ("WINDOW_UPDATE of 3", on(kind::WINDOW_UPDATE, &[1; 3])),
            ("WINDOW_UPDATE of 5", on(kind::WINDOW_UPDATE, &[1; 5])),
            (
                "WINDOW_UPDATE of the connection",
                encode(kind::WINDOW_UPDATE, 0, 0, &[1; 8]),
            ),
            ("SETTINGS of 5", encode(kind::SETTINGS, 0, 0, &[0; 5])),
            ("SETTINGS of 7", encode(kind::SETTINGS, 0, 0, &[0; 7])),
            (
                "SETTINGS that acknowledge and set",
                encode(kind::SETTINGS, flag::ACK, 0, &[0; 6]),
            ),
            ("GOAWAY of 7", encode(kind::GOAWAY, 0, 0, &[0; 7])),
        ],
    )
    .await;
}

#[tokio::test]
async fn priorities_of_another_length() {
    end_the_stream(
        SIZE,
        &[
            ("4", encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3])),
            ("6", encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 7, 7])),
        ],
    )
    .await;
}

#[tokio::test]
async fn frames_larger_than_lbd_allows() {
    let site = Site::start().await;
    let client = site.client().await;
    let most = client.setting(setting::MAX_FRAME_SIZE).unwrap_or(16_384);
    let long = vec![b'x'; most as usize + 1];
    let open = post(1, "/hang/", &[]);
    let header = hpack::request("GET", "/", &[("x-long", &"x".repeat(long.len()))]);
    let whole = flag::END_HEADERS | flag::END_STREAM;
    end_the_connection(
        SIZE,
        &[
            ("HEADERS", encode(kind::HEADERS, whole, 1, &header)),
            ("SETTINGS", encode(kind::SETTINGS, 0, 0, &long)),
            ("PING", encode(kind::PING, 0, 0, &long)),
            (
                "CONTINUATION",
                [
                    encode(kind::HEADERS, flag::END_STREAM, 1, &[]),
                    encode(kind::CONTINUATION, flag::END_HEADERS, 1, &header),
                ]
                .concat(),
            ),
        ],
    )
    .await;
    // Of DATA, and of what nobody knows, only the stream needs to end.
    for (name, bytes) in [
        ("DATA", data(1, 0, &long)),
        ("an unknown type", encode(0x77, 0, 1, &long)),
    ] {
        let said = [&open[..], &bytes].concat();
        let (mut client, verdict) = site.verdict(&said, 1).await;
        ended(name, &mut client, verdict, SIZE).await;
    }
    assert_eq!(site.hanging.requests(), 0, "no whole request came through");
}

#[tokio::test]
async fn frames_as_large_as_lbd_allows() {
    let site = Site::start().await;
    let mut client = site.client().await;
    let most = client.setting(setting::MAX_FRAME_SIZE).unwrap_or(16_384);
    let piece = vec![b'x'; most as usize];
    let body = data(1, flag::END_STREAM, &piece);
    client.send([post(1, "/", &[]), body].concat()).await;
    assert_eq!(client.answer(1).await.0, 200);
    client.send(get(3, "/")).await;
    assert_eq!(client.answer(3).await.0, 200);
    assert_eq!(site.good.seen()[0].body.data, piece);
}
