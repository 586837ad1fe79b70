//! The same over the control socket, as curl or a script has it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use serde_json::Value;

use super::Site;

/// Status and body of the answer to this request with this body.
fn ask(site: &Site, request: &str, body: &str) -> (u16, String) {
    let socket = site.lbd.dir.file("control.sock");
    let mut stream = UnixStream::connect(socket).expect("lbd accepts");
    let length = body.len();
    let fields = format!("Host: a\r\nConnection: close\r\nContent-Length: {length}");
    let text = format!("{request} HTTP/1.1\r\n{fields}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).expect("lbd reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("lbd answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Asks for a change of a.
fn change(site: &Site, body: &str) -> (u16, String) {
    let target = format!("/api/v1/pools/app/servers/{}", site.a.addr());
    ask(site, &format!("PATCH {target}"), body)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_status_is_json() {
    let site = Site::start();
    let (status, body) = ask(&site, "GET /api/v1/status", "");
    assert_eq!(status, 200, "{body}");
    let pool = &json(&body)["pools"][0];
    assert_eq!(pool["name"], "app");
    assert_eq!(pool["balance"], "round_robin");
    assert_eq!(pool["waiting"], 0);
    let server = &pool["servers"][0];
    assert_eq!(server["server"], site.a.addr().to_string());
    assert_eq!(server["state"], "up");
    assert_eq!(server["order"], Value::Null);
}

#[test]
fn a_change_is_answered_with_what_the_server_is_now() {
    let site = Site::start();
    for state in ["drain", "down"] {
        let (status, body) = change(&site, &format!("{{ \"state\": \"{state}\" }}"));
        assert_eq!(status, 200, "{body}");
        let server = &json(&body)["servers"][0];
        assert_eq!(server["state"], state);
        assert_eq!(server["order"]["state"], state);
        assert_eq!(site.names(), "b");
    }
    let (status, body) = change(&site, r#"{ "state": "up" }"#);
    assert_eq!(
        (status, &json(&body)["servers"][0]["order"]),
        (200, &Value::Null)
    );
    assert_eq!(site.names(), "ab");
}

#[test]
fn who_says_so_may_be_named() {
    let site = Site::start();
    let (_, body) = change(&site, r#"{ "state": "down", "by": "deploy-7" }"#);
    let by = json(&body)["servers"][0]["order"]["by"].clone();
    let by = by.as_str().expect("a name");
    assert!(by.starts_with("deploy-7 ("), "{by}");
    // What a terminal might not show as it is is no name.
    let (status, body) = change(&site, r#"{ "state": "down", "by": "\u001b[2J" }"#);
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains("[2J"), "{body}");
}

#[test]
fn a_deadline_is_in_seconds() {
    let site = Site::start();
    let (status, body) = change(&site, r#"{ "state": "drain", "deadline_seconds": 600 }"#);
    assert_eq!(status, 200, "{body}");
    let left = json(&body)["servers"][0]["order"]["deadline_seconds"].as_f64();
    assert!(
        left.is_some_and(|left| (500.0..=600.0).contains(&left)),
        "{body}"
    );
}

#[test]
fn what_makes_no_sense_is_400_and_changes_nothing() {
    let site = Site::start();
    for (body, part) in [
        (
            r#"{ "state": "sideways" }"#,
            "sideways is not up, drain or down",
        ),
        (
            r#"{ "state": "down", "deadline_seconds": 1 }"#,
            "a deadline is for drain",
        ),
        (
            r#"{ "state": "down", "force": true }"#,
            "unknown field `force`",
        ),
        ("{}", "say what to change: state, weight or max_conns"),
        ("down", "expected value"),
        ("", "EOF"),
    ] {
        let (status, said) = change(&site, body);
        assert_eq!(status, 400, "{body}: {said}");
        assert!(said.contains(part), "{body}: {said}");
    }
    assert_eq!(site.names(), "ab");
}

#[test]
fn what_is_not_there_is_404() {
    let site = Site::start();
    let down = r#"{ "state": "down" }"#;
    for (target, part) in [
        ("/api/v1/pools/shop/servers/x", "there is no pool shop"),
        ("/api/v1/pools/app/servers/x", "pool app has no server x"),
        ("/api/v1/pools/app/none", "no such request"),
    ] {
        let (status, said) = ask(&site, &format!("PATCH {target}"), down);
        assert_eq!(status, 404, "{target}: {said}");
        assert!(said.contains(part), "{target}: {said}");
    }
}

#[test]
fn other_methods_are_405() {
    let site = Site::start();
    let server = format!("/api/v1/pools/app/servers/{}", site.a.addr());
    for request in [format!("POST {server}"), "DELETE /api/v1/status".to_owned()] {
        assert_eq!(ask(&site, &request, "").0, 405, "{request}");
    }
}
