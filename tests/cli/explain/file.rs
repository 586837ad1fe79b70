//! By the file alone: nothing is known of the servers, and all that the file says.

use super::{Explained, explain, question};
use crate::harness::{Dir, process::Finished};

/// One of everything that can be said of a request.
const FILE: &str = r#"control = "@DIR@/control.sock"
[[listeners]]
name = "public"
bind = "127.0.0.1:8100"
via = "edge"

[[routes]]
path = "/app_a/"
pool = "app"
replace_prefix = "/new/"
request_headers = { set = { X-Client = "$remote_addr" }, remove = ["X-Gone"] }
timeouts = { read = "5s" }

[[routes]]
path = "/b"
hosts = ["b.example"]
pool = "b"

[[routes]]
path = "/old/"
redirect = { to = "https://$host/new$request_uri", status = 301 }

[[routes]]
path = "/hello"
respond = { status = 418, body = "hello" }

[pools.app]
servers = [
    "127.0.0.1:8101",
    { address = "127.0.0.1:8102", weight = 2 },
    { address = "127.0.0.1:8103", down = true },
    { address = "127.0.0.1:8104", drain = true },
    { address = "127.0.0.1:8105", backup = true },
]
retry = { on = ["error", "http_503"], tries = 2, budget = "20%" }

[pools.b]
servers = ["127.0.0.1:8106"]
host = "server"
"#;

/// What is said of this URL and these fields.
fn explained(url: &str, fields: &[&str]) -> Explained {
    Explained::of(said(&question(url, fields)))
}

/// What is said to these arguments.
fn said(args: &[&str]) -> Finished {
    let dir = Dir::new();
    dir.write("lb.toml", FILE);
    explain(&dir, args)
}

/// How a line ends that is about the line of the file with `part`, which is there once.
fn place(part: &str) -> String {
    let lines = FILE.lines().enumerate();
    let lines: Vec<_> = lines.filter(|(_, line)| line.contains(part)).collect();
    let [(index, _)] = lines[..] else {
        panic!("{part} in {lines:?}");
    };
    format!("   (lb.toml:{})", index + 1)
}

#[test]
fn without_a_running_lbd_it_says_that_this_is_by_the_file() {
    let explained = explained("http://a:8100/app_a/", &[]);
    let first = explained.out.lines().next();
    assert_eq!(first, Some("GET http://a:8100/app_a/"));
    let alone = "lbd: no running lbd answers; this is by the file alone\n";
    assert_eq!(explained.err, alone);
}

