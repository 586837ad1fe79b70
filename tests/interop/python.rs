//! Python's http.server: HTTP/1.0, a connection for each request.

use std::{fs, process::Stdio};

use crate::harness::{Dir, Lbd, Process};
use crate::support::{are_here, curl, front, noise, program, url};

struct Site {
    lbd: Lbd,
    _python: Process,
    _dir: Dir,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["python3", "curl"]) {
            return None;
        }
        let dir = Dir::new();
        fs::write(dir.file("1m"), noise(1 << 20)).expect("a file of our own");
        let mut python = program("python3");
        python.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        python.current_dir(dir.path()).stdin(Stdio::null());
        let python = Process::spawn(&mut python);
        let line = python.out.wait_for("Serving HTTP on 127.0.0.1 port ");
        let port = line.split(' ').nth(5).expect("a port");
        let lbd = front(&[format!("\"127.0.0.1:{port}\"")], "");
        Some(Self {
            lbd,
            _python: python,
            _dir: dir,
        })
    }
}

#[test]
fn a_body_comes_byte_for_byte() {
    let Some(site) = Site::start() else { return };
    let fetched = curl(&[&url(&site.lbd, "/1m")]);
    assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
    assert!(
        fetched.head.starts_with("HTTP/1.1 200 "),
        "{}",
        fetched.head
    );
    assert!(fetched.body == noise(1 << 20));
}

#[test]
fn the_client_keeps_its_connection() {
    let Some(site) = Site::start() else { return };
    let url = url(&site.lbd, "/1m");
    let fetched = curl(&["-w", "%{response_code} %{num_connects}\n", &url, &url, &url]);
    assert_eq!(fetched.values, ["200 1", "200 0", "200 0"]);
}

#[test]
fn head_and_404_and_501_are_passed_on() {
    let Some(site) = Site::start() else { return };
    let head = curl(&["-I", &url(&site.lbd, "/1m")]);
    assert_eq!((head.exit, head.status), (0, 200), "{}", head.head);
    assert_eq!(head.field("Content-Length"), Some("1048576"));
    let absent = curl(&[&url(&site.lbd, "/absent")]);
    assert_eq!((absent.exit, absent.status), (0, 404), "{}", absent.head);
    let posted = curl(&["-d", "x=1", &url(&site.lbd, "/1m")]);
    assert_eq!((posted.exit, posted.status), (0, 501), "{}", posted.head);
}
