//! Who is turned away at the port, with what, and that nothing comes of it.

mod garbage;
mod limits;

use serde_json::Value;

use super::{Admin, Answer, SHOWN, TOKEN, TOKEN_FILE};

const DOWN: &str = r#"{ "state": "down" }"#;

/// Everything is as it was at the start.
fn is_untouched(admin: &Admin) {
    let status = admin.status();
    assert_eq!(status["generation"], 1, "{status}");
    assert_eq!(status["last_reload"], Value::Null, "{status}");
    assert_eq!(status["ending"], false, "{status}");
    let servers = status["pools"][0]["servers"].as_array();
    assert_eq!(servers.map(Vec::len), Some(1), "{status}");
    let server = &status["pools"][0]["servers"][0];
    assert_eq!(server["state"], "up", "{status}");
    assert_eq!(server["order"], Value::Null, "{status}");
}

// === the token ===

#[test]
fn a_change_without_the_token_is_401_and_told_what_to_show() {
    let admin = Admin::start();
    let line = format!("PATCH {}", admin.target());
    for fields in ["", "Authorization: Basic Og==\r\n", "Authorization: x\r\n"] {
        let answer = admin.ask(&line, fields, DOWN);
        assert_eq!(answer.status, 401, "{fields}: {answer:?}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
    }
    is_untouched(&admin);
}

#[test]
fn a_wrong_token_is_403() {
    let admin = Admin::start();
    let line = format!("PATCH {}", admin.target());
    let (shorter, longer) = (&TOKEN[..TOKEN.len() - 1], format!("{TOKEN}x"));
    for wrong in ["guess", shorter, &longer, &TOKEN.to_uppercase()] {
        let fields = format!("Authorization: Bearer {wrong}\r\n");
        let answer = admin.ask(&line, &fields, DOWN);
        assert_eq!(answer.status, 403, "{wrong}: {answer:?}");
    }
    is_untouched(&admin);
}

#[test]
fn the_right_token_changes_what_it_is_told_to() {
    let admin = Admin::start();
    let answer = admin.tell(&format!("PATCH {}", admin.target()), DOWN);
    assert_eq!(answer.status, 200, "{answer:?}");
    let status = admin.status();
    assert_eq!(status["pools"][0]["servers"][0]["state"], "down");
}

#[test]
fn whatever_is_no_look_needs_the_token() {
    let admin = Admin::start();
    let server = admin.target();
    for line in [
        "POST /api/v1/reload",
        "POST /api/v1/reopen",
        "POST /api/v1/stop",
        "POST /api/v1/quit",
        "POST /api/v1/explain",
        "POST /api/v1/pools/app/servers",
        &format!("DELETE {server}"),
        &format!("DELETE {server}?force=true"),
        "POST /api/v1/status",
        "BREW /",
    ] {
        let answer = admin.ask(line, "", "");
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
    }
    is_untouched(&admin);
}

#[test]
fn without_a_token_file_changes_go_over_the_control_socket() {
    let admin = Admin::with("", "");
    let line = format!("PATCH {}", admin.target());
    for fields in ["", SHOWN] {
        let answer = admin.ask(&line, fields, DOWN);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains("control socket"), "{answer:?}");
    }
    is_untouched(&admin);
    assert_eq!(admin.tell_socket(&line, DOWN).status, 200);
}

