//! `-s`, nginx's way: over the control socket, or by the pid file where there is none.

use std::{fs, process::Command};

use crate::harness::{Dir, File, Lbd, Process, until};
use crate::support::{Client, HELLO, Slow, get, lbd, says};

/// Without a control socket, with a pid file and an access log.
const BY_PID: File<'_> = File {
    top: "pid = \"@DIR@/pid\"",
    control: "off",
    log: "access = \"@DIR@/access.log\"",
    listener: "",
    rest: HELLO,
};

/// The same, reachable by socket.
const BY_SOCKET: File<'_> = File {
    control: "@DIR@/control.sock",
    ..BY_PID
};

fn start(file: File<'_>) -> Lbd {
    let lbd = file.start();
    until("the pid file is written", || {
        fs::read_to_string(lbd.dir.file("pid"))
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    lbd
}

fn signal(running: &Lbd, name: &str) -> String {
    let sent = lbd(&running.dir, &["-s", name, "-c", "lb.toml"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    sent.out
}

/// Changes the file, sends reload, and sees the change.
fn reloads(file: File<'_>) -> String {
    let lbd = start(file);
    let changed = HELLO.replace("hello", "changed");
    let rest = changed.as_str();
    lbd.dir.write("lb.toml", &File { rest, ..file }.text());
    let said = signal(&lbd, "reload");
    until("the new file is served", || {
        (get(lbd.addr, "/").body == "changed").then_some(())
    });
    said
}

/// Moves the access log away, sends reopen, and sees a new one.
fn reopens(file: File<'_>) -> String {
    let lbd = start(file);
    let (log, moved) = (lbd.dir.file("access.log"), lbd.dir.file("access.log.1"));
    fs::rename(&log, &moved).expect("the log is there");
    let said = signal(&lbd, "reopen");
    until("there is a new log", || log.exists().then_some(()));
    said
}

/// Sends `name` while a request is held, and sees it finished before the end.
fn ends(name: &str, keys: &str, replace: (&str, &str)) -> String {
    let mut slow = Slow::new();
    let mut lbd = Lbd::start(&slow.file(keys).replace(replace.0, replace.1), &[]);
    let mut client = Client::connect(lbd.addr);
    slow.hold(&mut client);
    let said = signal(&lbd, name);
    until("nobody listens", || Client::try_connect(lbd.addr).err());
    slow.finish(&mut client);
    assert_eq!(lbd.process.finish().code, Some(0));
    said
}

const OFF: (&str, &str) = ("control = \"@DIR@/control.sock\"", "control = \"off\"");

#[test]
fn reload_over_the_socket() {
    assert!(reloads(BY_SOCKET).ends_with("reloaded\n"));
}

#[test]
fn reload_by_the_pid_file() {
    assert!(reloads(BY_PID).starts_with("sent Reload to process "));
}

#[test]
fn reopen_over_the_socket() {
    assert_eq!(reopens(BY_SOCKET), "access log reopened\n");
}

#[test]
fn reopen_by_the_pid_file() {
    assert!(reopens(BY_PID).starts_with("sent Reopen to process "));
}

#[test]
fn stop_over_the_socket() {
    assert_eq!(ends("stop", "", ("", "")), "stopping\n");
}

#[test]
fn stop_by_the_pid_file() {
    let said = ends("stop", "pid = \"@DIR@/pid\"", OFF);
    assert!(said.starts_with("sent Stop to process "), "{said}");
}

#[test]
fn quit_over_the_socket() {
    assert_eq!(ends("quit", "", ("", "")), "stopping\n");
}

#[test]
fn quit_by_the_pid_file() {
    let said = ends("quit", "pid = \"@DIR@/pid\"", OFF);
    assert!(said.starts_with("sent Quit to process "), "{said}");
}

#[test]
fn stop_hurries_a_quit_that_waits() {
    let mut slow = Slow::new();
    let mut lbd = Lbd::start(&slow.file("shutdown_timeout = \"10ms\""), &[]);
    let mut client = Client::connect(lbd.addr);
    slow.hold(&mut client);
    signal(&lbd, "quit");
    lbd.process
        .err
        .wait_for("stopping when the last request has ended");
    signal(&lbd, "stop");
    assert_eq!(lbd.process.finish().code, Some(0));
    assert!(client.receive().is_err(), "the request is cut off");
}

#[test]
fn a_reopen_that_fails_says_why() {
    let running = start(BY_SOCKET);
    fs::remove_file(running.dir.file("access.log")).expect("the log is there");
    fs::create_dir(running.dir.file("access.log")).expect("its name is free");
    let sent = lbd(&running.dir, &["-s", "reopen", "-c", "lb.toml"]);
    assert_ne!(sent.code, Some(0), "{sent:?}");
    assert!(
        sent.err.contains("access.log: Is a directory"),
        "{}",
        sent.err
    );
}

#[test]
fn with_nobody_running_every_signal_ends_with_1() {
    let dir = Dir::new();
    for file in [BY_SOCKET, BY_PID] {
        dir.write("lb.toml", &file.text());
        for name in ["reload", "stop", "quit", "reopen"] {
            let sent = lbd(&dir, &["-s", name, "-c", "lb.toml"]);
            assert_eq!(sent.code, Some(1), "{sent:?}");
            assert!(sent.err.contains("no running lbd"), "{}", sent.err);
        }
    }
}

#[test]
fn a_pid_file_of_a_process_that_is_gone_is_nobody() {
    let dir = Dir::new();
    let mut gone = Process::spawn(&mut Command::new("true"));
    gone.finish();
    dir.write("lb.toml", &BY_PID.text());
    dir.write("pid", &format!("{}\n", gone.id()));
    let sent = lbd(&dir, &["-s", "reload", "-c", "lb.toml"]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.err.contains("no running lbd"), "{}", sent.err);
}

#[test]
fn a_broken_file_does_not_keep_stop_from_reaching_the_socket() {
    let mut lbd = start(BY_SOCKET);
    lbd.dir
        .write("lb.toml", &(BY_SOCKET.text() + "nonsense = 1\n"));
    signal(&lbd, "stop");
    assert_eq!(lbd.process.finish().code, Some(0));
}

#[test]
fn a_broken_file_does_not_keep_stop_from_reaching_the_pid() {
    let mut lbd = start(BY_PID);
    lbd.dir
        .write("lb.toml", &(BY_PID.text() + "nonsense = 1\n"));
    signal(&lbd, "stop");
    assert_eq!(lbd.process.finish().code, Some(0));
}

#[test]
fn a_broken_file_is_reported_by_a_reload_by_the_pid_file() {
    let running = start(BY_PID);
    running
        .dir
        .write("lb.toml", &(BY_PID.text() + "nonsense = 1\n"));
    let sent = lbd(&running.dir, &["-s", "reload", "-c", "lb.toml"]);
    assert_eq!(sent.code, Some(78), "{sent:?}");
    assert!(sent.err.contains(": error: "), "{}", sent.err);
}

#[test]
fn a_control_socket_answers_others_than_lbd() {
    let lbd = Lbd::start(&says("hello"), &[]);
    lbd.process.err.wait_for("control socket ");
    let refused = ask(&lbd, "GET /api/v1/reload");
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
    let absent = ask(&lbd, "POST /api/v1/dance");
    assert!(absent.starts_with("HTTP/1.1 404"), "{absent}");
    let done = ask(&lbd, "POST /api/v1/reload");
    assert!(done.starts_with("HTTP/1.1 200"), "{done}");
}

fn ask(lbd: &Lbd, request: &str) -> String {
    use std::io::{Read, Write};
    let socket = lbd.dir.file("control.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("lbd accepts");
    let request = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("lbd reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("lbd answers");
    answer
}
