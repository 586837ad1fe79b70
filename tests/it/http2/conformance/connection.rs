//! Errors of the whole connection: frames where they do not belong, and settings that cannot be.

use crate::support::frame::{
    code, data, encode, flag, get, kind, post, reset, setting, settings, window_update,
};
use crate::support::hpack;

use super::{PROTOCOL, WINDOW, end_the_connection};

/// The greatest window, and the greatest increment.
const MOST: u32 = 0x7fff_ffff;

/// The payload of a PUSH_PROMISE of stream 2.
fn push(block: &[u8]) -> Vec<u8> {
    [&[0_u8, 0, 0, 2][..], block].concat()
}

#[tokio::test]
async fn frames_of_a_stream_on_stream_zero() {
    let block = hpack::block(&hpack::GET);
    end_the_connection(
        PROTOCOL,
        &[
            ("DATA", data(0, 0, b"x")),
            (
                "HEADERS",
                encode(
                    kind::HEADERS,
                    flag::END_HEADERS | flag::END_STREAM,
                    0,
                    &block,
                ),
            ),
            ("PRIORITY", encode(kind::PRIORITY, 0, 0, &[0, 0, 0, 1, 7])),
            ("RST_STREAM", reset(0, code::CANCEL)),
            (
                "PUSH_PROMISE",
                encode(kind::PUSH_PROMISE, flag::END_HEADERS, 0, &push(&block)),
            ),
            (
                "CONTINUATION",
                encode(kind::CONTINUATION, flag::END_HEADERS, 0, &block),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn frames_of_the_connection_on_a_stream() {
    let open = post(1, "/hang/", &[]);
    let on = |frame: Vec<u8>| [&open[..], &frame].concat();
    end_the_connection(
        PROTOCOL,
        &[
            ("SETTINGS", on(encode(kind::SETTINGS, 0, 1, &[]))),
            (
                "an acknowledgement",
                on(encode(kind::SETTINGS, flag::ACK, 1, &[])),
            ),
            ("PING", on(encode(kind::PING, 0, 1, &[0; 8]))),
            ("GOAWAY", on(encode(kind::GOAWAY, 0, 1, &[0; 8]))),
            (
                "SETTINGS on an idle stream",
                encode(kind::SETTINGS, 0, 3, &[]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn frames_on_an_idle_stream() {
    end_the_connection(
        PROTOCOL,
        &[
            ("RST_STREAM", reset(1, code::CANCEL)),
            ("WINDOW_UPDATE", window_update(1, 1)),
            (
                "RST_STREAM above one that is open",
                [post(1, "/hang/", &[]), reset(3, code::CANCEL)].concat(),
            ),
        ],
    )
    .await;
    // DATA is wrong there in two ways, and has two codes.
    end_the_connection(
        &[code::PROTOCOL_ERROR, code::STREAM_CLOSED],
        &[("DATA", data(1, 0, b"x"))],
    )
    .await;
}

#[tokio::test]
async fn streams_that_a_client_cannot_open() {
    end_the_connection(
        PROTOCOL,
        &[
            ("an even number", get(2, "/")),
            (
                "a push to the server",
                [
                    post(1, "/hang/", &[]),
                    encode(
                        kind::PUSH_PROMISE,
                        flag::END_HEADERS,
                        1,
                        &push(&hpack::block(&hpack::GET)),
                    ),
                ]
                .concat(),
            ),
        ],
    )
    .await;
    end_the_connection(
        // A number that was passed over is unexpected, and its stream is closed.
        &[code::PROTOCOL_ERROR, code::STREAM_CLOSED],
        &[
            (
                "a number below one that was used",
                [get(5, "/hang/"), get(3, "/hang/")].concat(),
            ),
            (
                "the number before",
                [get(3, "/hang/"), post(1, "/hang/", &[])].concat(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_that_cannot_be() {
    let of = |name, value| settings(&[(name, value)]);
    end_the_connection(
        PROTOCOL,
        &[
            ("ENABLE_PUSH 2", of(setting::ENABLE_PUSH, 2)),
            ("a frame too small", of(setting::MAX_FRAME_SIZE, 16_383)),
            ("a frame too large", of(setting::MAX_FRAME_SIZE, 1 << 24)),
            ("frames of nothing", of(setting::MAX_FRAME_SIZE, 0)),
            (
                "behind one that can be",
                settings(&[(setting::MAX_FRAME_SIZE, 16_384), (setting::ENABLE_PUSH, 7)]),
            ),
        ],
    )
    .await;
    end_the_connection(
        WINDOW,
        &[
            (
                "a window too large",
                of(setting::INITIAL_WINDOW_SIZE, MOST + 1),
            ),
            (
                "a window of all",
                of(setting::INITIAL_WINDOW_SIZE, u32::MAX),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_setting_that_lifts_a_window_too_high() {
    let open = post(1, "/hang/", &[]);
    let lifted = window_update(1, MOST - 65_535);
    let higher = settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]);
    let bytes = [open, lifted, higher].concat();
    end_the_connection(WINDOW, &[("the initial window", bytes)]).await;
}

#[tokio::test]
async fn window_updates_of_the_connection() {
    end_the_connection(PROTOCOL, &[("of nothing", window_update(0, 0))]).await;
    end_the_connection(
        WINDOW,
        &[
            ("at once", window_update(0, MOST)),
            (
                "in two steps",
                [window_update(0, MOST - 65_535), window_update(0, 1)].concat(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn more_padding_than_payload() {
    let block = hpack::block(&hpack::GET);
    let padded = flag::PADDED | flag::END_HEADERS | flag::END_STREAM;
    let open = post(1, "/hang/", &[]);
    let on = |payload: &[u8]| [&open[..], &data(1, flag::PADDED, payload)].concat();
    end_the_connection(
        PROTOCOL,
        &[
            (
                "HEADERS",
                encode(kind::HEADERS, padded, 1, &[&[255][..], &block].concat()),
            ),
            ("DATA", on(&[10, b'x'])),
            ("all of DATA and one more", on(&[2, b'x'])),
        ],
    )
    .await;
}
