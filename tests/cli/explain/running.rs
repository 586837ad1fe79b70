//! By the running lbd: what it knows of its servers, and that nothing is changed by asking.

use super::{
    Explained, question,
    server::{Server, ask},
    site::{NAMES, Site, explained, running, said, text},
};
use crate::harness::Dir;
use crate::support::lbd;

/// Where nobody listens.
const DEAD: &str = "127.0.0.1:1";

// === the state of servers ===

#[test]
fn a_server_that_drains_has_no_turn_and_it_is_said_who_said_so() {
    let site = Site::start(2, "");
    for (verb, state) in [("drain", "drain"), ("down", "down")] {
        site.order(verb, "a");
        let explained = site.explain(&[]);
        let a = explained.server(&site.addr("a"));
        assert!(a.starts_with("- "), "{a}");
        assert!(a.contains(&format!(": {state}: by ")), "{a}");
        assert!(a.contains(" at 2"), "{a}");
        assert_eq!(explained.first(), site.addr("b"));
    }
    site.order("up", "a");
    let explained = site.explain(&[]);
    let a = explained.server(&site.addr("a"));
    assert!(a.contains(": round_robin"), "{a}");
}

#[test]
fn a_server_that_failed_is_out_with_its_reason() {
    let b = Server::start("b");
    let servers = [DEAD.to_owned(), b.addr()];
    let running = running("", "", &servers, "fail_timeout = \"60s\"");
    assert_eq!(explained(&running, &[]).first(), DEAD, "nobody knows yet");
    for _ in 0..2 {
        assert_eq!(ask(running.addr, "/app/", &["Host: a"]).name, "b");
    }
    let explained = explained(&running, &[]);
    let dead = explained.server(DEAD);
    assert!(dead.starts_with("- "), "{dead}");
    assert!(dead.contains(": out: connection refused"), "{dead}");
    assert_eq!(explained.first(), b.addr());
}

#[test]
fn a_server_that_lately_lacked_the_app_has_no_turn() {
    let (a, b) = (Server::lacking("a"), Server::start("b"));
    let keys = "retry = { on = [\"http_404\"], memory = \"60s\" }";
    let running = running("", "", &[a.addr(), b.addr()], keys);
    assert_eq!(ask(running.addr, "/app/", &["Host: a"]).name, "b");
    let explained = explained(&running, &[]);
    let lacking = explained.server(&a.addr());
    assert!(lacking.starts_with("- "), "{lacking}");
    assert_eq!(explained.first(), b.addr());
}

#[test]
fn without_a_server_the_answer_is_502() {
    let site = Site::start(1, "");
    site.order("down", "a");
    let explained = site.explain(&[]);
    let answer = explained.fact("answer");
    assert!(answer.starts_with("502: "), "{answer}");
    assert!(site.ask(&[]).head.starts_with("HTTP/1.1 502 "));
}

#[test]
fn by_the_file_nothing_is_known_of_that() {
    let site = Site::start(2, "");
    site.order("down", "a");
    let question = question("http://127.0.0.1:0/app/", &[]);
    let said = said(&site.lbd, &[&["--by-file"], &question[..]].concat());
    let explained = Explained::of(said);
    let a = explained.server(&site.addr("a"));
    assert!(a.starts_with("1. "), "{a}");
}

// === as it really is ===

#[test]
fn the_server_gets_what_is_said_that_it_gets() {
    let listener = "via = \"edge\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let route = "replace_prefix = \"/new/\"\nrequest_headers = { set = { X-Uri = \"$uri\", X-Host = \"$host\" }, remove = [\"X-Gone\"] }";
    let site = Site::with(1, listener, route, "host = \"server\"");
    for fields in [
        &[][..],
        &["Cookie: s=1; t=2", "X-Gone: 1", "X-Uri: mine", "x-lower: Y"],
        &["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https"],
        &[
            "X-Forwarded-For: 203.0.113.7, 127.0.0.1",
            "Forwarded: for=x",
        ],
        &["TE: trailers", "Expect: 100-continue", "Via: 1.0 other"],
        &["Upgrade: websocket", "Proxy: x", "a_b: c", "X-Empty:"],
    ] {
        let asked = site.ask(fields);
        let explained = site.explain(fields);
        // Each request has an id of its own, and the port is 0 in the file alone.
        let of_its_own = ["X-Request-Id: ", "X-Forwarded-Port: "];
        let is_common = |line: &&str| !of_its_own.iter().any(|name| line.starts_with(name));
        let (told, seen) = (explained.head(), asked.seen.iter().map(String::as_str));
        let common: Vec<_> = told.iter().copied().filter(is_common).collect();
        assert_eq!(common, seen.clone().filter(is_common).collect::<Vec<_>>());
        assert_eq!(told.len(), seen.count(), "{told:?}");
    }
}

