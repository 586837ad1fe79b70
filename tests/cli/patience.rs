//! Reloads that wait for a new server to be checked: whoever leaves meanwhile leaves nothing half done, and the end does
//! not wait with them.

use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

use rustix::process::Signal;

use crate::harness::{File, Lbd, Process, lbd::command as lbd_command, until};
use crate::support::{get, lbd};

/// A server that takes connections, and says nothing.
struct Hanging(TcpListener);

impl Hanging {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of our own");
        Self(listener)
    }

    fn addr(&self) -> String {
        let addr = self.0.local_addr().expect("a bound socket");
        addr.to_string()
    }

    /// The next check, as soon as it is there.
    fn accept(&self) -> TcpStream {
        until("the server is checked", || match self.0.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                None
            }
        })
    }
}

/// A file that says `word`, with a pool of this server and these keys.
fn text(word: &str, server: &str, keys: &str) -> String {
    let rest = format!(
        "[[routes]]\npath = \"/\"\nrespond = {{ status = 200, body = \"{word}\" }}\n\
         [[routes]]\npath = \"/app/\"\npool = \"app\"\n\
         [pools.app]\nservers = [\"{server}\"]\n{keys}\n"
    );
    File {
        top: "shutdown_timeout = \"1h\"",
        rest: &rest,
        ..File::default()
    }
    .text()
}

/// Where nobody listens, nor is anybody asked.
const OLD: &str = "127.0.0.1:1";

/// lbd whose next reload, of a file that says "new", waits for this server to be checked, for so long.
fn about_to_wait(hanging: &Hanging, timeout: &str) -> Lbd {
    let running = Lbd::start(&text("old", OLD, ""), &[]);
    running.process.err.wait_for("control socket ");
    let health = format!("health = {{ check = \"http\", timeout = \"{timeout}\" }}");
    let new = text("new", &hanging.addr(), &health);
    running.dir.write("lb.toml", &new);
    running
}

/// `POST /api/v1/reload`, whose answer nobody has read yet.
fn ask(running: &Lbd) -> UnixStream {
    let socket = running.dir.file("control.sock");
    let mut stream = UnixStream::connect(socket).expect("lbd accepts");
    let request = "POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("lbd reads");
    stream
}

fn status(running: &Lbd) -> String {
    let ended = lbd(&running.dir, &["status", "-c", "lb.toml"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

/// The new file is served, and nothing of the old.
fn is_reloaded(running: &Lbd, hanging: &Hanging) {
    let said = until("the new server is there", || {
        let said = status(running);
        said.contains(&hanging.addr()).then_some(said)
    });
    assert!(!said.contains(OLD), "{said}");
    until("the new routes are", || {
        (get(running.addr, "/").body == "new").then_some(())
    });
}

// === whoever asked for it leaves ===

#[test]
fn a_reload_is_completed_though_whoever_asked_for_it_has_left() {
    let hanging = Hanging::new();
    let running = about_to_wait(&hanging, "300ms");
    let asked = ask(&running);
    let _check = hanging.accept();
    drop(asked);
    is_reloaded(&running, &hanging);
    let said = status(&running);
    assert!(said.contains(" out "), "{said}");
}

#[test]
fn so_it_is_when_lbd_reload_is_killed() {
    let hanging = Hanging::new();
    let running = about_to_wait(&hanging, "300ms");
    let command = &mut lbd_command(&running.dir, &["reload", "-c", "lb.toml"]);
    let asking = Process::spawn(command);
    let _check = hanging.accept();
    drop(asking);
    is_reloaded(&running, &hanging);
}

#[test]
fn the_next_reload_is_as_good_as_any() {
    let hanging = Hanging::new();
    let running = about_to_wait(&hanging, "300ms");
    let asked = ask(&running);
    let _check = hanging.accept();
    drop(asked);
    running.dir.write("lb.toml", &text("third", OLD, ""));
    let ended = lbd(&running.dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(get(running.addr, "/").body, "third");
    let said = status(&running);
    assert!(said.contains(OLD), "{said}");
    assert!(!said.contains(&hanging.addr()), "{said}");
}

// === the end ===

/// lbd ends at the last of these signals, though it reloads, by a signal, a file with a server that is not done being
/// checked for an hour.
fn ends_by(signals: &[Signal]) {
    let hanging = Hanging::new();
    let mut running = about_to_wait(&hanging, "1h");
    running.process.signal(Signal::HUP);
    let _check = hanging.accept();
    assert_eq!(get(running.addr, "/").body, "old", "it serves meanwhile");
    for signal in signals {
        running.process.signal(*signal);
    }
    let ended = running.process.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("INFO stopped\n"), "{}", ended.err);
}

#[test]
fn one_who_asks_twice_at_once_is_heard_though_a_reload_waits() {
    for _ in 0..8 {
        ends_by(&[Signal::TERM, Signal::INT, Signal::TERM]);
    }
}

#[test]
fn term_ends_lbd_though_a_reload_waits() {
    ends_by(&[Signal::TERM]);
}

#[test]
fn quit_ends_lbd_though_a_reload_waits() {
    ends_by(&[Signal::QUIT]);
}

#[test]
fn nor_does_term_wait_with_one_who_wants_the_log_reopened() {
    ends_by(&[Signal::USR1, Signal::TERM]);
}

#[test]
fn term_ends_it_though_somebody_waits_for_the_reload() {
    let hanging = Hanging::new();
    let mut running = about_to_wait(&hanging, "1h");
    let command = &mut lbd_command(&running.dir, &["reload", "-c", "lb.toml"]);
    let mut asking = Process::spawn(command);
    let _check = hanging.accept();
    running.process.signal(Signal::TERM);
    assert_eq!(running.process.finish().code, Some(0));
    assert_ne!(asking.finish().code, Some(0), "nothing was reloaded");
}
