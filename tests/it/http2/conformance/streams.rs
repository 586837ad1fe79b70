//! Errors of one stream: frames in an order that its state does not allow.

use crate::support::frame::{
    code, data, encode, flag, get, kind, post, reset, setting, window_update,
};
use crate::support::frames::Verdict;
use crate::support::hpack;

use super::{CLOSED, PROTOCOL, Site, WINDOW, end_the_connection, end_the_stream, ended};

#[tokio::test]
async fn frames_after_the_end_of_a_request() {
    let whole = get(1, "/hang/");
    let block = hpack::block(&[("x-late", "1")]);
    let more = |flags| [&whole[..], &encode(kind::HEADERS, flags, 1, &block)].concat();
    end_the_stream(
        CLOSED,
        &[
            ("DATA", [&whole[..], &data(1, 0, b"late")].concat()),
            (
                "another end",
                [&whole[..], &data(1, flag::END_STREAM, b"")].concat(),
            ),
            ("trailers", more(flag::END_HEADERS | flag::END_STREAM)),
            ("a second head", more(flag::END_HEADERS)),
            (
                "DATA after trailers",
                [
                    post(1, "/hang/", &[]),
                    data(1, 0, b"x"),
                    encode(
                        kind::HEADERS,
                        flag::END_HEADERS | flag::END_STREAM,
                        1,
                        &hpack::block(&[("x-sum", "1")]),
                    ),
                    data(1, 0, b"late"),
                ]
                .concat(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn frames_on_a_stream_that_was_answered() {
    let site = Site::start().await;
    let late = encode(
        kind::HEADERS,
        flag::END_HEADERS | flag::END_STREAM,
        1,
        &hpack::block(&hpack::GET),
    );
    for (name, bytes, codes) in [
        ("DATA", data(1, 0, b"late"), CLOSED),
        // It is closed, and its number is lower than the next.
        (
            "HEADERS",
            late,
            &[code::STREAM_CLOSED, code::PROTOCOL_ERROR][..],
        ),
    ] {
        let mut client = site.client().await;
        client.send(get(1, "/")).await;
        assert_eq!(client.answer(1).await.0, 200);
        client.send(&bytes).await;
        let verdict = client.verdict(1).await;
        ended(name, &mut client, verdict, codes).await;
    }
    site.still_serves().await;
}

#[tokio::test]
async fn data_on_a_stream_that_the_client_has_reset() {
    let said = [
        post(1, "/hang/", &[]),
        reset(1, code::CANCEL),
        data(1, 0, b"late"),
    ];
    end_the_stream(CLOSED, &[("DATA", said.concat())]).await;
}

#[tokio::test]
async fn window_updates_of_a_stream() {
    let open = post(1, "/hang/", &[]);
    let on = |frame: Vec<u8>| [&open[..], &frame].concat();
    end_the_stream(PROTOCOL, &[("of nothing", on(window_update(1, 0)))]).await;
    let most = window_update(1, 0x7fff_ffff);
    end_the_stream(WINDOW, &[("beyond the greatest window", on(most))]).await;
}

#[tokio::test]
async fn field_blocks_without_a_beginning() {
    let block = hpack::block(&hpack::GET);
    let continued = encode(kind::CONTINUATION, flag::END_HEADERS, 1, &block);
    end_the_connection(
        PROTOCOL,
        &[
            ("on an idle stream", continued.clone()),
            (
                "after a whole head",
                [&post(1, "/hang/", &[])[..], &continued].concat(),
            ),
            (
                "after DATA",
                [&post(1, "/hang/", &[])[..], &data(1, 0, b"x"), &continued].concat(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn field_blocks_that_something_interrupts() {
    let block = hpack::block(&hpack::GET);
    let begun = encode(kind::HEADERS, flag::END_STREAM, 1, &block[..10]);
    let with = |frame: Vec<u8>| [&begun[..], &frame].concat();
    end_the_connection(
        PROTOCOL,
        &[
            ("DATA", with(data(1, 0, b"x"))),
            ("DATA of another stream", with(data(3, 0, b"x"))),
            ("HEADERS", with(get(1, "/"))),
            ("HEADERS of another stream", with(get(3, "/"))),
            (
                "PRIORITY",
                with(encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
            ),
            ("RST_STREAM", with(reset(1, code::CANCEL))),
            ("SETTINGS", with(encode(kind::SETTINGS, 0, 0, &[]))),
            ("PING", with(encode(kind::PING, 0, 0, &[0; 8]))),
            ("WINDOW_UPDATE", with(window_update(0, 1))),
            ("an unknown type", with(encode(0x77, 0, 1, b"x"))),
            (
                "CONTINUATION of another stream",
                with(encode(
                    kind::CONTINUATION,
                    flag::END_HEADERS,
                    3,
                    &block[10..],
                )),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_request_that_depends_on_itself_is_refused_or_answered() {
    // RFC 7540 calls it an error, RFC 9113 knows no dependencies any more.
    let site = Site::start().await;
    let flags = flag::PRIORITY | flag::END_HEADERS | flag::END_STREAM;
    let block = hpack::block(&hpack::GET);
    let payload = [&[0_u8, 0, 0, 1, 7][..], &block].concat();
    let said = encode(kind::HEADERS, flags, 1, &payload);
    let (mut client, verdict) = site.verdict(&said, 1).await;
    match verdict {
        Verdict::Answer(status) => assert_eq!(status, 200),
        verdict => ended("HEADERS", &mut client, verdict, PROTOCOL).await,
    }
}

#[tokio::test]
async fn more_streams_than_lbd_allows_are_refused() {
    let site = Site::with("max_streams = 2").await;
    let mut client = site.client().await;
    assert_eq!(client.setting(setting::MAX_CONCURRENT_STREAMS), Some(2));
    let three = [get(1, "/hang/"), get(3, "/hang/"), get(5, "/")];
    client.send(three.concat()).await;
    let verdict = client.verdict(5).await;
    let codes = &[code::REFUSED_STREAM, code::PROTOCOL_ERROR];
    assert!(
        matches!(verdict, Verdict::Reset(code) if codes.contains(&code)),
        "{verdict:?}"
    );
    // One that ends makes room for another.
    client.send(reset(1, code::CANCEL)).await;
    super::answers(&mut client).await;
    assert_eq!(site.good.requests(), 1);
}