#[test]
fn whoever_answers_a_client_is_the_first() {
    let trusts = "trusted_proxies = [\"127.0.0.1\"]";
    let site = Site::with(3, trusts, "", "balance = \"ip_hash\"");
    let mut found = Vec::new();
    for network in 0..8 {
        let client = format!("203.0.{network}.7");
        let field = format!("X-Forwarded-For: {client}");
        let answering = site.answering(&[&field]);
        let by_proxy = site.explain(&[&field]);
        assert_eq!(by_proxy.first(), answering, "{client}");
        let told = format!("{client}, as the trusted proxy 127.0.0.1 says");
        assert_eq!(by_proxy.fact("client"), told);
        let args = question("http://127.0.0.1:0/app/", &[]);
        let itself = said(&site.lbd, &[&["--client", &client], &args[..]].concat());
        assert_eq!(Explained::of(itself).first(), answering, "{client}");
        found.push(answering);
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 3, "each has some of them");
}

#[test]
fn a_client_that_is_bound_goes_where_it_belongs() {
    let site = Site::start(3, "sticky = { cookie = \"lb\" }");
    for name in NAMES {
        let asked = site.ask(&[]);
        assert_eq!(asked.name, name);
        let cookie = asked
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Set-Cookie: "));
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        let field = format!("Cookie: {}", cookie.expect("a new client is bound"));
        let explained = site.explain(&[&field]);
        assert_eq!(explained.first(), site.addr(name));
        let bound = explained.server(&site.addr(name));
        assert!(bound.contains(": the client is bound to it"), "{bound}");
        assert_eq!(explained.all("server").len(), 3);
    }
}

// === nothing is changed by asking ===

#[test]
fn asking_takes_no_turn() {
    for balance in ["round_robin", "least_conn"] {
        let site = Site::start(3, &format!("balance = \"{balance}\""));
        for name in NAMES.repeat(2) {
            for _ in 0..4 {
                assert_eq!(site.explain(&[]).first(), site.addr(name), "{balance}");
            }
            assert_eq!(site.ask(&[]).name, name, "{balance}");
        }
    }
}

#[test]
fn asking_is_no_request() {
    let site = Site::start(1, "");
    for _ in 0..10 {
        site.explain(&[]);
    }
    site.ask(&["X-Real: 1"]);
    let mut lbd = site.lbd;
    assert_eq!(lbd.stop().code, Some(0));
    let log = std::fs::read_to_string(lbd.dir.file("access.log"));
    assert_eq!(log.expect("the log").lines().count(), 1);
}

// === whom it asks ===

#[test]
fn what_is_served_counts_and_not_what_the_file_says_by_now() {
    let site = Site::start(1, "");
    for text in ["nonsense", "[[listeners]]\nbind = \"127.0.0.1:0\"\n"] {
        let socket = site.lbd.dir.file("control.sock");
        let control = format!("control = {socket:?}\n{text}");
        site.lbd.dir.write("lb.toml", &control);
        assert_eq!(site.explain(&[]).first(), site.addr("a"));
    }
}

#[test]
fn it_follows_a_reload() {
    let site = Site::start(2, "");
    let only_b = text("", "", &[site.addr("b")], "");
    site.lbd.dir.write("lb.toml", &only_b);
    let reloaded = lbd(&site.lbd.dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    let explained = site.explain(&[]);
    assert!(explained.server(&site.addr("b")).starts_with("1. "));
    assert_eq!(explained.all("server").len(), 1);
}

#[test]
fn it_finds_the_socket_by_its_option_too() {
    let site = Site::start(1, "");
    let socket = site.lbd.dir.file("control.sock").display().to_string();
    let elsewhere = Dir::new();
    let args = ["explain", "--control", &socket, "GET"];
    let said = lbd(&elsewhere, &[&args[..], &["http://a:0/app/"]].concat());
    assert_eq!(Explained::of(said).first(), site.addr("a"));
}

#[test]
fn a_question_that_makes_no_sense_ends_with_1() {
    let site = Site::start(1, "");
    for url in ["http://a:8100/app/", "/app/"] {
        let said = said(&site.lbd, &["GET", url]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{url}");
        assert!(said.err.starts_with("lbd: "), "{}", said.err);
    }
}
