//! Orders outlive reloads, and restarts too if there is where to keep them.

use std::fs;

use rustix::process::Signal;

use super::{Site, status};
use crate::harness::{Process, lbd::command as lbd_command, until};

const KEPT: &str = "state_file = \"@DIR@/state.json\"";

impl Site {
    /// lbd starts again, after it has ended in whichever way.
    fn start_again(&mut self) {
        let mut command = lbd_command(&self.lbd.dir, &["-c", "lb.toml"]);
        self.lbd.process = Process::spawn(&mut command);
        let line = self.lbd.process.err.wait_for("listening on ");
        let words = line.split("listening on ").nth(1).unwrap_or_default();
        let addr = words.split_whitespace().next().unwrap_or_default();
        self.lbd.addr = addr.parse().expect("the start-up line names an address");
        self.lbd.process.err.wait_for("control socket ");
    }

    /// Stops it and starts it again; gives what the first has said.
    fn restart(&mut self) -> String {
        let ended = self.lbd.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        self.start_again();
        ended.err
    }

    fn state_file(&self) -> String {
        fs::read_to_string(self.lbd.dir.file("state.json")).unwrap_or_default()
    }
}

// === over reloads ===

#[test]
fn an_order_outlives_a_reload() {
    let site = Site::start();
    for verb in ["down", "drain"] {
        site.order(verb, &site.a);
        let line = site.line(&site.a);
        site.reload("workers = 2", "workers = 2\nshutdown_timeout = \"1s\"");
        assert_eq!(site.line(&site.a), line);
        assert_eq!(site.names(), "b");
        site.reload("shutdown_timeout = \"1s\"", "");
    }
}

#[test]
fn up_outlives_a_reload_too() {
    let site = Site::start();
    let server = format!("\"{}\"", site.a.addr());
    let down = format!("{{ address = {server}, down = true }}");
    site.reload(&server, &down);
    assert_eq!(site.names(), "b");
    site.order("up", &site.a);
    site.reload("workers = 2", "workers = 2\nshutdown_timeout = \"1s\"");
    assert_eq!(site.names(), "ab");
}

#[test]
fn an_order_goes_with_its_server() {
    let site = Site::with(KEPT, "");
    site.order("down", &site.a);
    let server = format!("\"{}\", ", site.a.addr());
    site.reload(&server, "");
    assert!(!status(&site.lbd).contains(&site.a.addr().to_string()));
    assert!(!site.state_file().contains(&site.a.addr().to_string()));
    site.reload("servers = [", &format!("servers = [{server}"));
    assert_eq!(site.names(), "ab");
}

// === over restarts ===

#[test]
fn without_a_state_file_the_end_says_what_is_forgotten() {
    let mut site = Site::start();
    site.order("down", &site.a);
    site.order("drain", &site.b);
    let said = site.restart();
    for (app, verb) in [(&site.a, "is down"), (&site.b, "drains")] {
        let start = format!("pool app: that server {} {verb}, by ", app.addr());
        let line = said.lines().find(|line| line.contains(&start));
        let line = line.unwrap_or_else(|| panic!("no {start:?} in {said}"));
        assert!(
            line.ends_with(", is forgotten; with `state_file` it would be kept"),
            "{line}"
        );
    }
    assert_eq!(site.names(), "ab");
}

#[test]
fn nothing_is_said_of_orders_that_were_taken_back() {
    let mut site = Site::start();
    site.order("down", &site.a);
    site.order("up", &site.a);
    assert!(!site.restart().contains("forgotten"));
}

#[test]
fn a_state_file_keeps_orders_over_a_restart() {
    let mut site = Site::with(KEPT, "");
    site.order("down", &site.a);
    let line = site.line(&site.a);
    let said = site.restart();
    assert!(!said.contains("forgotten"), "{said}");
    assert_eq!(site.line(&site.a), line, "by whom and when, too");
    assert_eq!(site.names(), "b");
    let told = format!("pool app: server {} is down still", site.a.addr());
    site.lbd.process.err.wait_for(&told);
    site.order("up", &site.a);
    site.restart();
    assert_eq!(site.names(), "ab");
}

