//! Starting up: what it says, what it makes, and what stops it.

use std::{fs, os::unix::fs::PermissionsExt};

use rustix::process::Signal;

use crate::harness::{Dir, File, Lbd, Process, lbd::command as lbd_command};
use crate::support::{HELLO, get, lbd, says};

#[test]
fn start_up_lines_name_listeners_pools_and_servers() {
    let lbd = File {
        rest: "[[listeners]]\nbind = \"127.0.0.2:0\"\n[[routes]]\npath = \"/\"\npool = \"app\"\n\
               [[routes]]\npath = \"/one/\"\npool = \"one\"\n\
               [pools.app]\nservers = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"]\n\
               [pools.one]\nservers = [\"127.0.0.1:1\"]\nbalance = \"ip_hash\"",
        ..File::default()
    }
    .start();
    lbd.process.err.wait_for("listening on 127.0.0.1:");
    let named = lbd.process.err.wait_for("(public)");
    assert!(named.contains(&lbd.addr.to_string()), "{named}");
    lbd.process.err.wait_for("listening on 127.0.0.2:");
    lbd.process.err.wait_for("pool app: 3 servers, round_robin");
    lbd.process.err.wait_for("pool one: 1 server, ip_hash");
    lbd.process.err.wait_for("2 workers");
}

#[test]
fn warnings_of_the_file_are_shown_at_the_start() {
    let lbd = Lbd::start(&says("hello"), &[]);
    lbd.process.err.wait_for("lb.toml:8:8: warning: port 0");
}

#[test]
fn it_serves_when_it_says_so() {
    let lbd = Lbd::start(&says("hello"), &[]);
    assert_eq!(get(lbd.addr, "/").body, "hello");
}

#[test]
fn the_control_socket_is_its_owner_s_and_gone_after_the_end() {
    let mut lbd = Lbd::start(&says("hello"), &[]);
    lbd.process.err.wait_for("control socket ");
    let path = lbd.dir.file("control.sock");
    let mode = fs::metadata(&path)
        .expect("the socket is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(lbd.stop().code, Some(0));
    let left: Vec<_> = fs::read_dir(lbd.dir.path())
        .expect("our own directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["lb.toml"]);
}

#[test]
fn a_second_lbd_on_the_same_control_socket_is_refused() {
    let mut first = Lbd::start(&says("hello"), &[]);
    let second = lbd(&first.dir, &["-c", "lb.toml"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    let path = first.dir.file("control.sock");
    let said = format!(
        "lbd: control socket {}: another lbd answers there",
        path.display()
    );
    assert!(second.err.contains(&said), "{}", second.err);
    assert!(path.exists(), "the first one's socket stays");
    assert_eq!(get(first.addr, "/").body, "hello");
    assert_eq!(lbd(&first.dir, &["reload", "-c", "lb.toml"]).code, Some(0));
    assert_eq!(first.stop().code, Some(0));
}

#[test]
fn a_control_socket_that_a_killed_lbd_left_behind_is_replaced() {
    let mut first = Lbd::start(&says("hello"), &[]);
    first.process.err.wait_for("control socket ");
    first.process.signal(Signal::KILL);
    first.process.finish();
    assert!(first.dir.file("control.sock").exists());
    let second = Process::spawn(&mut lbd_command(&first.dir, &["-c", "lb.toml"]));
    second.err.wait_for("control socket ");
    assert_eq!(lbd(&first.dir, &["reload", "-c", "lb.toml"]).code, Some(0));
}

#[test]
fn a_control_socket_that_cannot_be_made_is_named_with_the_reason() {
    let dir = Dir::new();
    let file = File {
        control: "@DIR@/absent/control.sock",
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    let started = lbd(&dir, &["-c", "lb.toml"]);
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(
        started.err.contains("absent/control.sock: No such file"),
        "{}",
        started.err
    );
}

/// The file of a second lbd that wants the port of `first`.
fn on_the_port_of(first: &Lbd, top: &str) -> Dir {
    let dir = Dir::new();
    let file = File {
        top,
        rest: HELLO,
        ..File::default()
    };
    let text = file.text().replace("127.0.0.1:0", &first.addr.to_string());
    dir.write("lb.toml", &text);
    dir
}

#[test]
fn a_second_lbd_on_the_same_port_is_refused() {
    let first = Lbd::start(&says("hello"), &[]);
    let dir = on_the_port_of(&first, "");
    let second = lbd(&dir, &["-c", "lb.toml"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    let said = format!(
        "lbd: cannot listen on {}: another process listens there",
        first.addr
    );
    assert!(second.err.contains(&said), "{}", second.err);
    assert_eq!(get(first.addr, "/").body, "hello");
}

#[test]
fn a_start_that_is_refused_leaves_nothing_behind() {
    let first = Lbd::start(&says("hello"), &[]);
    let dir = on_the_port_of(&first, "pid = \"@DIR@/pid\"");
    assert_eq!(lbd(&dir, &["-c", "lb.toml"]).code, Some(1));
    for name in ["pid", "control.sock"] {
        assert!(!dir.file(name).exists(), "{name} is left");
    }
}

#[test]
fn the_pid_file_is_written_and_removed() {
    let mut lbd = File {
        top: "pid = \"@DIR@/pid\"",
        rest: HELLO,
        ..File::default()
    }
    .start();
    lbd.process.err.wait_for("control socket ");
    let pid = fs::read_to_string(lbd.dir.file("pid")).expect("the pid file");
    assert_eq!(pid, format!("{}\n", lbd.process.id()));
    assert_eq!(lbd.stop().code, Some(0));
    assert!(!lbd.dir.file("pid").exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_named_and_ends_the_start() {
    let dir = Dir::new();
    let file = File {
        top: "pid = \"@DIR@/absent/pid\"",
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    let started = lbd(&dir, &["-c", "lb.toml"]);
    assert_eq!(started.code, Some(1), "{started:?}");
    let said = format!(
        "lbd: pid file {}: No such file",
        dir.file("absent/pid").display()
    );
    assert!(started.err.contains(&said), "{}", started.err);
}

#[test]
fn an_access_log_that_cannot_be_opened_is_named_and_ends_the_start() {
    let dir = Dir::new();
    let file = File {
        // A directory in which nobody can make a file.
        log: "access = \"/proc/access.log\"",
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    let started = lbd(&dir, &["-c", "lb.toml"]);
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(
        started.err.contains("lbd: access log /proc/access.log: "),
        "{}",
        started.err
    );
}
