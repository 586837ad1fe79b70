//! `lbd demo`. Its app servers have fixed addresses, so that there can be one at a time.

use std::{fs, net::SocketAddr, path::Path};

use rustix::process::Signal;

use crate::harness::{Dir, Process, lbd::command as lbd_command, until};
use crate::support::{get, lbd, post};

#[test]
fn the_file_that_is_printed_passes() {
    let dir = Dir::new();
    let printed = lbd(&dir, &["demo", "--print-config"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    dir.write("demo.toml", &printed.out);
    let checked = lbd(&dir, &["check", "demo.toml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.out, "demo.toml: good\n");
}

#[test]
fn the_file_that_is_printed_has_the_port_that_was_asked_for() {
    let printed = lbd(&Dir::new(), &["demo", "--port", "8223", "--print-config"]);
    assert!(
        printed.out.contains("bind = \"127.0.0.1:8223\""),
        "{}",
        printed.out
    );
    assert!(!printed.out.contains("8100"), "{}", printed.out);
}

/// The addresses of the demo's app servers belong to whoever holds this.
fn alone() -> fs::File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lbd-demo.lock");
    let file = fs::File::create(path).expect("cargo's directory for tests");
    file.lock().expect("a lock");
    file
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket").port()
}

fn demo(dir: &Dir, port: u16) -> Process {
    let port = port.to_string();
    Process::spawn(&mut lbd_command(dir, &["demo", "--port", &port]))
}

#[test]
fn three_apps_are_served_and_a_stopped_server_goes_unnoticed() {
    let _alone = alone();
    let dir = Dir::new();
    let port = free_port();
    let front = SocketAddr::from(([127, 0, 0, 1], port));
    let mut running = demo(&dir, port);
    running.out.wait_for("Ctrl-C ends it");

    for (app, servers) in [
        ("app_a", ["127.0.0.135:8101", "127.0.0.228:8101"]),
        ("app_b", ["127.0.0.135:8102", "127.0.0.228:8102"]),
        ("UserService", ["127.0.0.135:22345", "127.0.0.228:22345"]),
    ] {
        running.out.wait_for(&format!("http://{front}/{app}/"));
        let mut answers = [(); 2].map(|()| get(front, &format!("/{app}/x")).body);
        answers.sort_unstable();
        let expected = servers.map(|server| format!("{app} on {server}: GET /{app}/x\n"));
        assert_eq!(answers, expected, "both servers take their turns");
    }

    let server: SocketAddr = "127.0.0.135:8101".parse().expect("an address");
    assert_eq!(post(server, "/__stop").status, 200);
    for _ in 0..20 {
        let answer = get(front, "/app_a/");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("127.0.0.228:8101"), "{answer:?}");
    }
    assert_eq!(post(server, "/__start").status, 200);
    until("the server is back", || {
        let answer = get(front, "/app_a/");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.contains("127.0.0.135:8101").then_some(())
    });
    let line = running
        .out
        .wait_for("servers=\"127.0.0.135:8101, 127.0.0.228:8101\"");
    assert!(line.contains("\"GET /app_a/ HTTP/1.1\" 200 "), "{line}");

    let refused = demo(&dir, free_port()).finish();
    assert_eq!(refused.code, Some(1), "a second demo: {refused:?}");
    assert!(
        refused.err.contains("app server 127.0.0.135:"),
        "{}",
        refused.err
    );

    running.signal(Signal::INT);
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("\nstopped\n"), "{}", ended.out);

    let _taken = std::net::TcpListener::bind(front).expect("the demo is gone");
    let refused = demo(&dir, port).finish();
    assert_eq!(
        refused.code,
        Some(1),
        "on a port that is taken: {refused:?}"
    );
    assert!(
        refused.err.contains("another process listens there"),
        "{}",
        refused.err
    );
}
