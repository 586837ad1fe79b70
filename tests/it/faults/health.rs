//! Faults of `health`.

use super::{PLAIN, says_of, says_of_pool};

/// Just this is said of `health` with these keys.
fn says_of_health(keys: &str, beginnings: &[&str]) {
    says_of_pool(&format!("health = {{ {keys} }}"), beginnings);
}

/// The same of a check over HTTP; what follows begins at column 28.
fn says_of_http(keys: &str, beginnings: &[&str]) {
    says_of_health(&format!("check = \"http\", {keys}"), beginnings);
}

#[test]
fn nothing_is_said_of_what_is_right() {
    for keys in [
        "check = \"http\"",
        "check = \"http\", path = \"/status?full=1\", method = \"HEAD\", host = \"app:8080\", headers = { X-Check = \"1\" }",
        "check = \"http\", status = [\"200-299\", \"401\"], body = \"^ok\", json = { \"/state\" = \"running\", \"\" = 1 }",
        "check = \"http\", status = \"204\", json_not = { \"/nodes/0/up\" = false }",
        "check = \"http\", interval = \"5s\", timeout = \"2s\", rise = 2, fall = 3, fast = \"1s\", port = 8081, on_down = \"close\"",
        "check = \"tcp\"",
        "check = \"tcp\", send = \"PING\\r\\n\", expect = '\\+PONG'",
        "check = \"mqtt\", username = \"u\", password = \"p\", client_id = \"lbd\"",
    ] {
        says_of_health(keys, &[]);
    }
}

#[test]
fn what_is_checked_is_said() {
    let fault = "8:10: error: `health` does not say what is checked";
    for keys in ["", "interval = \"5s\"", "path = \"/status\", send = \"x\""] {
        says_of_health(keys, &[fault]);
    }
    says_of_health(
        "check = \"icmp\", path = \"/\"",
        &["8:20: error: `check` has an unknown value \"icmp\""],
    );
    says_of_pool("health = true", &["8:10: error: `health` is true or false"]);
}

#[test]
fn keys_of_one_check_are_not_for_another() {
    says_of_health(
        "check = \"tcp\", path = \"/\", json = { \"/a\" = 1 }",
        &[
            "8:34: error: `path` is for check = \"http\"",
            "8:46: error: `json` is for check = \"http\"",
        ],
    );
    says_of_http(
        "send = \"x\", service = \"s\", username = \"u\"",
        &[
            "8:35: error: `send` is for check = \"tcp\"",
            "8:50: error: `service` is for check = \"grpc\"",
            "8:66: error: `username` is for check = \"mqtt\"",
        ],
    );
    says_of_http("pth = \"/\"", &["8:28: error: unknown key `pth` in health"]);
}

#[test]
fn a_check_speaks_what_the_servers_speak() {
    let grpc = "health = { check = \"grpc\", service = \"my.Service\" }";
    let fault = "6:8: error: check = \"grpc\" is for pools that speak HTTP/2";
    says_of_pool(grpc, &[fault]);
    says_of_pool(&format!("tls = {{}}\n{grpc}"), &[fault]);
    for protocol in ["h2c", "h2"] {
        let keys = format!("protocol = \"{protocol}\"\n{grpc}");
        says_of_pool(&keys, &[]);
    }
    let tls = "health = { check = \"tls\" }";
    let fault = "6:8: error: check = \"tls\" is for pools with `tls`";
    says_of_pool(tls, &[fault]);
    says_of_pool(&format!("tls = {{}}\n{tls}"), &[]);
    says_of_pool(&format!("protocol = \"h2\"\n{tls}"), &[]);
}

#[test]
fn numbers_are_within_bounds() {
    says_of_http(
        "rise = 0, fall = 0, port = 0, interval = \"0s\", on_down = \"x\"",
        &[
            "8:35: error: `rise` is out of range",
            "8:45: error: `fall` is out of range",
            "8:55: error: `port` is out of range",
            "8:69: error: `interval` is zero",
            "8:85: error: `on_down` has an unknown value \"x\"",
        ],
    );
}

#[test]
fn a_check_that_may_hang_for_long_is_told() {
    says_of_http(
        "interval = \"5s\", timeout = \"60s\"",
        &["6:8: warning: the checks of pool `app` may take far longer"],
    );
}

// === http ===

#[test]
fn a_status_is_from_100_to_599() {
    says_of_http(
        "status = [\"200-99\", \"600\", \"x\", \"200-\", \"299-200\"]",
        &[
            "8:38: error: `status` has no status: \"200-99\"",
            "8:48: error: `status` has no status: \"600\"",
            "8:55: error: `status` has no status: \"x\"",
            "8:60: error: `status` has no status: \"200-\"",
            "8:68: error: `status` has no status: \"299-200\"",
        ],
    );
    says_of_http(
        "status = \"99\"",
        &["8:37: error: `status` has no status: \"99\""],
    );
}

#[test]
fn some_status_is_good() {
    says_of_http("status = []", &["8:37: error: `status` "]);
}

#[test]
fn an_expression_is_regular() {
    says_of_http(
        "body = \"(\"",
        &["8:35: error: `body` is no regular expression: error: unclosed group"],
    );
    says_of_health(
        "check = \"tcp\", expect = \"[a\"",
        &["8:36: error: `expect` is no regular expression: error: unclosed"],
    );
}

#[test]
fn a_place_in_json_begins_with_a_slash() {
    says_of_http(
        "json = { state = \"x\" }, json_not = { \"a/b\" = 1 }",
        &[
            "8:37: error: `state` is no place in JSON",
            "8:65: error: `a/b` is no place in JSON",
        ],
    );
}

#[test]
fn what_stands_in_json_is_plain() {
    says_of_http(
        "json = { \"/a\" = [1] }",
        &["8:44: error: `/a` is an array"],
    );
}

#[test]
fn a_request_is_one_that_can_be_sent() {
    for (key, fault) in [
        (
            "path = \"status\"",
            "8:35: error: `path` is not a path: \"status\"",
        ),
        (
            "path = \"/a b\"",
            "8:35: error: `path` is not a path: \"/a b\"",
        ),
        (
            "method = \"get\"",
            "8:37: error: `method` is no method: \"get\"",
        ),
        (
            "method = \"A B\"",
            "8:37: error: `method` is no method: \"A B\"",
        ),
        (
            "headers = { \"a b\" = \"1\" }",
            "8:48: error: `a b` is no header field",
        ),
        (
            "headers = { a = \"1\\r\\nb: 2\" }",
            "8:44: error: `a` is no header field",
        ),
        ("host = \"a b\"", "8:35: error: `host` "),
        ("host = \"a\\r\\nb: 2\"", "8:35: error: `host` "),
    ] {
        says_of_http(key, &[fault]);
    }
}

#[test]
fn a_single_server_may_be_checked() {
    says_of("\"10.0.0.1:80\"", "health = { check = \"tcp\" }", &[]);
    says_of(PLAIN, "health = { check = \"tcp\" }", &[]);
}
