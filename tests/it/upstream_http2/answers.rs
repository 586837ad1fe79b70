//! Answers that say more than an answer may: what is passed on is the answer alone.

use crate::support::frame::{data, encode, flag, kind, settings};
use crate::support::frame_peer::FramePeer;
use crate::support::hpack;
use crate::support::proxy::Proxy;

use super::pool;

/// A client that asks three times over one connection is answered `status` and nothing else by a server that does not
/// end the stream with its head; a frame of data with the flags `behind` follows, if there are any.
async fn is_all(status: u16, behind: Option<u8>) {
    let answer = move |stream| {
        let block = hpack::block(&[(":status", &status.to_string())]);
        let head = encode(kind::HEADERS, flag::END_HEADERS, stream, &block);
        let more = behind.map(|flags| data(stream, flags, b"no body"));
        [head, more.unwrap_or_default()].concat()
    };
    let peer = FramePeer::start(settings(&[]), answer).await;
    let proxy = Proxy::start(&pool(&[peer.server()], "")).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        // What came behind it would be the beginning of the next.
        let answer = client.get("/").await;
        assert_eq!(answer.status, status);
        for name in ["transfer-encoding", "content-length"] {
            assert!(!answer.fields.has(name), "{answer:?}");
        }
    }
    assert_eq!(peer.requests(), 3);
}

#[tokio::test]
async fn a_204_ends_with_its_head_whatever_follows() {
    for behind in [None, Some(0), Some(flag::END_STREAM)] {
        is_all(204, behind).await;
    }
}

#[tokio::test]
async fn a_304_ends_with_its_head_whatever_follows() {
    for behind in [None, Some(0), Some(flag::END_STREAM)] {
        is_all(304, behind).await;
    }
}