#[test]
fn a_state_file_is_written_at_once() {
    let mut site = Site::with(KEPT, "");
    site.order("drain", &site.a);
    site.lbd.process.signal(Signal::KILL);
    site.lbd.process.finish();
    site.start_again();
    assert_eq!(site.state(&site.a), "drain");
    assert_eq!(site.names(), "b");
}

#[test]
fn a_state_file_is_plain_json() {
    let site = Site::with(KEPT, "");
    site.order("down", &site.a);
    let text = site.state_file();
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let order = &json["orders"][0];
    assert_eq!(order["pool"], "app", "{text}");
    assert_eq!(order["server"], site.a.addr().to_string(), "{text}");
    assert_eq!(order["state"], "down", "{text}");
    assert!(order["by"].is_string() && order["at"].is_string(), "{text}");
    let names = fs::read_dir(site.lbd.dir.path()).expect("our own directory");
    let mut names: Vec<_> = names
        .map(|name| name.expect("a name").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["control.sock", "lb.toml", "state.json"]);
}

#[test]
fn a_deadline_goes_on_after_a_restart() {
    let mut site = Site::with(KEPT, "");
    let server = site.a.addr().to_string();
    let ended = super::run(&site.lbd, &["drain", "app", &server, "--deadline", "1h"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    site.restart();
    let line = site.line(&site.a);
    assert!(
        line.contains(" drain ") && line.contains("; down in 60 min"),
        "{line}"
    );
}

/// A drain whose time passed while lbd was away.
const LATE: &str = r#"[{ "pool": "app", "server": "@SERVER@", "state": "drain", "by": "alice",
    "at": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:10:00Z" }]"#;

#[test]
fn a_deadline_that_passed_meanwhile_is_over() {
    let mut site = Site::with(KEPT, "");
    site.lbd.stop();
    let text = LATE.replace("@SERVER@", &site.a.addr().to_string());
    site.lbd.dir.write("state.json", &text);
    site.start_again();
    until("it is down", || {
        (site.state(&site.a) == "down").then_some(())
    });
    assert!(
        site.line(&site.a)
            .ends_with("by alice at 2026-01-01T00:00:00Z")
    );
}

#[test]
fn orders_for_servers_that_are_gone_are_told_and_no_obstacle() {
    let mut site = Site::with(KEPT, "");
    site.lbd.stop();
    site.lbd
        .dir
        .write("state.json", &LATE.replace("@SERVER@", "10.0.0.1:80"));
    site.start_again();
    site.lbd.process.err.wait_for("has no server 10.0.0.1:80");
    assert_eq!(site.names(), "ab");
}

#[test]
fn a_broken_state_file_is_moved_aside_and_lbd_starts() {
    let mut site = Site::with(KEPT, "");
    site.order("down", &site.a);
    site.lbd.stop();
    let text = site.state_file();
    let half = &text[..text.len() / 2];
    for broken in ["nonsense", "", half, "{}"] {
        site.lbd.dir.write("state.json", broken);
        site.start_again();
        let line = site.lbd.process.err.wait_for("ERROR state file ");
        let aside = site.lbd.dir.file("state.broken");
        let told = format!("no order is kept, and the file is now {}", aside.display());
        assert!(line.contains(&told), "{line}");
        assert_eq!(fs::read_to_string(&aside).expect("it is there"), broken);
        assert_eq!(site.names(), "ab");
        // The next order finds its place.
        site.order("down", &site.b);
        assert!(site.state_file().contains(&site.b.addr().to_string()));
        site.lbd.stop();
    }
}

#[test]
fn a_state_file_that_cannot_be_written_is_told_and_the_order_holds() {
    let site = Site::with("state_file = \"@DIR@/absent/state.json\"", "");
    let server = site.a.addr().to_string();
    let ended = super::run(&site.lbd, &["down", "app", &server]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = "a restart would forget what stands";
    assert!(ended.err.contains(told), "{}", ended.err);
    assert_eq!(site.names(), "b");
    let line = site.lbd.process.err.wait_for("ERROR state file ");
    assert!(line.contains(told), "{line}");
}
