//! `lbd status`: who is up, who is not, and why.

use super::{Site, status};
use crate::harness::{Dir, Process, lbd::command as lbd_command, until};
use crate::support::lbd;

#[test]
fn status_shows_every_pool_with_its_servers() {
    let site = Site::with(
        "",
        "[pools.other]\nbalance = \"ip_hash\"\nservers = [{ address = \"127.0.0.1:1\", weight = 3 }]",
    );
    let said = status(&site.lbd);
    let lines = said.lines().filter(|line| !line.is_empty());
    let words: Vec<Vec<_>> = lines
        .map(|line| line.split_whitespace().collect())
        .collect();
    let heading = "server state weight in flight tunnels answers 5xx failures p99 ms";
    let heading: Vec<_> = heading.split(' ').collect();
    let (a, b) = (site.a.addr().to_string(), site.b.addr().to_string());
    let expected: [&[&str]; 7] = [
        &["pool", "app", "(round_robin):", "2", "of", "2", "live"],
        &heading,
        &[&a, "up", "1", "0", "0", "0", "0", "0"],
        &[&b, "up", "1", "0", "0", "0", "0", "0"],
        &["pool", "other", "(ip_hash):", "1", "of", "1", "live"],
        &heading,
        &["127.0.0.1:1", "up", "3", "0", "0", "0", "0", "0"],
    ];
    // Behind what holds for all pools.
    assert_eq!(words[2..], expected, "{said}");
}

#[test]
fn status_finds_the_socket_by_its_option_too() {
    let site = Site::start();
    let socket = site.lbd.dir.file("control.sock").display().to_string();
    let elsewhere = Dir::new();
    let server = site.a.addr().to_string();
    for args in [
        &["status", "--control", &socket][..],
        &["down", "app", &server, "--control", &socket],
    ] {
        let ended = lbd(&elsewhere, args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(site.state(&site.a), "down");
}

#[test]
fn an_order_is_shown_with_who_has_given_it_and_when() {
    let site = Site::start();
    let server = site.a.addr().to_string();
    let args = ["drain", "app", &server, "-c", "lb.toml"];
    let mut command = lbd_command(&site.lbd.dir, &args);
    let mut drained = Process::spawn(command.env("SUDO_USER", "alice"));
    assert_eq!(drained.finish().code, Some(0));
    let line = site.line(&site.a);
    let (_, order) = line
        .split_once(" by alice (")
        .unwrap_or_else(|| panic!("{line}"));
    let (user, when) = order
        .split_once(") at ")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(!user.is_empty() && !user.contains(' '), "{line}");
    let is_time = when.len() == "2026-01-01T00:00:00Z".len() && when.ends_with('Z');
    assert!(is_time, "{line}");
    let logged = site
        .lbd
        .process
        .err
        .wait_for(&format!("server {server} drains"));
    assert!(logged.contains(", by alice ("), "{logged}");
}

#[test]
fn a_server_that_failed_is_shown_with_the_reason() {
    let mut site = Site::with("", "max_fails = 1\nfail_timeout = \"1h\"");
    site.a.stop();
    assert_eq!(site.names(), "b");
    let line = site.line(&site.a);
    assert!(line.contains(" out "), "{line}");
    assert!(
        line.contains("connection refused; for 0 s; a request probes it in 60 min"),
        "{line}"
    );
    site.a.start_again();
    // What is mended need not wait.
    site.order("up", &site.a);
    until("it serves", || (site.names() == "ab").then_some(()));
}

#[test]
fn a_server_that_warms_up_is_shown_with_its_part() {
    let site = Site::with("", "slow_start = \"1h\"");
    site.order("down", &site.a);
    let said = site.order("up", &site.a);
    assert!(said.contains(": warming up; nothing in flight"), "{said}");
    let line = site.line(&site.a);
    let part = "gets 0% of its weight";
    assert!(
        line.contains(" warming up ") && line.ends_with(part),
        "{line}"
    );
}
