//! Shutdown: nobody who is silent holds it up, and nobody who is answered loses a byte by it.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::support::backend::Backend;
use crate::support::behaviour::once_with;
use crate::support::frame::{PREFACE, flag, get, kind, setting, settings, window_update};
use crate::support::frames::Frames;
use crate::support::proxy::{Proxy, says};

use super::bodies::long_body;
use super::{H2C, before};

#[tokio::test]
async fn a_client_that_is_silent_holds_up_no_shutdown() {
    let first = [PREFACE, &settings(&[])].concat();
    for said in [
        &PREFACE[..0],
        &PREFACE[..1],
        &PREFACE[..18],
        PREFACE,
        &first[..],
    ] {
        let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
        let mut silent = proxy.raw().await;
        silent.send(said).await;
        silent.accepted().await;
        // Answered after it was read.
        assert_eq!(proxy.get("/").await.status, 200);
        let start = Instant::now();
        proxy.shutdown(None).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(3), "{said:?}: {took:?}");
        silent.rest().await;
    }
}

/// Bytes of an answer, of which the kernels of both sides hold many.
const LENGTH: usize = 6_000_000;
/// What the client lets lbd send at once.
const ROOM: u32 = 16 << 20;

/// The body on stream 1, taken a frame at a time by a client that makes room for as much after each.
async fn slowly(client: &mut Frames) -> Vec<u8> {
    let (mut body, mut pace) = (Vec::new(), interval(Duration::from_millis(2)));
    loop {
        let frame = client.next().await.expect("a whole answer");
        if frame.kind != kind::DATA {
            continue;
        }
        body.extend(&frame.payload);
        if frame.has(flag::END_STREAM) {
            return body;
        }
        pace.tick().await;
        let size = u32::try_from(frame.payload.len()).expect("a frame is short");
        let room = [window_update(0, size), window_update(1, size)];
        client.send(room.concat()).await;
    }
}

#[tokio::test]
async fn the_tail_of_a_big_answer_is_not_lost_to_a_client_that_still_talks() {
    let backend = Backend::start(once_with(long_body(LENGTH))).await;
    let proxy = before(&backend).await;
    let mut client = Frames::connect(proxy.addr()).await;
    let roomy = settings(&[(setting::INITIAL_WINDOW_SIZE, ROOM)]);
    let ask = [roomy, window_update(0, ROOM), get(1, "/")];
    client.send(ask.concat()).await;
    client.next_of(kind::HEADERS).await;
    let reading = async {
        let body = slowly(&mut client).await;
        client.ends().await;
        body
    };
    let ((), body) = tokio::join!(proxy.shutdown(None), reading);
    assert!(body == long_body(LENGTH), "{} bytes came", body.len());
}
