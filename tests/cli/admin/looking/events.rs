//! What has happened, and in which order.

use serde_json::{Value, json};

use super::{Admin, order, reload};

/// What is told for `query`, and the id of the last event there is.
fn events(admin: &Admin, query: &str) -> (Vec<Value>, Value) {
    let answer = admin.get(&format!("/api/v1/events{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let events = told["events"].as_array().expect("a list");
    (events.clone(), told["last"].clone())
}

#[test]
fn what_has_happened_is_told_in_its_order() {
    let admin = Admin::start();
    order(&admin, "drain");
    reload(&admin, 200, true);
    admin.edit("respond", "respnod");
    reload(&admin, 422, false);
    let (events, last) = events(&admin, "");
    let kinds = events
        .iter()
        .map(|event| json!([event["kind"], event["severity"]]));
    let wanted = [
        json!(["started", "info"]),
        json!(["server_ordered", "info"]),
        json!(["reloaded", "info"]),
        json!(["reload_failed", "error"]),
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), wanted);
    for pair in events.windows(2) {
        let ids = [&pair[0], &pair[1]].map(|event| event["id"].as_u64().expect("a number"));
        assert_eq!(ids[0] + 1, ids[1], "{pair:?}");
    }
    assert_eq!(last, events[3]["id"]);
}

#[test]
fn an_event_says_of_whom_it_is_in_the_words_of_the_log() {
    let admin = Admin::start();
    order(&admin, "drain");
    let (events, _) = events(&admin, "?limit=1");
    assert_eq!(events[0]["pool"], "app");
    assert_eq!(events[0]["subject"], admin.server());
    let text = events[0]["text"].as_str().expect("a text");
    admin.lbd.process.err.wait_for(text);
}

#[test]
fn events_can_be_asked_for_in_part() {
    let admin = Admin::start();
    for state in ["drain", "down", "up"] {
        order(&admin, state);
    }
    let (all, last) = events(&admin, "");
    let first = &all[0]["id"];
    let newest = events(&admin, "?limit=2");
    assert_eq!(newest, (all[2..].to_vec(), last.clone()));
    let since = events(&admin, &format!("?since={first}"));
    assert_eq!(since, (all[1..].to_vec(), last.clone()));
    let both = events(&admin, &format!("?since={first}&limit=1"));
    assert_eq!(both, (all[3..].to_vec(), last.clone()));
    let none = events(&admin, &format!("?since={last}"));
    assert_eq!(none, (Vec::new(), last));
    for query in ["since=x", "since=-1", "limit=all"] {
        let answer = admin.get(&format!("/api/v1/events?{query}"));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
}
