//! Serving the file as it is now: by HUP, and by `lbd reload`, which says how it went.

mod certificates;

use std::{fs, net::TcpListener};

use rustix::process::Signal;

use crate::harness::{Dir, File, Lbd, until};
use crate::support::{Client, HELLO, get, lbd, says};

/// Waits until `lbd` answers `body`.
fn until_it_says(lbd: &Lbd, body: &str) {
    until(&format!("lbd says {body:?}"), || {
        (get(lbd.addr, "/").body == body).then_some(())
    });
}

/// A lbd that says "hello", ready for signals.
fn start() -> Lbd {
    let lbd = Lbd::start(&says("hello"), &[]);
    lbd.process.err.wait_for("control socket ");
    lbd
}

#[test]
fn hup_reloads() {
    let lbd = start();
    lbd.dir.write("lb.toml", &says("changed"));
    lbd.process.signal(Signal::HUP);
    until_it_says(&lbd, "changed");
    lbd.process.err.wait_for("INFO reloaded");
}

#[test]
fn a_broken_file_changes_nothing_on_hup_and_the_log_says_why() {
    let mut lbd = start();
    lbd.dir
        .write("lb.toml", &says("changed").replace("respond", "respnod"));
    lbd.process.signal(Signal::HUP);
    lbd.process
        .err
        .wait_for("reload failed, nothing is changed");
    lbd.process.err.wait_for("lb.toml:12:1: error: ");
    lbd.process.err.wait_for("did you mean `respond`?");
    assert_eq!(get(lbd.addr, "/").body, "hello");
    assert_eq!(lbd.stop().code, Some(0));
}

#[test]
fn a_file_that_is_gone_changes_nothing_on_hup() {
    let lbd = start();
    fs::remove_file(lbd.dir.file("lb.toml")).expect("the file is ours");
    lbd.process.signal(Signal::HUP);
    let reason = format!("cannot read {}", lbd.dir.file("lb.toml").display());
    lbd.process.err.wait_for(&reason);
    assert_eq!(get(lbd.addr, "/").body, "hello");
}

#[test]
fn hup_after_a_failed_one_reloads() {
    let lbd = start();
    lbd.dir.write("lb.toml", "nonsense");
    lbd.process.signal(Signal::HUP);
    lbd.process.err.wait_for("reload failed");
    lbd.dir.write("lb.toml", &says("mended"));
    lbd.process.signal(Signal::HUP);
    until_it_says(&lbd, "mended");
}

#[test]
fn keep_alive_connections_follow_a_reload() {
    let lbd = start();
    let mut client = Client::connect(lbd.addr);
    assert_eq!(client.get("/").body, "hello");
    lbd.dir.write("lb.toml", &says("changed"));
    lbd.process.signal(Signal::HUP);
    lbd.process.err.wait_for("INFO reloaded");
    assert_eq!(client.get("/").body, "changed");
}

#[test]
fn the_command_serves_the_new_file_before_it_ends_with_0() {
    let running = start();
    running.dir.write("lb.toml", &says("changed"));
    let reloaded = lbd(&running.dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert!(reloaded.out.ends_with("reloaded\n"), "{}", reloaded.out);
    assert!(reloaded.out.contains("warning: port 0"), "{}", reloaded.out);
    assert_eq!(get(running.addr, "/").body, "changed");
}

#[test]
fn the_command_prints_the_report_and_ends_with_78() {
    let running = start();
    running
        .dir
        .write("lb.toml", &says("changed").replace("respond", "respnod"));
    let reloaded = lbd(&running.dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(reloaded.code, Some(78), "{reloaded:?}");
    assert_eq!(reloaded.out, "");
    for part in [
        "lb.toml:12:1: error: ",
        "respnod = {",
        "did you mean `respond`?",
        "reload failed, nothing is changed",
    ] {
        assert!(
            reloaded.err.contains(part),
            "no {part:?} in {}",
            reloaded.err
        );
    }
    running
        .process
        .err
        .wait_for("reload failed, nothing is changed");
    assert_eq!(get(running.addr, "/").body, "hello");
}

#[test]
fn the_command_says_which_address_cannot_be_had() {
    let running = start();
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("a bound socket");
    let text = says("changed") + &format!("[[listeners]]\nbind = \"{taken}\"\n");
    running.dir.write("lb.toml", &text);
    let reloaded = lbd(&running.dir, &["reload", "-c", "lb.toml"]);
    assert_ne!(reloaded.code, Some(0), "{reloaded:?}");
    let said = format!("cannot listen on {taken}: another process listens there");
    assert!(reloaded.err.contains(&said), "{}", reloaded.err);
    assert_eq!(get(running.addr, "/").body, "hello");
}

#[test]
fn the_command_finds_the_socket_by_its_option_too() {
    let running = start();
    running.dir.write("lb.toml", &says("changed"));
    let socket = running.dir.file("control.sock").display().to_string();
    let elsewhere = Dir::new();
    let reloaded = lbd(&elsewhere, &["reload", "--control", &socket]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_eq!(get(running.addr, "/").body, "changed");
}

#[test]
fn with_nobody_running_the_command_ends_with_1_and_says_so() {
    let dir = Dir::new();
    dir.write("lb.toml", &says("hello"));
    let reloaded = lbd(&dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(reloaded.code, Some(1), "{reloaded:?}");
    let socket = dir.file("control.sock").display().to_string();
    assert!(
        reloaded
            .err
            .starts_with(&format!("lbd: no running lbd answers ({socket})")),
        "{}",
        reloaded.err
    );
}

#[test]
fn a_relative_file_is_found_again_and_its_level_followed() {
    let running = start();
    let louder = File {
        log: "access = \"off\"\nlevel = \"debug\"",
        rest: HELLO,
        ..File::default()
    };
    running.dir.write(
        "lb.toml",
        &louder.text().replace(
            "bind = \"127.0.0.1:0\"",
            "bind = [\"127.0.0.1:0\", \"127.0.0.2:0\"]",
        ),
    );
    running.process.signal(Signal::HUP);
    running.process.err.wait_for("listening on 127.0.0.2:");
    // A request that is refused is worth a line at this level only.
    let mut client = Client::connect(running.addr);
    client.send("GET", "/\u{1}");
    running.process.err.wait_for("DEBUG");
}
