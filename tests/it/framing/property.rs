//! Smuggling by accident: a request with random bytes thrown in, against a peer that reads strictly.
//!
//! Whatever lbd makes of such bytes, it and the peer must agree on how many requests they are. The peer answers each
//! request that it sees with a mark, lbd passes on one answer for each request that it forwarded; so the marks that the
//! client counts are the requests that the peer has seen, or the two have read the same bytes differently.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::backend::Backend;
use crate::support::behaviour::raw;
use crate::support::proxy::{Proxy, app};

const SEEDS: [&str; 4] = [
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n24\r\nGET /2 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n\r\n0\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n1;e=\"\r\n\"\r\nx\r\n0\r\nT: 1\r\n\r\n",
];

const NASTY: [&str; 19] = [
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    "\u{b}",
    ":",
    ";",
    ",",
    "\"",
    "0",
    "1",
    "+",
    "x",
    "%",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\nX: ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_time: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn lbd_and_the_peer_agree_on_the_number_of_requests(
        requests in vec((select(&SEEDS[..]), vec((any::<Index>(), select(&NASTY[..])), 1..4)), 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(agree(requests))?;
    }
}

async fn agree(requests: Vec<(&str, Vec<(Index, &str)>)>) -> Result<(), TestCaseError> {
    const MARK: &str = "X-Mark: peer\r\n";
    let backend = Backend::start(raw(format!(
        "HTTP/1.1 200 OK\r\n{MARK}Content-Length: 0\r\n\r\n"
    )))
    .await;
    let limits = "timeouts = { header = \"50ms\", body = \"50ms\", idle = \"50ms\" }";
    let proxy = Proxy::start_with(limits, &app(&[backend.server()], "")).await;

    for (seed, edits) in requests {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, nasty) in edits {
            let at = at.index(bytes.len());
            bytes.splice(at..at, nasty.bytes());
        }
        let before = backend.requests();
        let mut client = proxy.raw().await;
        // lbd may refuse and close while we speak.
        let _ = client.try_send(&bytes).await;
        let answers = String::from_utf8_lossy(&client.rest().await).into_owned();
        let marks = answers.matches(MARK).count();
        prop_assert_eq!(
            backend.requests() - before,
            marks,
            "{:?} got {:?}",
            String::from_utf8_lossy(&bytes),
            answers
        );
        let violations = backend
            .heads()
            .iter()
            .filter(|head| head.framing().is_err())
            .count();
        prop_assert_eq!(violations, 0, "{:?}", String::from_utf8_lossy(&bytes));
    }
    proxy.stop().await;
    Ok(())
}
