//! What all of this is for: servers are restarted one after the other, and nobody notices.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::{App, Site, run};
use crate::harness::{Lbd, until, wait::SetOnDrop};
use crate::support::Client;

const CLIENTS: usize = 3;
const ROUNDS: usize = 3;

/// Asks again and again until it `is_done`, over connections that stay for a while, and is answered each time.
fn go_on(addr: SocketAddr, is_done: &AtomicBool, answers: &AtomicUsize) {
    while !is_done.load(Ordering::Relaxed) {
        let mut client = Client::connect(addr);
        for method in ["GET", "POST"].into_iter().cycle().take(20) {
            client.send(method, "/");
            let answer = client.receive().expect("a whole answer");
            assert_eq!(answer.status, 200, "{method}: {}", answer.body);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Drains `app`, restarts it, and waits until it is used again.
fn maintain(lbd: &Lbd, app: &mut App) {
    let server = app.addr().to_string();
    let drained = run(lbd, &["drain", "app", &server, "--wait"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let served = app.requests();
    app.stop();
    assert_eq!(app.requests(), served, "nobody was left");
    app.start_again();
    let up = run(lbd, &["up", "app", &server]);
    assert_eq!(up.code, Some(0), "{up:?}");
    until("it serves", || (app.requests() > served).then_some(()));
}

/// Both servers are maintained in turn, with these keys of the pool, and no request fails; gives the log.
fn nobody_notices(keys: &str) -> String {
    let mut site = Site::with("", keys);
    let (is_done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _done = SetOnDrop(&is_done);
        for _ in 0..CLIENTS {
            scope.spawn(|| go_on(site.lbd.addr, &is_done, &answers));
        }
        for _ in 0..ROUNDS {
            maintain(&site.lbd, &mut site.a);
            maintain(&site.lbd, &mut site.b);
        }
    });
    assert!(answers.load(Ordering::Relaxed) > CLIENTS * 20);
    let ended = site.lbd.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.err.contains("no live server"), "{}", ended.err);
    ended.err
}

#[test]
fn servers_are_restarted_one_after_the_other_and_nobody_notices() {
    let log = nobody_notices("");
    assert!(!log.contains("is out"), "nobody met a dead server: {log}");
}

#[test]
fn nor_where_servers_are_checked() {
    let often = "interval = \"100ms\", timeout = \"2s\"";
    nobody_notices(&format!(
        "health = {{ check = \"http\", path = \"/check\", {often} }}"
    ));
}
