//! `lbd upstream`: servers that come, go and weigh more while lbd runs, beside the file.

mod kept;

use serde_json::json;

use super::Site;
use crate::harness::Lbd;
use crate::support::{Client, Slow, lbd, named};

impl Site {
    /// `lbd upstream VERB app SERVER ARGS`, which is done; gives what is said.
    fn upstream(&self, verb: &str, server: &str, args: &[&str]) -> String {
        self.does(&[&["upstream", verb, "app", server], args].concat())
    }

    /// How many of a hundred requests, one after the other, a server of this name answers.
    fn share(&self, name: &str) -> usize {
        let mut client = Client::connect(self.lbd.addr);
        let names = (0..100).map(|_| client.get("/").body);
        names.filter(|said| said == name).count()
    }
}

/// A third server.
fn third() -> String {
    named("c").to_string()
}

// === add ===

#[test]
fn a_server_that_is_added_gets_its_share() {
    let (site, c) = (Site::start(), third());
    assert_eq!(site.upstream("add", &c, &[]), format!("{c}: added; up\n"));
    assert_eq!(site.names(), "abc");
    let server = site.server(&c).expect("it is there");
    assert!(server["added_by"].is_string(), "{server}");
    let a = site.server(&site.a).expect("it is there");
    assert!(a["added_by"].is_null(), "{a}");
}

#[test]
fn what_it_may_get_can_be_said() {
    let (site, c) = (Site::start(), third());
    let args = ["--weight", "5", "--max-conns", "7", "--backup"];
    site.upstream("add", &c, &args);
    let server = site.server(&c).expect("it is there");
    for (key, value) in [
        ("weight", json!(5)),
        ("max_conns", json!(7)),
        ("backup", json!(true)),
    ] {
        assert_eq!(server[key], value, "{key}: {server}");
    }
    assert_eq!(
        site.names(),
        "ab",
        "a backup waits until nobody else is there"
    );
    for other in [&site.a, &site.b] {
        site.does(&["down", "app", other]);
    }
    assert_eq!(site.names(), "c");
}

#[test]
fn it_may_be_there_for_nobody_at_first() {
    for state in ["drain", "down"] {
        let (site, c) = (Site::start(), third());
        let said = site.upstream("add", &c, &["--state", state]);
        assert_eq!(said, format!("{c}: added; {state}\n"));
        assert_eq!(site.names(), "ab", "{state}");
        site.does(&["up", "app", &c]);
        assert_eq!(site.names(), "abc", "{state}");
    }
}

#[test]
fn a_server_may_be_added_by_its_name() {
    let site = Site::start();
    let port = named("c").port();
    let said = site.upstream("add", &format!("localhost:{port}"), &[]);
    let told = format!("localhost:{port}[127.0.0.1]: added; up\n");
    assert!(said.contains(&told), "{said}");
    assert_eq!(site.names(), "abc");
}

// === remove ===

#[test]
fn a_server_that_is_removed_gets_nothing() {
    let site = Site::start();
    let said = site.upstream("remove", &site.a, &[]);
    assert_eq!(said, format!("{}: removed\n", site.a));
    assert_eq!(site.names(), "b");
    assert_eq!(site.server(&site.a), None);
}

#[test]
fn a_server_that_was_added_can_be_removed_and_one_that_was_removed_added() {
    let (site, c) = (Site::start(), third());
    for _ in 0..2 {
        site.upstream("add", &c, &[]);
        site.upstream("remove", &site.a, &[]);
        assert_eq!(site.names(), "bc");
        site.upstream("add", &site.a, &[]);
        site.upstream("remove", &c, &[]);
        assert_eq!(site.names(), "ab");
    }
    let a = site.server(&site.a).expect("it is there");
    assert!(a["added_by"].is_null(), "the file names it: {a}");
}

