//! `/api/v1/openapi.json`, held against what the server answers: what it describes is there, and as it says; and what is
//! there, it describes.

mod description;
mod schema;

use serde_json::{Value, json};

use self::description::Description;
use super::{Admin, TOKEN_FILE, server};
use crate::support::Client;

const SERVERS: &str = "/api/v1/pools/{pool}/servers";
const SERVER: &str = "/api/v1/pools/{pool}/servers/{server}";

/// What there is to ask, and how.
const PATHS: [(&str, &[&str]); 16] = [
    ("/healthz", &["get"]),
    ("/readyz", &["get"]),
    ("/metrics", &["get"]),
    ("/stub_status", &["get"]),
    ("/api/v1/status", &["get"]),
    ("/api/v1/pools", &["get"]),
    ("/api/v1/pools/{pool}", &["get"]),
    (SERVERS, &["get", "post"]),
    (SERVER, &["get", "patch", "delete"]),
    ("/api/v1/events", &["get"]),
    ("/api/v1/reload", &["post"]),
    ("/api/v1/reopen", &["post"]),
    ("/api/v1/stop", &["post"]),
    ("/api/v1/quit", &["post"]),
    ("/api/v1/explain", &["post"]),
    ("/api/v1/openapi.json", &["get"]),
];

/// What answers and requests are made of.
const PARTS: [&str; 12] = [
    "Certificate",
    "Change",
    "Codes",
    "Event",
    "Latency",
    "Listener",
    "NewServer",
    "Order",
    "Pool",
    "Route",
    "Server",
    "Status",
];

/// `path` for this server of `app`.
fn fill(path: &str, server: &str) -> String {
    let filled = path.replace("{pool}", "app").replace("{server}", server);
    assert!(!filled.contains('{'), "{filled}: what stands for that?");
    filled
}