#[test]
fn what_is_asked_by_the_file_is_not_asked_of_anybody() {
    let said = said(&["--by-file", "GET", "http://a:8100/app_a/"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

// === facts and their places ===

#[test]
fn each_fact_has_the_line_that_it_comes_from() {
    let explained = explained("http://a:8100/app_a/x", &[]);
    for (what, fact, part) in [
        ("listener", "public", "bind = "),
        ("route", "/app_a/", "path = \"/app_a/\""),
        ("pool", "app, round_robin", "[pools.app]"),
        ("rewrite", "/app_a/ becomes /new/", "replace_prefix"),
        (
            "headers",
            "the route edits what the server gets (below)",
            "request_headers",
        ),
        (
            "timeouts",
            "connect 60s, send 60s, read 5s, tunnel 3600s",
            "timeouts = ",
        ),
    ] {
        assert_eq!(explained.fact(what), format!("{fact}{}", place(part)));
    }
    assert_eq!(explained.fact("client"), "127.0.0.1");
    let retry = explained.fact("retry");
    let beginning = "on error, http_503; 2 tries, POST, PATCH and LOCK only while nothing was sent";
    assert!(retry.starts_with(beginning), "{retry}");
    assert!(retry.contains("20% of the pool's requests"), "{retry}");
    assert!(retry.ends_with(&place("retry = ")), "{retry}");
}

#[test]
fn what_the_file_does_not_say_is_a_default() {
    let explained = explained("http://b.example:8100/b", &[]);
    for what in ["retry", "timeouts"] {
        let fact = explained.fact(what);
        assert!(fact.ends_with("   (default)"), "{fact}");
    }
    for what in ["rewrite", "headers"] {
        assert!(explained.all(what).is_empty(), "{what}");
    }
}

#[test]
fn servers_stand_in_the_order_of_their_turns_and_those_without_one_last() {
    let explained = explained("http://a:8100/app_a/", &[]);
    let server = |turn: &str, port: u16, why: &str| {
        let addr = format!("127.0.0.1:{port}");
        format!("{turn} {addr}: {why}{}", place(&addr))
    };
    assert_eq!(
        explained.all("server"),
        [
            server("1.", 8102, "round_robin"),
            server("2.", 8101, "round_robin"),
            server("3.", 8105, "a backup, when nobody else is left"),
            server("-", 8103, "down: in the file"),
            server("-", 8104, "drain: in the file"),
        ]
    );
}

#[test]
fn the_server_gets_what_the_route_makes_of_it() {
    let fields = ["Cookie: s=1", "X-Gone: 1", "X-Client: me", "Connection: x"];
    let explained = explained("http://a:8100/app_a/x?y=1", &fields);
    let mut head = explained.head();
    let id = head
        .iter()
        .position(|line| line.starts_with("X-Request-Id"));
    head.remove(id.expect("an X-Request-Id"));
    assert_eq!(
        head,
        [
            "GET /new/x?y=1 HTTP/1.1",
            "Host: a:8100",
            "Cookie: s=1",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a:8100",
            "X-Forwarded-Port: 8100",
            "X-Real-IP: 127.0.0.1",
            "Via: 1.1 edge",
            "X-Client: 127.0.0.1",
        ]
    );
}

#[test]
fn a_client_may_be_anybody() {
    let args = ["--client", "192.0.2.7", "GET", "http://a:8100/app_a/"];
    let explained = Explained::of(said(&args));
    assert_eq!(explained.fact("client"), "192.0.2.7");
    for line in ["X-Forwarded-For: 192.0.2.7", "X-Client: 192.0.2.7"] {
        assert!(explained.head().contains(&line), "{line}");
    }
}

#[test]
fn a_host_may_be_a_field() {
    let explained = explained("http://127.0.0.1:8100/b", &["host: B.example"]);
    assert_eq!(
        explained.fact("route"),
        format!("/b{}", place("path = \"/b\""))
    );
    let host = explained.head()[1];
    assert_eq!(host, "Host: 127.0.0.1:8106", "the pool says so");
}

#[test]
fn the_path_is_compared_as_requests_are() {
    let explained = explained("http://a:8100/x/../app%5Fa/y", &[]);
    let told = "\n           the path is compared as /app_a/y\n";
    assert!(explained.out.contains(told), "{}", explained.out);
    assert_eq!(explained.head()[0], "GET /new/y HTTP/1.1");
}

// === answers of lbd's own ===

#[test]
fn what_lbd_answers_itself_is_told() {
    let old = place("path = \"/old/\"");
    for (path, route, answer) in [
        (
            "/old/x?y",
            Some(format!("/old/{old}")),
            "301 to https://a/new/old/x?y".to_owned(),
        ),
        (
            "/hello",
            Some(format!("/hello{}", place("path = \"/hello\""))),
            "418 I'm a teapot, by lbd itself".to_owned(),
        ),
        ("/old", None, format!("308 to /old/{old}")),
        ("/absent", None, "404: there is no route for it".to_owned()),
        ("/b", None, "404: there is no route for it".to_owned()),
        ("/%zz", None, "400: the path is invalid".to_owned()),
    ] {
        let explained = explained(&format!("http://a:8100{path}"), &[]);
        assert_eq!(explained.all("route"), Vec::from_iter(route), "{path}");
        assert_eq!(explained.fact("answer"), answer, "{path}");
        assert!(!explained.out.contains("the server gets"), "{path}");
    }
}

#[test]
fn the_way_to_the_slash_keeps_the_query() {
    let explained = explained("http://a:8100/old?x=1&y", &[]);
    let answer = explained.fact("answer");
    assert!(answer.starts_with("308 to /old/?x=1&y "), "{answer}");
}

#[test]
fn a_request_that_is_none_is_answered_400() {
    for args in [
        &["GET", "http://a:8100/hello", "-H", "no colon"][..],
        &["GET", "http://a:8100/hello", "-H", "Transfer-Encoding: x"],
        &["G ET", "http://a:8100/hello"],
    ] {
        let explained = Explained::of(said(args));
        assert!(explained.out.starts_with("answered "), "{}", explained.out);
    }
}

#[test]
fn tls_where_there_is_none_is_noticed() {
    let explained = explained("https://a:8100/hello", &[]);
    let told = "it does not speak https";
    assert!(explained.out.contains(told), "{}", explained.out);
}

// === questions that make no sense ===

#[test]
fn a_port_that_nobody_listens_on_ends_with_1_and_names_the_listeners() {
    for url in ["http://a:8101/", "http://a/", "http://127.0.0.2:8100/"] {
        let said = said(&["GET", url]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{url}");
        let named = "the file has 127.0.0.1:8100\n";
        assert!(said.err.ends_with(named), "{}", said.err);
    }
}

#[test]
fn what_is_no_url_ends_with_1() {
    for url in ["/app_a/", "a:8100/app_a/", "ftp://a:8100/", "http://", ""] {
        let said = said(&["GET", url]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{url}");
        let line = said.err.lines().last().unwrap_or_default();
        assert!(line.starts_with("lbd: "), "{url}: {}", said.err);
    }
}

#[test]
fn a_faulty_file_ends_with_78_and_is_reported() {
    let dir = Dir::new();
    let path = dir.write("lb.toml", &FILE.replace("pool = \"b\"", "pool = \"bb\""));
    let said = explain(&dir, &["GET", "http://a:8100/hello"]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""), "{said:?}");
    assert!(said.err.contains("did you mean `b`?"), "{}", said.err);
    std::fs::remove_file(path).expect("our own file");
    let said = explain(&dir, &["GET", "http://a:8100/hello"]);
    assert_ne!(said.code, Some(0), "{said:?}");
}
