//! What is too long for the port.

use super::{super::request, Admin, DOWN, SHOWN, is_untouched};

#[test]
fn a_body_of_more_than_64_kb_is_413() {
    let admin = Admin::start();
    let line = format!("PATCH {}", admin.target());
    let padded = |length: usize| DOWN.to_owned() + &" ".repeat(length - DOWN.len());
    for length in [(64 << 10) + 1, 10 << 20] {
        let answer = admin.tell(&line, &padded(length));
        assert_eq!(answer.status, 413, "{length}: {answer:?}");
    }
    is_untouched(&admin);
    let answer = admin.tell(&line, &padded(64 << 10));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn nor_may_it_come_in_chunks() {
    let admin = Admin::start();
    let target = admin.target();
    let length: usize = 10 << 20;
    let fields = format!("Host: localhost\r\n{SHOWN}Connection: close\r\n");
    let head = format!("PATCH {target} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
    let body = DOWN.to_owned() + &" ".repeat(length - DOWN.len());
    let answer = admin.send(&format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n"));
    assert_eq!(answer.status, 413, "{answer:?}");
    answer.is_guarded();
    is_untouched(&admin);
}

#[test]
fn a_head_of_more_than_16_kb_is_431() {
    let admin = Admin::start();
    let field = |length| format!("X-Long: {}\r\n", "x".repeat(length));
    let answer = admin.ask("GET /healthz", &field(12 << 10), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    // Answered before anything of it is understood.
    let answer = admin.send(&request("GET /healthz", &field(20 << 10), ""));
    assert_eq!(answer.status, 431, "{answer:?}");
}
