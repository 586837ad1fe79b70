//! Edits outlive reloads, and restarts too if there is where to keep them, until the file says the same.

use std::fs;

use serde_json::{Value, json};

use super::{Site, third};
use crate::support::restart;

const KEPT: &str = "state_file = \"@DIR@/state.json\"";

/// A key that means nothing to these tests.
const OTHER_KEY: (&str, &str) = ("workers = 2", "workers = 2\nshutdown_timeout = \"1s\"");

impl Site {
    /// With a third server, without the first, and with more for the second; gives the third.
    fn edited(&self) -> String {
        let c = third();
        self.upstream("add", &c, &["--weight", "2"]);
        self.upstream("remove", &self.a, &[]);
        self.upstream("set", &self.b, &["--max-conns", "50"]);
        c
    }

    /// It is so still.
    fn is_edited(&self, c: &str) {
        assert_eq!(self.names(), "bc");
        let weight_and_most = |name: &str| {
            let server = self.server(name).expect("it is there");
            [server["weight"].clone(), server["max_conns"].clone()]
        };
        assert_eq!(weight_and_most(c), [2, 0]);
        assert_eq!(weight_and_most(&self.b), [1, 50]);
    }

    /// It is as the file says.
    fn is_unedited(&self) {
        assert_eq!(self.names(), "ab");
        let b = self.server(&self.b).expect("it is there");
        assert_eq!(b["max_conns"], 0, "{b}");
        let status = self.status();
        let servers = status["pools"][0]["servers"].as_array();
        assert_eq!(servers.map(Vec::len), Some(2), "{status}");
    }

    /// What stands in the state file of pool `app`.
    fn edits(&self) -> Value {
        let text = fs::read_to_string(self.lbd.dir.file("state.json")).expect("it is there");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        state["edits"]["app"].clone()
    }
}

// === over reloads ===

#[test]
fn edits_stay_over_a_reload() {
    let site = Site::start();
    let c = site.edited();
    site.reload(OTHER_KEY.0, OTHER_KEY.1);
    site.is_edited(&c);
    site.reload(OTHER_KEY.1, OTHER_KEY.0);
    site.is_edited(&c);
    let server = site.server(&c).expect("it is there");
    assert!(server["added_by"].is_string(), "{server}");
}

#[test]
fn a_server_that_the_file_comes_to_name_is_the_file_s() {
    let site = Site::with(KEPT, "");
    let c = third();
    site.upstream("add", &c, &["--weight", "2"]);
    let (before, after) = (
        format!("\"{}\"]", site.b),
        format!("\"{}\", \"{c}\"]", site.b),
    );
    site.reload(&before, &after);
    let server = site.server(&c).expect("it is there");
    assert_eq!(
        (&server["weight"], &server["added_by"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(site.edits(), Value::Null);
    site.reload(&after, &before);
    assert_eq!(site.names(), "ab", "it goes with the file");
}

#[test]
fn a_server_that_the_file_no_longer_names_is_no_longer_removed() {
    let site = Site::with(KEPT, "");
    site.upstream("remove", &site.a, &[]);
    let server = format!("\"{}\", ", site.a);
    site.reload(&server, "");
    assert_eq!(site.edits(), Value::Null);
    site.reload("servers = [", &format!("servers = [{server}"));
    assert_eq!(site.names(), "ab");
}

#[test]
fn a_server_that_the_file_no_longer_names_has_no_weight_any_more() {
    let site = Site::start();
    site.upstream("set", &site.a, &["--weight", "5"]);
    let server = format!("\"{}\", ", site.a);
    site.reload(&server, "");
    assert_eq!(site.server(&site.a), None);
    site.reload("servers = [", &format!("servers = [{server}"));
    let a = site.server(&site.a).expect("it is there");
    assert_eq!(a["weight"], 1, "{a}");
}

// === over restarts ===

#[test]
fn a_state_file_keeps_edits_over_a_restart() {
    let mut site = Site::with(KEPT, "");
    let c = site.edited();
    let by = site.server(&c).expect("it is there")["added_by"].clone();
    for _ in 0..2 {
        let said = restart(&mut site.lbd);
        assert!(!said.contains("forgotten"), "{said}");
        site.is_edited(&c);
        let server = site.server(&c).expect("it is there");
        assert_eq!(server["added_by"], by, "by whom, too");
    }
}

#[test]
fn an_order_for_a_server_that_was_added_is_kept_too() {
    let mut site = Site::with(KEPT, "");
    let c = third();
    site.upstream("add", &c, &[]);
    site.does(&["down", "app", &c]);
    restart(&mut site.lbd);
    assert_eq!(site.names(), "ab");
    let server = site.server(&c).expect("it is there");
    assert_eq!(server["state"], "down", "{server}");
}

#[test]
fn a_state_file_says_what_is_edited_by_whom_and_when() {
    let site = Site::with(KEPT, "");
    let c = site.edited();
    let edits = site.edits();
    let edits = edits.as_array().expect("a list");
    assert_eq!(edits.len(), 3, "{edits:?}");
    let of = |server: &str| {
        let edit = edits.iter().find(|edit| edit["server"] == server);
        let edit = edit.unwrap_or_else(|| panic!("no {server} in {edits:?}"));
        assert!(edit["by"].is_string() && edit["at"].is_string(), "{edit}");
        edit["what"].clone()
    };
    assert_eq!(of(&c)["added"]["weight"], 2);
    assert_eq!(of(&site.a), "removed");
    assert_eq!(of(&site.b)["set"]["max_conns"], 50);
}

#[test]
fn a_file_that_came_to_name_a_server_before_the_start_has_the_last_word() {
    let mut site = Site::with(KEPT, "");
    let c = third();
    site.upstream("add", &c, &["--weight", "9"]);
    site.edit(
        &format!("\"{}\"]", site.b),
        &format!("\"{}\", \"{c}\"]", site.b),
    );
    restart(&mut site.lbd);
    assert_eq!(site.names(), "abc");
    let server = site.server(&c).expect("it is there");
    assert_eq!(
        (&server["weight"], &server["added_by"]),
        (&json!(1), &Value::Null)
    );
}

#[test]
fn without_a_state_file_the_end_says_what_is_forgotten() {
    let mut site = Site::start();
    let c = site.edited();
    let said = restart(&mut site.lbd);
    for server in [&site.a, &site.b, &c] {
        let of_it = |line: &&str| line.contains(server.as_str()) && line.contains("forgotten");
        let line = said.lines().find(of_it);
        let line = line.unwrap_or_else(|| panic!("nothing of {server} in {said}"));
        assert!(line.contains("WARN"), "{line}");
        assert!(line.contains("pool app: "), "{line}");
        let hint = "; with `state_file` it would be kept";
        assert!(line.ends_with(hint), "{line}");
    }
    site.is_unedited();
}

#[test]
fn nothing_is_said_of_edits_that_were_taken_back() {
    let mut site = Site::start();
    let c = third();
    site.upstream("add", &c, &[]);
    site.upstream("remove", &c, &[]);
    let said = restart(&mut site.lbd);
    assert!(!said.contains("forgotten"), "{said}");
}