#[test]
fn what_is_under_way_at_a_server_that_is_removed_ends_as_it_would_have() {
    let mut slow = Slow::new();
    let text = slow.file("");
    let server = text.split("servers = [\"").nth(1).unwrap_or_default();
    let server = server.split('"').next().unwrap_or_default();
    let running = Lbd::start(&text, &[]);
    running.process.err.wait_for("control socket ");
    let mut client = Client::connect(running.addr);
    slow.hold(&mut client);
    let args = ["upstream", "remove", "slow", server, "--force"];
    let ended = lbd(&running.dir, &[&args[..], &["-c", "lb.toml"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(Client::connect(running.addr).get("/slow").status, 502);
    slow.finish(&mut client);
}

#[test]
fn the_last_server_is_removed_by_force_alone() {
    let site = Site::start();
    site.upstream("remove", &site.a, &[]);
    let said = site.refuses(&["upstream", "remove", "app", &site.b]);
    let why = format!("{} is the last server of pool app", site.b);
    assert!(said.contains(&why), "{said}");
    assert_eq!(site.names(), "b");
    site.upstream("remove", &site.b, &["--force"]);
    assert_eq!(Client::connect(site.lbd.addr).get("/").status, 502);
    let said = site.does(&["status", "app"]);
    assert!(said.contains("NO LIVE SERVER"), "{said}");
    site.upstream("add", &site.b, &[]);
    assert_eq!(site.names(), "b");
}

// === set ===

#[test]
fn a_weight_changes_the_shares() {
    let site = Site::start();
    assert_eq!(site.share("a"), 50);
    let said = site.upstream("set", &site.a, &["--weight", "3"]);
    assert_eq!(said, format!("{}: weight 3, max_conns 0\n", site.a));
    assert!((74..=76).contains(&site.share("a")));
    site.upstream("set", &site.a, &["--weight", "1"]);
    assert!((49..=51).contains(&site.share("a")));
}

#[test]
fn what_is_set_stays_beside_what_was_set_before() {
    let site = Site::start();
    site.upstream("set", &site.a, &["--weight", "3"]);
    let said = site.upstream("set", &site.a, &["--max-conns", "8"]);
    assert_eq!(said, format!("{}: weight 3, max_conns 8\n", site.a));
    let said = site.upstream("set", &site.a, &["--weight", "2", "--max-conns", "0"]);
    assert_eq!(said, format!("{}: weight 2, max_conns 0\n", site.a));
}

#[test]
fn what_was_added_can_be_set_too() {
    let (site, c) = (Site::start(), third());
    site.upstream("add", &c, &["--max-conns", "9"]);
    let said = site.upstream("set", &c, &["--weight", "8"]);
    assert_eq!(said, format!("{c}: weight 8, max_conns 9\n"));
    assert!((79..=81).contains(&site.share("c")));
}

// === refusals ===

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let site = Site::start();
    let a = site.a.as_str();
    let there = format!("pool app has server {a} already");
    let gone = "pool app has no server 10.0.0.1:80";
    let no_pool = "there is no pool shop; there are app";
    for (args, why) in [
        (&["add", "app", a][..], there.as_str()),
        (&["add", "app", "nonsense"], "\"nonsense\" is no server"),
        (&["add", "app", "10.0.0.1:99999"], "is no server"),
        (&["add", "app", "http://10.0.0.1:80"], "is no server"),
        (&["add", "shop", "10.0.0.1:80"], no_pool),
        (&["remove", "app", "10.0.0.1:80"], gone),
        (&["remove", "shop", a], no_pool),
        (&["set", "app", "10.0.0.1:80", "--weight", "2"], gone),
        (&["set", "shop", a, "--weight", "2"], no_pool),
    ] {
        let said = site.refuses(&[&["upstream"], args].concat());
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(site.names(), "ab");
    assert_eq!(site.share("a"), 50);
}

#[test]
fn a_server_that_was_added_is_there_already_too() {
    let (site, c) = (Site::start(), third());
    site.upstream("add", &c, &[]);
    let said = site.refuses(&["upstream", "add", "app", &c]);
    assert_eq!(said, format!("lbd: pool app has server {c} already\n"));
}

// === what cannot be meant ===

#[test]
fn an_address_that_a_name_of_the_pool_stands_for_is_there_already() {
    let site = Site::start();
    let port = third().rsplit(':').next().expect("a port").to_owned();
    site.upstream("add", &format!("localhost:{port}"), &[]);
    let refused = lbd(
        &site.lbd.dir,
        &["upstream", "add", "app", &third_at(&port), "-c", "lb.toml"],
    );
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("already"), "{refused:?}");
}

fn third_at(port: &str) -> String {
    format!("127.0.0.1:{port}")
}

#[test]
fn a_server_of_the_file_that_is_added_again_is_what_the_file_says() {
    let site = Site::start();
    let server = site.a.clone();
    site.upstream("remove", &server, &[]);
    let args = [
        "upstream", "add", "app", &server, "--state", "down", "-c", "lb.toml",
    ];
    let refused = lbd(&site.lbd.dir, &args);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the file names"), "{refused:?}");
    site.upstream("add", &server, &[]);
    assert_eq!(site.names(), "ab");
    let added = site.server(&server).expect("it is there");
    assert!(added["added_by"].is_null(), "{added}");
}