#[test]
fn a_new_token_and_new_hosts_hold_after_a_reload() {
    let admin = Admin::start();
    admin.files.write("token", "another-horse-another-staple\n");
    admin.edit("[admin]\n", "[admin]\nhosts = [\"lb1.company.com\"]\n");
    assert_eq!(admin.tell("POST /api/v1/reload", "").status, 200);
    assert_eq!(admin.tell("POST /api/v1/reload", "").status, 403);
    let fields = "Authorization: Bearer another-horse-another-staple\r\n";
    let answer = admin.ask("POST /api/v1/reload", fields, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = look_at(&admin, "Host: lb1.company.com\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn looking_needs_the_token_where_the_file_says_so() {
    let admin = Admin::with(&format!("{TOKEN_FILE}\nreads = \"token\""), "");
    for path in [
        "/api/v1/status",
        "/api/v1/pools",
        "/api/v1/events",
        "/api/v1/openapi.json",
        "/metrics",
        "/stub_status",
    ] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
        let answer = admin.tell(&format!("GET {path}"), "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    for path in ["/", "/healthz", "/readyz"] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

// === names ===

/// The answer to a look with these fields as its `Host`.
fn look_at(admin: &Admin, hosts: &str) -> Answer {
    let text = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
    let answer = admin.send(&text);
    answer.is_guarded();
    answer
}

#[test]
fn a_name_that_is_not_lbd_s_is_421() {
    let admin = Admin::with("hosts = [\"LB1.company.com\"]", "");
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8180", 200),
        ("127.0.0.1:8180", 200),
        ("[::1]:8180", 200),
        ("10.0.0.1", 200),
        ("lb1.company.com:8180", 200),
        ("evil.example", 421),
        ("company.com", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("lb1.company.com.evil.example", 421),
    ] {
        let answer = look_at(&admin, &format!("Host: {host}\r\n"));
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
}

#[test]
fn no_name_is_400_and_so_are_two() {
    let admin = Admin::start();
    for hosts in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        let answer = look_at(&admin, hosts);
        assert_eq!(answer.status, 400, "{hosts}: {answer:?}");
    }
}

// === pages of others ===

#[test]
fn a_page_of_another_origin_changes_nothing_even_with_the_token() {
    let admin = Admin::start();
    let line = format!("PATCH {}", admin.target());
    for origin in [
        "http://evil.example",
        "http://localhost:1",
        "http://localhost.evil.example",
        "null",
    ] {
        let answer = admin.ask(&line, &format!("Origin: {origin}\r\n{SHOWN}"), DOWN);
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    is_untouched(&admin);
    let own = format!("Origin: http://localhost\r\n{SHOWN}");
    let answer = admin.ask(&line, &own, DOWN);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_browser_that_asks_whether_it_may_is_promised_nothing() {
    let admin = Admin::start();
    let line = format!("OPTIONS {}", admin.target());
    let fields = "Origin: http://evil.example\r\n\
                  Access-Control-Request-Method: PATCH\r\n\
                  Access-Control-Request-Headers: authorization\r\n";
    for shown in ["", SHOWN] {
        // Each answer is looked through for fields that would be a promise.
        let answer = admin.ask(&line, &format!("{fields}{shown}"), "");
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
}

#[test]
fn every_answer_says_that_it_is_for_nobody_else() {
    let admin = Admin::start();
    for (line, status) in [
        ("GET /", 200),
        ("GET /page.css", 200),
        ("GET /page.js", 200),
        ("GET /healthz", 200),
        ("GET /metrics", 200),
        ("GET /api/v1/status", 200),
        ("HEAD /api/v1/status", 200),
        ("GET /nothing", 404),
    ] {
        // Whose page asks makes no difference: its browser keeps from it what it is not allowed to see.
        for origin in ["", "Origin: http://evil.example\r\n"] {
            let answer = admin.ask(line, origin, "");
            assert_eq!(answer.status, status, "{line}: {answer:?}");
            answer.is_guarded();
        }
    }
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let admin = Admin::start();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for path in ["/", "/page.css", "/page.js"] {
        let answer = admin.get(path);
        assert_eq!(answer.field("content-security-policy"), Some(policy));
    }
}

// === the log ===

#[test]
fn refusals_are_one_line_in_the_log_however_many_there_are() {
    let mut admin = Admin::start();
    for _ in 0..50 {
        assert_eq!(admin.ask("POST /api/v1/stop", "", "").status, 401);
    }
    is_untouched(&admin);
    let said = admin.lbd.stop().err;
    assert_eq!(said.matches("admin: refused").count(), 1, "{said}");
}

#[test]
fn no_token_is_in_the_log_be_it_right_or_wrong() {
    let mut admin = Admin::start();
    let guess = "Authorization: Bearer not-quite-the-right-one\r\n";
    assert_eq!(admin.ask("POST /api/v1/reopen", guess, "").status, 403);
    assert_eq!(admin.tell("POST /api/v1/reopen", "").status, 200);
    let said = admin.lbd.stop().err;
    assert!(said.contains("admin: refused"), "{said}");
    for token in [TOKEN, "not-quite-the-right-one"] {
        assert!(!said.contains(token), "{said}");
    }
}
