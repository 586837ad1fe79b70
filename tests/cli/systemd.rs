//! sd_notify(3): what the service manager is told, and when.

use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Dir, Lbd, Process, lbd::command as lbd_command};
use crate::support::{Client, Manager, Slow, get, says};

fn start(manager: &Manager, text: &str, variables: &[(&str, &str)]) -> Lbd {
    let mut all = vec![("NOTIFY_SOCKET", manager.path())];
    all.extend(variables);
    Lbd::start(text, &all)
}

#[test]
fn ready_comes_when_the_listener_accepts() {
    let manager = Manager::new();
    let dir = Dir::new();
    dir.write("lb.toml", &says("hello"));
    let mut command = lbd_command(&dir, &["-c", "lb.toml"]);
    let process = Process::spawn(command.env("NOTIFY_SOCKET", manager.path()));
    assert_eq!(manager.next(), ["READY=1"]);
    // Whatever it says after READY is too late to be waited for.
    let said = process.err.wait_for("listening on ");
    let address = said.split("listening on ").nth(1).unwrap_or_default();
    let address = address.split(' ').next().unwrap_or_default();
    assert_eq!(get(address.parse().expect("an address"), "/").body, "hello");
}

#[test]
fn hup_is_told_from_reloading_to_ready() {
    let manager = Manager::new();
    let lbd = start(&manager, &says("hello"), &[]);
    manager.wait_for("READY=1");
    lbd.dir.write("lb.toml", &says("changed"));
    lbd.process.signal(Signal::HUP);
    is_reloading(&manager.next());
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(get(lbd.addr, "/").body, "changed");
}

#[test]
fn a_reload_that_fails_is_over_too() {
    let manager = Manager::new();
    let lbd = start(&manager, &says("hello"), &[]);
    manager.wait_for("READY=1");
    lbd.dir.write("lb.toml", "nonsense");
    lbd.process.signal(Signal::HUP);
    is_reloading(&manager.next());
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(get(lbd.addr, "/").body, "hello");
}

fn is_reloading(message: &[String]) {
    let [reloading, time] = message else {
        panic!("{message:?}");
    };
    assert_eq!(reloading, "RELOADING=1");
    let time = time.strip_prefix("MONOTONIC_USEC=");
    time.and_then(|usec| usec.parse::<u64>().ok())
        .expect("the time of the reload");
}

#[test]
fn stopping_is_told_before_the_requests_in_flight_end() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let manager = Manager::new();
        let mut slow = Slow::new();
        let mut lbd = start(&manager, &slow.file(""), &[]);
        manager.wait_for("READY=1");
        let mut client = Client::connect(lbd.addr);
        slow.hold(&mut client);
        lbd.process.signal(signal);
        assert_eq!(manager.next(), ["STOPPING=1"]);
        slow.finish(&mut client);
        assert_eq!(lbd.process.finish().code, Some(0));
    }
}

#[test]
fn the_watchdog_is_fed() {
    let manager = Manager::new();
    let _lbd = start(&manager, &says("hello"), &[("WATCHDOG_USEC", "20000")]);
    for _ in 0..5 {
        manager.wait_for("WATCHDOG=1");
    }
}

/// lbd with a watchdog for the process that `pid`, a shell word, names.
fn with_watchdog_for(pid: &str, manager: &Manager, dir: &Dir) -> Process {
    dir.write("lb.toml", &says("hello"));
    let script = format!("WATCHDOG_PID={pid} exec \"$0\" -c lb.toml");
    let lbd = lbd_command(dir, &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(lbd.get_program());
    shell.current_dir(dir.path());
    shell.env("NOTIFY_SOCKET", manager.path());
    Process::spawn(shell.env("WATCHDOG_USEC", "1000"))
}

#[test]
fn the_watchdog_is_fed_if_it_is_ours() {
    let (manager, dir) = (Manager::new(), Dir::new());
    let _lbd = with_watchdog_for("$$", &manager, &dir);
    manager.wait_for("WATCHDOG=1");
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let (manager, dir) = (Manager::new(), Dir::new());
    let lbd = with_watchdog_for("1", &manager, &dir);
    assert_eq!(manager.next(), ["READY=1"]);
    // Each reload takes longer than the watchdog's millisecond.
    for _ in 0..10 {
        lbd.signal(Signal::HUP);
        is_reloading(&manager.next());
        assert_eq!(manager.next(), ["READY=1"]);
    }
}

/// The manager's watchdog ends with STOPPING=1, and a worker that waits for its last request is not one that hangs.
#[test]
fn waiting_for_the_last_requests_is_no_alarm() {
    let manager = Manager::new();
    let mut slow = Slow::new();
    let text = slow.file("shutdown_timeout = \"1s\"");
    let mut lbd = start(&manager, &text, &[("WATCHDOG_USEC", "400000")]);
    manager.wait_for("READY=1");
    let mut client = Client::connect(lbd.addr);
    slow.hold(&mut client);
    lbd.process.signal(Signal::TERM);
    let ended = lbd.process.finish();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.err.contains("watchdog is not fed"), "{}", ended.err);
}

#[test]
fn without_a_manager_nothing_is_amiss() {
    let lbd = Lbd::start(&says("hello"), &[("NOTIFY_SOCKET", "/nonexistent/notify")]);
    assert_eq!(get(lbd.addr, "/").body, "hello");
}
