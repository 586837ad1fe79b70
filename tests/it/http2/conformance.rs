//! Every error of RFC 9113 that a client can make, and what is none though it may look like one.
//!
//! A stream error may be answered as a connection error (section 5.4.2), never the other way round; the codes are the
//! RFC's. Whatever was wrong, lbd serves others as before.

mod blocks;
mod connection;
mod fields;
mod sizes;
mod streams;
mod tolerated;

use crate::support::backend::Backend;
use crate::support::behaviour::{never_answers, ok};
use crate::support::frame::{PREFACE, code, get, kind, setting, settings};
use crate::support::frames::{Frames, Verdict};
use crate::support::proxy::Proxy;
use crate::support::raw::Raw;

/// The only code of most errors.
const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
/// A frame of a wrong size (section 4.2).
const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];
/// A frame for a stream that takes no more (section 5.1). The h2 crate has the more general code for some of them.
const CLOSED: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];
/// A window beyond 2^31 - 1 (section 6.9.1).
const WINDOW: &[u32] = &[code::FLOW_CONTROL_ERROR];
/// A field block that cannot be decoded (section 4.3). The h2 crate has the more general code for it.
const COMPRESSION: &[u32] = &[code::COMPRESSION_ERROR, code::PROTOCOL_ERROR];

/// A name, and the bytes of one or more frames.
type Case<'c> = (&'c str, Vec<u8>);

/// lbd before two servers: one answers `x`, the one of `/hang/` takes requests and never answers.
struct Site {
    good: Backend,
    hanging: Backend,
    proxy: Proxy,
}

impl Site {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With further keys for the listener.
    async fn with(listener: &str) -> Self {
        let (good, hanging) = (
            Backend::start(ok("x")).await,
            Backend::start(never_answers()).await,
        );
        let rest = format!(
            "[[routes]]\npath = \"/\"\npool = \"good\"\n[[routes]]\npath = \"/hang/\"\npool = \"hanging\"\n\
             [pools.good]\nservers = [{}]\n[pools.hanging]\nservers = [{}]\n",
            good.server(),
            hanging.server()
        );
        let proxy = Proxy::start_with(&format!("h2c = true\n{listener}"), &rest).await;
        Self {
            good,
            hanging,
            proxy,
        }
    }

    async fn client(&self) -> Frames {
        Frames::connect(self.proxy.addr()).await
    }

    /// A client that has said `bytes`, and what lbd says of `stream` then.
    async fn verdict(&self, bytes: &[u8], stream: u32) -> (Frames, Verdict) {
        let mut client = self.client().await;
        client.send(bytes).await;
        let verdict = client.verdict(stream).await;
        (client, verdict)
    }

    async fn still_serves(&self) {
        answers(&mut self.client().await).await;
    }
}

/// A stream that no case uses.
const LAST: u32 = 1001;

/// The connection of `client` is as good as ever.
async fn answers(client: &mut Frames) {
    client.send(get(LAST, "/")).await;
    assert_eq!(client.answer(LAST).await, (200, b"x".to_vec()));
}

/// Each case ends its connection with GOAWAY and one of `codes`.
async fn end_the_connection(codes: &[u32], cases: &[Case<'_>]) {
    let site = Site::start().await;
    for (name, bytes) in cases {
        let (mut client, verdict) = site.verdict(bytes, 0).await;
        let is_right = matches!(verdict, Verdict::GoAway(code) if codes.contains(&code));
        assert!(is_right, "{name}: {verdict:?} instead of {codes:?}");
        client.ends().await;
    }
    site.still_serves().await;
}

/// Each case ends stream 1, or its connection, with one of `codes`. A connection that stays is as good as ever.
async fn end_the_stream(codes: &[u32], cases: &[Case<'_>]) {
    let site = Site::start().await;
    for (name, bytes) in cases {
        let (mut client, verdict) = site.verdict(bytes, 1).await;
        ended(name, &mut client, verdict, codes).await;
    }
    site.still_serves().await;
}

/// `verdict` is a refusal with one of `codes`.
async fn ended(name: &str, client: &mut Frames, verdict: Verdict, codes: &[u32]) {
    match verdict {
        Verdict::Reset(code) if codes.contains(&code) => answers(client).await,
        Verdict::GoAway(code) if codes.contains(&code) => client.ends().await,
        _ => panic!("{name}: {verdict:?} instead of {codes:?}"),
    }
}

#[tokio::test]
async fn a_bad_preface_is_no_connection() {
    let site = Site::start().await;
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\n\r\n\r",
        "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Raw::connect(site.proxy.addr()).await;
        client
            .send([preface.as_bytes(), &settings(&[]), &get(1, "/")].concat())
            .await;
        // A GOAWAY may be left out here, and an error in HTTP/1.1 is as good: nobody knows what this client speaks.
        let rest = client.rest().await;
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains(" 200 "), "{preface:?}: {text:?}");
    }
    assert_eq!(site.good.heads().len(), 0);
    site.still_serves().await;
}

#[tokio::test]
async fn a_first_frame_that_is_not_settings_is_a_bad_preface() {
    let site = Site::start().await;
    let mut client = Frames::silent(site.proxy.addr()).await;
    client.send([PREFACE, &get(1, "/")].concat()).await;
    let verdict = client.verdict(1).await;
    let expected = [Verdict::GoAway(code::PROTOCOL_ERROR), Verdict::Closed];
    assert!(expected.contains(&verdict), "{verdict:?}");
    site.still_serves().await;
}

#[tokio::test]
async fn lbd_says_its_preface_and_acknowledges_settings() {
    let site = Site::with("max_streams = 7").await;
    let mut client = site.client().await;
    let streams = client.setting(setting::MAX_CONCURRENT_STREAMS);
    assert_eq!(streams, Some(7));
    let ack = loop {
        let frame = client.next_of(kind::SETTINGS).await;
        if frame.flags != 0 {
            break frame;
        }
    };
    assert_eq!((ack.flags, ack.stream, ack.payload.len()), (1, 0, 0));
}