/// Certificates, a stream, and a pool of which one server is not there.
const FURTHER: &str = "[[listeners]]
name = \"secure\"
bind = \"127.0.0.3:0\"
tls = { certificates = [{ cert = \"@FILES@/a.pem\", key = \"@FILES@/a.key\" }] }
[[streams]]
bind = \"127.0.0.2:0\"
pool = \"app\"
[[routes]]
path = \"/two/\"
pool = \"two\"
[pools.two]
servers = [\"127.0.0.1:1\", \"@SERVER@\"]
max_fails = 1
fail_timeout = \"1h\"
";

/// An lbd of which there is something of everything to tell.
fn busy() -> Admin {
    let admin = Admin::with(TOKEN_FILE, FURTHER);
    let mut client = Client::connect(admin.lbd.addr);
    for target in ["/", "/broken", "/old/", "/none/", "/two/", "/two/"] {
        client.get(target);
    }
    admin.until_is("/pools/1/servers/0/state", &json!("out"));
    let drain = json!({ "state": "drain", "deadline_seconds": 600, "by": "deploy-7" });
    let drained = admin.tell(&format!("PATCH {}", admin.target()), &drain.to_string());
    assert_eq!(drained.status, 200, "{drained:?}");
    admin.edit("respond", "respnod");
    assert_eq!(admin.tell("POST /api/v1/reload", "").status, 422);
    admin
}

// === what it describes ===

/// Each object in `schema` that may have properties of any name.
fn find_open(schema: &Value, place: &str, found: &mut Vec<String>) {
    if schema["properties"].is_object() && schema["additionalProperties"] != false {
        found.push(place.to_owned());
    }
    for (name, part) in schema.as_object().into_iter().flatten() {
        find_open(part, &format!("{place}/{name}"), found);
    }
}

#[test]
fn all_that_answers_are_made_of_is_described_and_nothing_is_left_open() {
    let description = Description::of(&Admin::start());
    let description = description.whole();
    let version = description["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1."), "{version}");
    let schemas = &description["components"]["schemas"];
    for part in PARTS {
        assert_eq!(schemas[part]["type"], "object", "{part}");
    }
    let mut open = Vec::new();
    find_open(schemas, "", &mut open);
    assert_eq!(open, [""; 0]);
}

#[test]
fn every_path_is_described_with_its_methods() {
    let description = Description::of(&Admin::start());
    for (path, methods) in PATHS {
        assert_eq!(description.methods(path), methods, "{path}");
    }
}

#[test]
fn a_path_has_the_methods_that_are_described_and_no_others() {
    let admin = Admin::start();
    let (description, server) = (Description::of(&admin), admin.server());
    for path in description.paths() {
        let answer = admin.tell(&format!("PUT {}", fill(path, &server)), "");
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        let allowed = answer.field("allow").unwrap_or_default();
        let allowed = allowed
            .split(',')
            .map(|method| method.trim().to_lowercase());
        // It goes without saying where there is GET.
        let mut allowed: Vec<_> = allowed.filter(|method| method != "head").collect();
        let mut described = description.methods(path);
        allowed.sort_unstable();
        described.sort_unstable();
        assert_eq!(allowed, described, "{path}");
    }
}

// === what is answered ===

/// Every look of `admin` is answered as described.
fn looks_hold(admin: &Admin) {
    let (description, server) = (Description::of(admin), admin.server());
    for path in description.paths() {
        if !description.methods(path).contains(&"get") {
            continue;
        }
        for query in description.queries(path) {
            for accept in ["", "Accept: application/openmetrics-text\r\n"] {
                let line = format!("GET {}{query}", fill(path, &server));
                let answer = admin.ask(&line, accept, "");
                description.holds("get", path, &answer);
            }
        }
    }
}

#[test]
fn every_look_at_an_lbd_that_has_done_nothing_is_as_described() {
    looks_hold(&Admin::start());
}

#[test]
fn every_look_at_one_that_has_done_much_is_as_described() {
    let admin = busy();
    let status = admin.status();
    for pointer in [
        "/last_reload/message",
        "/certificates/0/not_after",
        "/listeners/2/protocol",
        "/routes/3/pool",
        "/pools/0/servers/0/order/deadline_seconds",
        "/pools/0/servers/0/latency/p99_ms",
        "/pools/1/servers/0/out_seconds",
        "/pools/1/servers/0/last_error",
    ] {
        let told = status.pointer(pointer);
        assert!(told.is_some_and(|told| !told.is_null()), "{pointer}");
    }
    looks_hold(&admin);
}

#[test]
fn every_change_is_answered_as_described() {
    let admin = Admin::start();
    let description = Description::of(&admin);
    let (first, other) = (admin.server(), server().to_string());
    let tell = |method: &str, path: &str, server: &str, body: Value, status: u16| {
        let text = match &body {
            Value::Null => String::new(),
            body => {
                description.takes(method, path, body);
                body.to_string()
            }
        };
        let line = format!("{} {}", method.to_uppercase(), fill(path, server));
        let answer = admin.tell(&line, &text);
        assert_eq!(answer.status, status, "{line} {text}: {answer:?}");
        description.holds(method, path, &answer);
    };
    let drain = json!({ "state": "drain", "deadline_seconds": 600, "close": true, "by": "me" });
    tell("patch", SERVER, &first, drain, 200);
    tell("patch", SERVER, &first, json!({ "state": "up" }), 200);
    let share = json!({ "weight": 3, "max_conns": 7 });
    tell("patch", SERVER, &first, share, 200);
    let new = json!({
        "address": other, "weight": 2, "max_conns": 9, "max_fails": 1, "fail_timeout": "10s",
        "backup": true, "state": "drain", "by": "me",
    });
    tell("post", SERVERS, "", new.clone(), 201);
    tell("post", SERVERS, "", new, 409);
    looks_hold(&admin);
    tell("delete", SERVER, &other, Value::Null, 200);
    // It is the last one of its pool.
    tell("delete", SERVER, &first, Value::Null, 409);
    let forced = format!("{first}?force=true");
    tell("delete", SERVER, &forced, Value::Null, 200);
    let question = json!({
        "method": "GET", "url": "http://127.0.0.1:0/none/", "fields": ["X-Id: 7"],
        "client": "127.0.0.1",
    });
    tell("post", "/api/v1/explain", "", question, 200);
    tell("post", "/api/v1/reopen", "", Value::Null, 200);
    tell("post", "/api/v1/reload", "", Value::Null, 200);
    admin.edit("respond", "respnod");
    tell("post", "/api/v1/reload", "", Value::Null, 422);
}

#[test]
fn the_end_is_answered_as_described() {
    for path in ["/api/v1/stop", "/api/v1/quit"] {
        let admin = Admin::start();
        let description = Description::of(&admin);
        let answer = admin.tell(&format!("POST {path}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        description.holds("post", path, &answer);
    }
}

#[test]
fn what_is_not_there_is_answered_as_described() {
    let admin = Admin::start();
    let description = Description::of(&admin);
    for path in description.paths() {
        let names = ["{pool}", "{server}"].into_iter();
        for name in names.filter(|name| path.contains(name)) {
            let target = fill(&path.replace(name, "nobody"), "nobody");
            let answer = admin.get(&target);
            assert_eq!(answer.status, 404, "{target}: {answer:?}");
            description.holds("get", path, &answer);
        }
    }
}

#[test]
fn refusals_are_answered_as_described() {
    let admin = Admin::start();
    let (description, server) = (Description::of(&admin), admin.server());
    let wrong = "Authorization: Bearer not-quite-the-right-one\r\n";
    for path in description.paths() {
        let methods = description.methods(path);
        for method in methods.into_iter().filter(|method| *method != "get") {
            let line = format!("{} {}", method.to_uppercase(), fill(path, &server));
            for (shown, status) in [("", 401), (wrong, 403)] {
                let answer = admin.ask(&line, shown, "");
                assert_eq!(answer.status, status, "{line}: {answer:?}");
                description.holds(method, path, &answer);
            }
        }
    }
}
