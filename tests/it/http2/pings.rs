//! PINGs in proportion to work that is done are a client's habit, and no flood.

use crate::support::frame::{code, encode, flag, get, kind};
use crate::support::frames::{Frames, Verdict};
use crate::support::proxy::{Proxy, says};

use super::H2C;

fn ping() -> Vec<u8> {
    encode(kind::PING, 0, 0, &[0; 8])
}

#[tokio::test]
async fn a_ping_behind_each_of_many_requests_is_no_flood() {
    const AT_ONCE: u32 = 100;
    let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    for turn in 0..30 {
        let numbers = turn * AT_ONCE..(turn + 1) * AT_ONCE;
        let said = numbers.flat_map(|i| [get(2 * i + 1, "/"), ping()].concat());
        client.send(said.collect::<Vec<u8>>()).await;
        let (mut answers, mut pongs) = (0, 0);
        while (answers, pongs) != (AT_ONCE, AT_ONCE) {
            let frame = client.next().await.expect("all is answered");
            match frame.kind {
                kind::DATA if frame.has(flag::END_STREAM) => answers += 1,
                kind::PING => pongs += 1,
                kind::GOAWAY => panic!("turn {turn}: {frame:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn pings_alone_are_a_flood_though_they_are_not_many() {
    let proxy = Proxy::start_with(H2C, &says("path = \"/\"", "x")).await;
    let mut client = Frames::connect(proxy.addr()).await;
    client.flood(50, |_| ping().repeat(100));
    let verdict = client.verdict(0).await;
    assert_eq!(verdict, Verdict::GoAway(code::ENHANCE_YOUR_CALM));
    client.ends().await;
}
