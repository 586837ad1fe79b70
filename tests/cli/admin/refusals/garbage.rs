//! What nobody in their right mind sends: requests that are cut, doubled, bent and made up, without the token.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use super::{super::Admin, is_untouched};
use crate::harness::wait::DEADLINE;

const WHOLE: [&str; 5] = [
    "PATCH /api/v1/pools/app/servers/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 17\r\n\r\n{\"state\": \"down\"}",
    "POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \r\n\r\n",
    "DELETE /api/v1/pools/app/servers/x?force=true HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "POST /api/v1/pools/app/servers HTTP/1.0\r\nHost: [::1]\r\nContent-Length: 25\r\n\r\n{\"address\": \"10.0.0.1:1\"}",
    "GET /api/v1/events?since=99999999999999999999&limit=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
];

/// One of them with up to three changes.
fn bent(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = WHOLE[random.usize(..WHOLE.len())].as_bytes().to_vec();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(..=bytes.len());
        match random.u8(0..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.u8(..)),
            2 => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
            3 => bytes.extend(std::iter::repeat_n(b'a', random.usize(0..20_000))),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
        }
    }
    bytes
}

#[test]
fn garbage_changes_nothing_and_is_never_answered_as_if_it_were_none() {
    let admin = Admin::start();
    // The same garbage each time, so that what is found once is found again.
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..500 {
        let sent = bent(&mut random);
        let mut stream = TcpStream::connect(admin.addr).expect("lbd accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("our own");
        // It may have heard enough before it has all of it.
        let _ = stream.write_all(&sent);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let sent = String::from_utf8_lossy(&sent);
        let is_look = sent.contains("GET ");
        let is_good = answer.contains("HTTP/1.1 20") || answer.contains("HTTP/1.0 20");
        assert!(!is_good || is_look, "{round}: {sent:?} got {answer:?}");
    }
    is_untouched(&admin);
    let said = admin.lbd.process.err.text();
    assert!(!said.contains("panicked"), "{said}");
}
