//! `lbd events`: what has happened of late, and what happens.

use serde_json::Value;

use super::Site;
use crate::support::named;

/// The lines of `lbd events ARGS`.
fn lines(site: &Site, args: &[&str]) -> Vec<String> {
    let said = site.does(&[&["events"], args].concat());
    said.lines().map(str::to_owned).collect()
}

/// An event in JSON.
fn parse(line: &str) -> Value {
    let parsed = serde_json::from_str(line);
    parsed.unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn events_are_told_in_their_order_with_time_and_severity() {
    let site = Site::start();
    site.does(&["drain", "app", &site.a]);
    site.edit("pool = \"app\"", "pool = \"shop\"");
    assert_eq!(site.run(&["reload"]).code, Some(78));
    let told = lines(&site, &[]);
    let drains = format!(" info pool app: server {} drains, by ", site.a);
    let wanted = [" info started, with ", &drains, " ERROR reload failed"];
    assert!(told.len() >= wanted.len(), "{told:?}");
    for (line, part) in told.iter().zip(wanted) {
        assert!(line.contains(part), "no {part:?} in {line:?}");
        let (date, rest) = line.split_once(' ').expect("a date");
        let (time, _) = rest.split_once(' ').expect("a time");
        let shape = (date.len(), date.matches('-').count());
        assert_eq!(shape, ("2026-01-01".len(), 2), "{line}");
        let shape = (time.len(), time.matches(':').count());
        assert_eq!(shape, ("02:00:00".len(), 2), "{line}");
    }
}

#[test]
fn edits_are_events_in_the_words_of_the_log() {
    let site = Site::start();
    let c = named("c").to_string();
    site.does(&["upstream", "add", "app", &c]);
    site.does(&["upstream", "set", "app", &c, "--weight", "3"]);
    site.does(&["upstream", "remove", "app", &c]);
    let kinds = ["server_added", "server_changed", "server_removed"];
    let told = lines(&site, &["--json", "-n", "3"]);
    assert_eq!(told.len(), kinds.len(), "{told:?}");
    for (line, kind) in told.iter().zip(kinds) {
        let event = parse(line);
        assert_eq!(event["kind"], kind, "{event}");
        assert_eq!(event["pool"], "app", "{event}");
        assert_eq!(event["subject"], c, "{event}");
        let text = event["text"].as_str().expect("a text");
        site.lbd.process.err.wait_for(text);
    }
}

#[test]
fn n_is_how_many_of_the_last_ones() {
    let site = Site::start();
    for verb in ["drain", "down", "up"] {
        site.does(&[verb, "app", &site.a]);
    }
    let all = lines(&site, &[]);
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(lines(&site, &["-n", "1"]), all[3..]);
    assert_eq!(lines(&site, &["-n", "2"]), all[2..]);
    assert_eq!(lines(&site, &["-n", "100"]), all);
}

#[test]
fn json_is_one_event_a_line() {
    let site = Site::start();
    site.does(&["down", "app", &site.a]);
    let events: Vec<_> = lines(&site, &["--json"])
        .iter()
        .map(|line| parse(line))
        .collect();
    let kinds: Vec<_> = events.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["started", "server_ordered"]);
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_u64()).collect();
    assert_eq!(ids, [Some(1), Some(2)]);
    for event in &events {
        assert_eq!(event["severity"], "info", "{event}");
        let at = event["at"].as_str().expect("a time");
        assert!(at.contains('T') && at.ends_with('Z'), "{at}");
    }
}

#[test]
fn follow_tells_what_comes_later_once() {
    let site = Site::start();
    for (args, verb) in [
        (&["events", "--follow"][..], "drain"),
        (&["events", "-f", "--json"], "down"),
    ] {
        let following = site.watch(args);
        following.out.wait_for("started, with ");
        site.does(&[verb, "app", &site.b]);
        let said = match verb {
            "drain" => format!("server {} drains, by ", site.b),
            _ => format!("server {} is down, by ", site.b),
        };
        following.out.wait_for(&said);
        site.does(&["up", "app", &site.b]);
        following
            .out
            .wait_for(&format!("server {} is up, by ", site.b));
        let told = following.out.text();
        for part in ["started, with ", said.as_str()] {
            assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
        }
    }
}
