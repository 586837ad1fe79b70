//! PHP, whose sessions are files that one server has: a client stays with the server that has made its session.

use std::{fs, process::Stdio};

use rustix::process::Signal;

use crate::harness::{Dir, Lbd, Process};
use crate::support::{Port, are_here, curl, front, program, url};

/// Says whose it is, and how often this session has come.
const PAGE: &str = "<?php session_start(); $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
echo getenv('NODE'), ' ', $_SESSION['count'];";

struct Php {
    process: Process,
    port: Port,
    _dir: Dir,
}

impl Php {
    fn start(node: &str) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        fs::write(dir.file("index.php"), PAGE).expect("a file of our own");
        let sessions = format!("session.save_path={}", dir.path().display());
        let mut php = program("php");
        php.args(["-d", &sessions, "-S", &port.to_string(), "index.php"])
            .env("NODE", node)
            .current_dir(dir.path())
            .stdin(Stdio::null());
        let process = Process::spawn(&mut php);
        port.until_it_listens();
        Self {
            process,
            port,
            _dir: dir,
        }
    }
}

/// Two of them, and a client with a jar for its cookies.
struct Site {
    lbd: Lbd,
    a: Php,
    _b: Php,
    jar: Dir,
}

impl Site {
    fn start(keys: &str) -> Option<Self> {
        if !are_here(&["php", "curl"]) {
            return None;
        }
        let (a, b) = (Php::start("a"), Php::start("b"));
        let servers = [&a, &b].map(|php| format!("\"{}\"", php.port));
        Some(Self {
            lbd: front(&servers, keys),
            a,
            _b: b,
            jar: Dir::new(),
        })
    }

    /// What the client with this jar is answered.
    fn visit(&self, jar: &str) -> String {
        let jar = self.jar.file(jar).display().to_string();
        let fetched = curl(&["-b", &jar, "-c", &jar, &url(&self.lbd, "/")]);
        assert_eq!(fetched.status, 200, "{}", fetched.head);
        String::from_utf8(fetched.body).expect("a page is text")
    }
}

#[test]
fn a_client_stays_where_its_session_is() {
    let Some(site) = Site::start("sticky = { learn = \"PHPSESSID\" }") else {
        return;
    };
    for (jar, node) in [("one", "a"), ("two", "b")] {
        for visit in 1..=6 {
            assert_eq!(site.visit(jar), format!("{node} {visit}"));
        }
    }
}

#[test]
fn it_does_not_where_nobody_learns() {
    let Some(site) = Site::start("") else { return };
    let visits = [(); 4].map(|()| site.visit("one"));
    assert_eq!(visits, ["a 1", "b 1", "a 2", "b 2"]);
}

#[test]
fn one_whose_server_has_died_begins_anew_at_the_other_and_stays_there() {
    let keys = "sticky = { learn = \"PHPSESSID\" }";
    let Some(mut site) = Site::start(keys) else {
        return;
    };
    assert_eq!(site.visit("one"), "a 1");
    site.a.process.signal(Signal::KILL);
    site.a.process.finish();
    for visit in 1..=4 {
        assert_eq!(site.visit("one"), format!("b {visit}"));
    }
}
