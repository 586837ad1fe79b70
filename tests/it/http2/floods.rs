//! Clients that cost more than they pay for: the connection ends, and others notice nothing.
//!
//! Each is told to enhance its calm, whether lbd's own guard or the codec below it lost patience first.

use crate::support::backend::Backend;
use crate::support::behaviour::{never_answers, ok};
use crate::support::frame::{
    code, data, encode, flag, get, kind, post, reset, settings, window_update,
};
use crate::support::frames::{Frames, Verdict};
use crate::support::hpack;
use crate::support::http2::Http2;
use crate::support::proxy::Proxy;

const CALM: &[u32] = &[code::ENHANCE_YOUR_CALM];

/// lbd before two servers: one answers, the one of `/hang/` never.
async fn start(listener: &str) -> (Proxy, [Backend; 2]) {
    let backends = [
        Backend::start(ok("x")).await,
        Backend::start(never_answers()).await,
    ];
    let rest = format!(
        "[[routes]]\npath = \"/\"\npool = \"good\"\n[[routes]]\npath = \"/hang/\"\npool = \"hanging\"\n\
         [pools.good]\nservers = [{}]\n[pools.hanging]\nservers = [{}]\n",
        backends[0].server(),
        backends[1].server()
    );
    let proxy = Proxy::start_with(&format!("h2c = true\n{listener}"), &rest).await;
    (proxy, backends)
}

/// Who says `first` and then what `said` gives, `times` times, is sent away with one of `codes`; all the while, and after
/// it, another client is answered.
async fn is_sent_away(
    codes: &[u32],
    first: &[u8],
    times: u32,
    said: impl Fn(u32) -> Vec<u8> + Send + 'static,
) {
    let (proxy, _backends) = start("").await;
    let mut other = Http2::connect(proxy.addr()).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.send(first).await;
    client.flood(times, said);
    let (verdict, ()) = tokio::join!(client.verdict(0), async {
        for _ in 0..20 {
            assert_eq!(other.get("/").await.status, 200);
        }
    });
    let is_right = matches!(verdict, Verdict::GoAway(code) if codes.contains(&code));
    assert!(is_right, "{verdict:?}");
    client.ends().await;
    if codes == CALM {
        assert_eq!(proxy.troubles(), (0, 1), "a flood is counted");
    }
    assert_eq!(other.get("/").await.status, 200);
    let mut new = Http2::connect(proxy.addr()).await;
    assert_eq!(new.get("/").await.status, 200);
}

/// A hundred of the same at a time.
fn hundreds(frame: Vec<u8>) -> impl Fn(u32) -> Vec<u8> + Send + 'static {
    move |_| frame.repeat(100)
}

/// The number of the stream that a client opens as its i-th.
fn stream(i: u32) -> u32 {
    2 * i + 1
}

// === requests that come to nothing ===

#[tokio::test]
async fn rapid_reset() {
    is_sent_away(CALM, b"", 10_000, |i| {
        [get(stream(i), "/hang/"), reset(stream(i), code::CANCEL)].concat()
    })
    .await;
}

#[tokio::test]
async fn rapid_reset_of_uploads() {
    is_sent_away(CALM, b"", 10_000, |i| {
        let begun = post(stream(i), "/hang/", &[]);
        let piece = data(stream(i), 0, b"x");
        [begun, piece, reset(stream(i), code::CANCEL)].concat()
    })
    .await;
}

#[tokio::test]
async fn made_you_reset_by_windows() {
    // Each stream is lbd's to reset (CVE-2025-8671), in a way that need not end the connection at once.
    is_sent_away(CALM, b"", 10_000, |i| {
        let open = get(stream(i), "/hang/");
        [open, window_update(stream(i), 0x7fff_ffff)].concat()
    })
    .await;
}

#[tokio::test]
async fn made_you_reset_by_updates_of_nothing() {
    let codes = &[code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR];
    is_sent_away(codes, b"", 10_000, |i| {
        let open = get(stream(i), "/hang/");
        [open, window_update(stream(i), 0)].concat()
    })
    .await;
}

#[tokio::test]
async fn made_you_reset_by_lengths() {
    is_sent_away(CALM, b"", 10_000, |i| {
        let begun = post(stream(i), "/hang/", &[("content-length", "1")]);
        [begun, data(stream(i), flag::END_STREAM, b"two")].concat()
    })
    .await;
}

#[tokio::test]
async fn requests_beyond_the_allowed_ones() {
    is_sent_away(CALM, b"", 100_000, |i| get(stream(i), "/hang/")).await;
}

