//! What can be looked at: health, counts, the last reload, and what has happened.

mod events;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Admin, TOKEN_FILE};
use crate::harness::{Dir, until};
use crate::support::{Client, Slow};

/// `admin` is well, and says this of whether it is ready.
fn is_ready(admin: &Admin, status: u16, body: &str) {
    let answer = admin.get("/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    let answer = admin.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
}

/// Says what the server of `app` is to be.
fn order(admin: &Admin, state: &str) {
    let line = format!("PATCH {}", admin.target());
    let answer = admin.tell(&line, &json!({ "state": state }).to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

// === health ===

#[test]
fn it_is_ready_while_every_pool_has_somebody() {
    let admin = Admin::start();
    is_ready(&admin, 200, "ready\n");
    order(&admin, "down");
    is_ready(&admin, 503, "pool app has no live server\n");
    order(&admin, "up");
    is_ready(&admin, 200, "ready\n");
}

#[test]
fn servers_that_are_down_in_the_file_are_nobody() {
    let further = "[pools.half]\nservers = [\"@SERVER@\", { address = \"127.0.0.1:1\", down = true }]\n\
                   [pools.idle]\nservers = [{ address = \"127.0.0.1:1\", down = true }]\n";
    let admin = Admin::with(TOKEN_FILE, further);
    is_ready(&admin, 503, "pool idle has no live server\n");
}

/// An lbd at which a request is held.
fn hold() -> (Admin, Slow, Client) {
    let mut slow = Slow::new();
    let text = slow.file("[admin]\nbind = \"127.0.0.1:0\"");
    let admin = Admin::of(&text, Dir::new());
    let mut client = Client::connect(admin.lbd.addr);
    slow.hold(&mut client);
    (admin, slow, client)
}

#[test]
fn while_it_ends_it_is_neither_well_nor_ready() {
    let (admin, mut slow, mut client) = hold();
    is_ready(&admin, 200, "ready\n");
    admin.lbd.process.signal(Signal::QUIT);
    for path in ["/healthz", "/readyz"] {
        let answer = until(&format!("{path} says so"), || {
            let answer = admin.tell_socket(&format!("GET {path}"), "");
            Some(answer).filter(|answer| answer.status == 503)
        });
        assert_eq!(answer.body, "ending\n");
    }
    // The port is left to a successor.
    let status = admin.tell_socket("GET /api/v1/status", "").json();
    assert_eq!(status["ending"], true);
    slow.finish(&mut client);
}

// === counts ===

/// So many answers of these classes, and none of others.
fn codes(of: &[(&str, u32)]) -> Value {
    let mut all = json!({ "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "499": 0 });
    for (class, count) in of {
        all[*class] = json!(count);
    }
    all
}

#[test]
fn answers_are_counted_by_class_for_listener_route_and_server() {
    let admin = Admin::start();
    let mut client = Client::connect(admin.lbd.addr);
    for target in ["/", "/", "/", "/broken", "/old/", "/none/"] {
        client.get(target);
    }
    let by_server = codes(&[("2xx", 3), ("5xx", 1)]);
    let by_all = codes(&[("2xx", 3), ("3xx", 1), ("4xx", 1), ("5xx", 1)]);
    for (pointer, wanted) in [
        ("/listeners/0/requests", &by_all),
        ("/routes/0/requests", &by_server),
        ("/routes/1/requests", &codes(&[("3xx", 1)])),
        ("/routes/2/requests", &codes(&[("4xx", 1)])),
        ("/pools/0/servers/0/requests", &by_server),
        ("/pools/0/requests", &json!(4)),
        ("/listeners/0/latency/count", &json!(6)),
        ("/pools/0/servers/0/received_bytes", &json!(20)),
        ("/totals/requests", &json!(6)),
        ("/totals/accepted", &json!(1)),
    ] {
        admin.until_is(pointer, wanted);
    }
}

#[test]
fn clients_that_leave_are_counted_apart() {
    let (admin, _slow, client) = hold();
    drop(client);
    admin.until_is("/listeners/0/requests", &codes(&[("499", 1)]));
}

#[test]
fn listeners_routes_and_the_process_are_called_what_they_are() {
    let admin = Admin::start();
    let status = admin.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], admin.lbd.process.id());
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(2));
    let listener = &status["listeners"][0];
    let called = json!([
        listener["name"],
        listener["addresses"],
        listener["protocol"]
    ]);
    let addr = admin.lbd.addr.to_string();
    assert_eq!(called, json!(["public", [addr], "http"]));
    let routes = status["routes"].as_array().expect("a list");
    let called = routes
        .iter()
        .map(|route| json!([route["route"], route["leads_to"], route["pool"]]));
    let wanted = [
        json!(["/", "pool app", "app"]),
        json!(["/old/", "redirect to /new/", null]),
        json!(["/none/", "answer 404", null]),
    ];
    assert_eq!(called.collect::<Vec<_>>(), wanted);
}

#[test]
fn stub_status_is_as_nginx_writes_it() {
    let admin = Admin::start();
    let mut client = Client::connect(admin.lbd.addr);
    for _ in 0..3 {
        client.get("/");
    }
    let wanted = "Active connections: 1 \nserver accepts handled requests\n 1 1 3 \n\
                  Reading: 0 Writing: 0 Waiting: 1 \n";
    until(&format!("stub_status is {wanted:?}"), || {
        (admin.get("/stub_status").body == wanted).then_some(())
    });
}

// === reloads ===

/// A reload is answered with `status`, and then told of as good or not; gives what is said of it.
fn reload(admin: &Admin, status: u16, ok: bool) -> (Value, String) {
    let answer = admin.tell("POST /api/v1/reload", "");
    assert_eq!(answer.status, status, "{answer:?}");
    let status = admin.status();
    let last = &status["last_reload"];
    assert_eq!(last["ok"], ok, "{status}");
    assert!(last["at"].is_string() && last["by"].is_string(), "{last}");
    let message = last["message"].as_str().unwrap_or_default().to_owned();
    (status, message)
}

#[test]
fn a_good_reload_is_told_and_is_a_new_generation() {
    let admin = Admin::start();
    let status = admin.status();
    let told = [&status["generation"], &status["last_reload"]];
    assert_eq!(told, [&json!(1), &Value::Null]);
    let (status, _) = reload(&admin, 200, true);
    assert_eq!(status["generation"], 2);
    assert_eq!(status["reloads"], json!({ "good": 1, "failed": 0 }));
}

#[test]
fn a_reload_that_failed_is_told_with_the_reason() {
    let admin = Admin::start();
    reload(&admin, 200, true);
    admin.edit("respond", "respnod");
    let (status, message) = reload(&admin, 422, false);
    assert_eq!(status["generation"], 2);
    assert_eq!(status["reloads"], json!({ "good": 1, "failed": 1 }));
    assert!(message.contains("did you mean `respond`?"), "{message}");
}

#[test]
fn a_new_address_waits_for_the_next_start() {
    let admin = Admin::start();
    let bind = |port| format!("[admin]\nbind = \"127.0.0.1:{port}\"");
    admin.edit(&bind(0), &bind(1));
    reload(&admin, 200, true);
    let lines = &admin.lbd.process.err;
    lines.wait_for("a new `admin.bind` takes effect at the next start");
    is_ready(&admin, 200, "ready\n");
}

// === paths ===

#[test]
fn what_is_not_there_is_404() {
    let admin = Admin::start();
    for (target, part) in [
        ("/nothing", ""),
        ("/api/v2/status", ""),
        ("/api/v1/pools/shop", "there is no pool shop"),
        ("/api/v1/pools/shop/servers", "there is no pool shop"),
        ("/api/v1/pools/app/servers/x", "pool app has no server x"),
    ] {
        let answer = admin.get(target);
        assert_eq!(answer.status, 404, "{target}: {answer:?}");
        assert!(answer.body.contains(part), "{target}: {answer:?}");
    }
}

#[test]
fn what_a_path_has_no_method_for_is_405_with_those_that_it_has() {
    let admin = Admin::start();
    let put = format!("PUT {}", admin.target());
    for (line, method) in [
        ("POST /api/v1/status", "GET"),
        ("DELETE /healthz", "GET"),
        ("GET /api/v1/reload", "POST"),
        (put.as_str(), "PATCH"),
    ] {
        let answer = admin.tell(line, "");
        assert_eq!(answer.status, 405, "{line}: {answer:?}");
        let allowed = answer.field("allow").unwrap_or_default();
        assert!(allowed.contains(method), "{line}: {answer:?}");
    }
}

#[test]
fn a_head_is_that_of_the_whole_answer() {
    let admin = Admin::start();
    for path in ["/healthz", "/api/v1/pools"] {
        let answer = admin.ask(&format!("HEAD {path}"), "", "");
        let whole = admin.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        for name in ["content-type", "content-length"] {
            assert_eq!(answer.field(name), whole.field(name), "{path}: {name}");
        }
    }
}

#[test]
fn a_pool_and_a_server_can_be_looked_at_alone() {
    let admin = Admin::with(TOKEN_FILE, "[pools.other]\nservers = [\"127.0.0.1:1\"]\n");
    let pools = admin.status()["pools"].clone();
    assert_eq!(admin.get("/api/v1/pools").json(), json!({ "pools": pools }));
    assert_eq!(admin.get("/api/v1/pools/app").json(), pools[0]);
    let servers = json!({ "servers": pools[0]["servers"] });
    let target = admin.target();
    let escaped = target.replace(':', "%3A");
    for target in ["/api/v1/pools/app/servers", &target, &escaped] {
        assert_eq!(admin.get(target).json(), servers, "{target}");
    }
}

#[test]
fn the_control_socket_answers_the_same_and_asks_for_no_token() {
    let admin = Admin::with("", "");
    let target = admin.target();
    for line in [
        "GET /healthz",
        "GET /readyz",
        "GET /stub_status",
        "GET /api/v1/events",
        "GET /api/v1/pools",
        "GET /api/v1/openapi.json",
        "GET /nothing",
        "GET /api/v1/reload",
        &format!("GET {target}"),
        "HEAD /healthz",
    ] {
        let (here, there) = (admin.tell_socket(line, ""), admin.ask(line, "", ""));
        assert_eq!(here.status, there.status, "{line}: {here:?}");
        assert_eq!(here.body, there.body, "{line}");
        let kinds = [&here, &there].map(|answer| answer.field("content-type"));
        assert_eq!(kinds[0], kinds[1], "{line}");
    }
    let down = admin.tell_socket(&format!("PATCH {target}"), r#"{ "state": "down" }"#);
    assert_eq!(down.json()["servers"][0]["state"], "down");
    let reloaded = admin.tell_socket("POST /api/v1/reload", "");
    assert!(reloaded.body.ends_with("reloaded\n"), "{reloaded:?}");
    assert_eq!(admin.status()["generation"], 2);
}
