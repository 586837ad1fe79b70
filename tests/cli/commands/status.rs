//! `lbd status`, in words, in JSON, of one pool, and again and again.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use serde_json::{Value, json};

use super::Site;
use crate::harness::until;
use crate::support::Client;

/// A second pool.
const OTHER: &str = "[pools.other]\nservers = [\"127.0.0.1:1\"]";

/// `lbd drain` or `down`, for both servers.
fn order_both(site: &Site, verb: &str) {
    for server in [&site.a, &site.b] {
        site.does(&[verb, "app", server]);
    }
}

// === the heading ===

#[test]
fn the_heading_says_which_lbd_it_is_and_how_busy() {
    let site = Site::start();
    let mut client = Client::connect(site.lbd.addr);
    for _ in 0..3 {
        client.get("/");
    }
    let (version, id) = (env!("CARGO_PKG_VERSION"), site.lbd.process.id());
    let start = format!("lbd {version} (process {id}) serves ");
    let busy = "3 requests, 1 connections (1 idle, 0 tunnels)";
    until(&format!("it says {busy:?}"), || {
        let said = site.does(&["status"]);
        let mut lines = said.lines();
        let first = lines.next().unwrap_or_default();
        assert!(first.starts_with(&start), "{said}");
        assert!(first.contains("lb.toml, up "), "{said}");
        (lines.next() == Some(busy)).then_some(())
    });
}

#[test]
fn the_heading_says_that_the_last_reload_failed_until_one_succeeds() {
    let site = Site::start();
    site.edit("pool = \"app\"", "pool = \"shop\"");
    assert_eq!(site.run(&["reload"]).code, Some(78));
    let said = site.does(&["status"]);
    let wrong = said.lines().find(|line| line.starts_with("! "));
    let wrong = wrong.unwrap_or_else(|| panic!("{said}"));
    assert!(wrong.starts_with("! the last reload, at "), "{wrong}");
    site.reload("pool = \"shop\"", "pool = \"app\"");
    let said = site.does(&["status"]);
    assert!(!said.lines().any(|line| line.starts_with("! ")), "{said}");
}

#[test]
fn a_server_that_was_added_says_by_whom() {
    let site = Site::start();
    site.does(&["upstream", "add", "app", "127.0.0.1:1"]);
    let said = site.does(&["status"]);
    let line = said.lines().find(|line| line.contains(" 127.0.0.1:1 "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(" added by "), "{line}");
}

// === JSON ===

/// What the control socket says to `GET TARGET`.
fn api(site: &Site, target: &str) -> Value {
    let socket = site.lbd.dir.file("control.sock");
    let mut stream = UnixStream::connect(socket).expect("lbd accepts");
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("lbd reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("lbd answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn json_is_what_the_api_says() {
    let site = Site::with("", OTHER);
    site.does(&["drain", "app", &site.a]);
    let (mut said, mut told) = (site.status(), api(&site, "/api/v1/status"));
    // It has grown meanwhile, maybe.
    for status in [&mut said, &mut told] {
        assert!(status["uptime_seconds"].is_u64(), "{status}");
        status["uptime_seconds"] = Value::Null;
    }
    assert_eq!(said, told);
}

#[test]
fn json_of_a_pool_is_that_pool() {
    let site = Site::with("", OTHER);
    let said = site.does(&["status", "other", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said, json!([api(&site, "/api/v1/pools/other")]));
}

// === one pool ===

#[test]
fn a_pool_that_is_named_is_shown_alone() {
    let site = Site::with("", OTHER);
    let said = site.does(&["status", "other"]);
    assert!(said.starts_with("pool other ("), "{said}");
    assert!(said.contains("\n  127.0.0.1:1 "), "{said}");
    assert!(!said.contains("pool app"), "{said}");
    assert!(!said.contains(&site.a), "{said}");
}

#[test]
fn a_pool_that_is_not_there_is_refused_with_the_names_of_those_there_are() {
    let site = Site::with("", OTHER);
    for args in [&["status", "shop"][..], &["status", "shop", "--json"]] {
        let said = site.refuses(args);
        assert_eq!(said, "lbd: there is no pool shop; there are app, other\n");
    }
}

// === --fail ===

/// Ways to ask.
const WAYS: [&[&str]; 3] = [&[], &["--json"], &["app"]];

#[test]
fn fail_ends_with_1_while_a_pool_has_no_live_server() {
    let site = Site::start();
    let fails = |args: &[&str]| {
        let ended = site.run(&[&["status", "--fail"], args].concat());
        assert!(ended.out.contains(&site.a), "it is shown: {ended:?}");
        ended.code
    };
    for args in WAYS {
        assert_eq!(fails(args), Some(0), "{args:?}");
    }
    site.does(&["down", "app", &site.a]);
    assert_eq!(fails(&[]), Some(0), "one is enough");
    site.does(&["down", "app", &site.b]);
    for args in WAYS {
        assert_eq!(fails(args), Some(1), "{args:?}");
    }
    order_both(&site, "up");
    assert_eq!(fails(&[]), Some(0));
}

#[test]
fn fail_of_a_pool_is_about_that_pool() {
    let site = Site::with("", OTHER);
    order_both(&site, "down");
    assert_eq!(site.run(&["status", "other", "--fail"]).code, Some(0));
    assert_eq!(site.run(&["status", "app", "--fail"]).code, Some(1));
}

#[test]
fn without_fail_servers_that_are_out_are_no_error() {
    let site = Site::start();
    order_both(&site, "down");
    let said = site.does(&["status"]);
    assert!(
        said.contains("pool app (round_robin): NO LIVE SERVER\n"),
        "{said}"
    );
}

// === --watch ===

#[test]
fn watch_says_it_again_as_it_then_is() {
    let site = Site::start();
    let watching = site.watch(&["status", "--watch", "1"]);
    watching.out.wait_for("pool app (round_robin): 2 of 2 live");
    site.does(&["down", "app", &site.a]);
    watching.out.wait_for("pool app (round_robin): 1 of 2 live");
    let said = watching.out.text();
    assert!(said.matches("\n  server ").count() >= 2, "{said}");
    assert!(!said.contains('\u{1b}'), "for a terminal only: {said:?}");
}

#[test]
fn watch_ends_when_lbd_does() {
    let mut site = Site::start();
    let mut watching = site.watch(&["status", "--watch", "1"]);
    watching.out.wait_for("pool app");
    site.lbd.stop();
    let ended = watching.finish();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.starts_with("lbd: "), "{ended:?}");
}