// === frames that cost an answer, or only time ===

#[tokio::test]
async fn pings() {
    let ping = encode(kind::PING, 0, 0, &[0; 8]);
    is_sent_away(CALM, b"", 2_000, hundreds(ping)).await;
}

#[tokio::test]
async fn settings_frames() {
    is_sent_away(CALM, b"", 2_000, hundreds(settings(&[]))).await;
}

#[tokio::test]
async fn empty_pieces_of_a_body() {
    let open = post(1, "/hang/", &[]);
    is_sent_away(CALM, &open, 2_000, hundreds(data(1, 0, b""))).await;
}

#[tokio::test]
async fn pieces_of_nothing_but_padding() {
    let open = post(1, "/hang/", &[]);
    let padded = data(1, flag::PADDED, &[0]);
    is_sent_away(CALM, &open, 2_000, hundreds(padded)).await;
}

#[tokio::test]
async fn window_updates() {
    let open = get(1, "/hang/");
    is_sent_away(CALM, &open, 2_000, hundreds(window_update(1, 1))).await;
    is_sent_away(CALM, b"", 2_000, hundreds(window_update(0, 1))).await;
}

#[tokio::test]
async fn priorities() {
    let priority = encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 7]);
    is_sent_away(CALM, b"", 2_000, hundreds(priority)).await;
}

#[tokio::test]
async fn unknown_frames() {
    is_sent_away(CALM, b"", 2_000, hundreds(encode(0x77, 0, 0, b""))).await;
}

#[tokio::test]
async fn resets_of_a_stream_that_is_gone() {
    let gone = [get(1, "/hang/"), reset(1, code::CANCEL)].concat();
    is_sent_away(CALM, &gone, 2_000, hundreds(reset(1, code::CANCEL))).await;
}

// === heads without end ===

#[tokio::test]
async fn continuations_without_end() {
    let begun = encode(kind::HEADERS, 0, 1, &hpack::block(&hpack::GET));
    let field = hpack::block(&[("x-a", "1")]);
    let more = encode(kind::CONTINUATION, 0, 1, &field);
    is_sent_away(CALM, &begun, 2_000, hundreds(more)).await;
}

#[tokio::test]
async fn empty_continuations_without_end() {
    let begun = encode(kind::HEADERS, 0, 1, &hpack::block(&hpack::GET));
    let more = encode(kind::CONTINUATION, 0, 1, b"");
    is_sent_away(CALM, &begun, 2_000, hundreds(more)).await;
}

/// A request that goes on with `fields` is answered 431, reset, or ends its connection; others are served.
async fn is_too_much(listener: &str, fields: &[u8]) {
    let (proxy, backends) = start(listener).await;
    let mut client = Frames::connect(proxy.addr()).await;
    let block = [&hpack::block(&hpack::GET)[..], fields].concat();
    let mut pieces = block.chunks(16_000);
    let first = pieces.next().expect("a block is not empty");
    let mut said = encode(kind::HEADERS, flag::END_STREAM, 1, first);
    for piece in pieces {
        said.extend(encode(kind::CONTINUATION, 0, 1, piece));
    }
    said.extend(encode(kind::CONTINUATION, flag::END_HEADERS, 1, b""));
    client.flood(1, move |_| said.clone());
    match client.verdict(1).await {
        Verdict::Answer(431) | Verdict::Reset(_) => {}
        Verdict::GoAway(code) => assert_ne!(code, code::NO_ERROR),
        verdict => panic!("{verdict:?}"),
    }
    assert_eq!(backends[0].connections(), 0);
    let mut other = Http2::connect(proxy.addr()).await;
    assert_eq!(other.get("/").await.status, 200);
}

#[tokio::test]
async fn a_field_that_is_too_long() {
    let long = hpack::block(&[("x-long", &"x".repeat(100_000))]);
    is_too_much("", &long).await;
    is_too_much("max_header = \"4k\"", &long).await;
}

#[tokio::test]
async fn fields_that_are_too_many() {
    let many = hpack::block(&[("x-a", "1")]).repeat(20_000);
    is_too_much("", &many).await;
}

#[tokio::test]
async fn a_small_block_that_means_a_large_head() {
    // One field into the dynamic table, where it has the index 62, then that index again and again.
    let mut stored = hpack::block(&[("x-bomb", &"x".repeat(4_000))]);
    stored[0] = 0x40;
    let bomb = [stored, vec![0xbe; 50_000]].concat();
    is_too_much("", &bomb).await;
}
