//! nginx dies as a machine does, and comes back, and nobody notices.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crate::harness::{until, wait::SetOnDrop};
use crate::support::{Nginx, Port, are_here, curl, front, url};

/// Requests of one curl.
const REQUESTS: usize = 40;
const CURLS: usize = 3;
const DEATHS: usize = 4;

#[test]
fn killed_and_started_again_under_a_stream_of_requests_none_fails() {
    if !are_here(&["nginx", "curl"]) {
        return;
    }
    let (steady, mut mortal) = (Nginx::apps(&["steady"]), Nginx::apps(&["mortal"]));
    let servers = [&steady, &mortal].map(|nginx| format!("\"{}\"", nginx.addr()));
    // It is let in again soon, so that it dies with requests in flight each time.
    let mut lbd = front(&servers, "max_fails = 1\nfail_timeout = \"1s\"");
    let url = url(&lbd, "/");
    let (done, of_mortal) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        for _ in 0..CURLS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let fetched = curl(&[url.as_str(); REQUESTS]);
                    assert_eq!(fetched.exit, 0, "{}", fetched.head);
                    assert_eq!(fetched.values, ["200"; REQUESTS], "{}", fetched.text());
                    let answers = fetched.text().matches("mortal").count();
                    of_mortal.fetch_add(answers, Ordering::Relaxed);
                }
            });
        }
        for deaths in 1..=DEATHS {
            // Some that come to be counted now may be from before its last death.
            let enough = of_mortal.load(Ordering::Relaxed) + 2 * CURLS * REQUESTS;
            until("it serves", || {
                (of_mortal.load(Ordering::Relaxed) > enough).then_some(())
            });
            mortal.kill();
            until("its death is noticed", || {
                let noticed = lbd.process.err.text().matches("is out until").count();
                (noticed >= deaths).then_some(())
            });
            mortal.start_again();
        }
    });
    assert_eq!(lbd.stop().code, Some(0));
    let log = fs::read_to_string(lbd.dir.file("access.log")).expect("the log is there");
    let retried = format!("servers=\"{}, {}\"", mortal.addr(), steady.addr());
    let count = log.matches(&retried).count();
    assert!(count >= DEATHS, "only {count} requests met a dead server");
}

#[test]
fn idle_connections_that_nginx_closes_are_not_noticed() {
    if !are_here(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start(
        vec![Port::new()],
        "server { listen @PORT0@ reuseport; keepalive_timeout 1ms; keepalive_requests 3; return 200 ok; }",
    );
    let lbd = front(&[format!("\"{}\"", nginx.addr())], "");
    let url = url(&lbd, "/");
    for _ in 0..10 {
        let fetched = curl(&[url.as_str(); REQUESTS]);
        assert_eq!(fetched.values, ["200"; REQUESTS], "{}", fetched.text());
    }
}
