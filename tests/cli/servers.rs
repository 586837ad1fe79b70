//! `lbd down` and `up` where somebody is careless, or caches are cold.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
};

use crate::harness::{File, Lbd, process::Finished};
use crate::support::{Client, lbd, named};

/// Two servers, a and b, and lbd before them.
struct Site {
    lbd: Lbd,
    a: SocketAddr,
}

impl Site {
    /// With these keys of the pool.
    fn start(keys: &str) -> Self {
        let (a, b) = (named("a"), named("b"));
        let rest = format!(
            "[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\nservers = [\"{a}\", \"{b}\"]\n{keys}\n"
        );
        let file = File {
            rest: &rest,
            ..File::default()
        };
        let lbd = file.start();
        lbd.process.err.wait_for("control socket ");
        Self { lbd, a }
    }

    fn run(&self, args: &[&str]) -> Finished {
        lbd(&self.lbd.dir, &[args, &["-c", "lb.toml"]].concat())
    }

    /// `lbd VERB app A`.
    fn order(&self, verb: &str) {
        let ended = self.run(&[verb, "app", &self.a.to_string()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// How many of a hundred requests, one after the other, each of them answers.
    fn shares(&self) -> [usize; 2] {
        let mut client = Client::connect(self.lbd.addr);
        let names: Vec<_> = (0..100).map(|_| client.get("/").body).collect();
        ["a", "b"].map(|name| names.iter().filter(|said| *said == name).count())
    }

    /// Both are up, and nobody has ordered anything.
    fn is_as_it_was(&self) {
        let said = self.run(&["status"]).out;
        assert!(said.contains(": 2 of 2 live"), "{said}");
        assert!(!said.contains(" by "), "{said}");
        assert_eq!(self.shares(), [50, 50]);
    }
}

// === a server without a name ===

/// What the control socket says to `PATCH TARGET` with an order to be down.
fn patch(site: &Site, target: &str) -> String {
    let socket = site.lbd.dir.file("control.sock");
    let mut stream = UnixStream::connect(socket).expect("lbd accepts");
    let body = r#"{ "state": "down" }"#;
    let fields = format!("Connection: close\r\nContent-Length: {}", body.len());
    let text = format!("PATCH {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).expect("lbd reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("lbd answers");
    answer
}

#[test]
fn an_order_for_nobody_is_400_and_changes_nothing() {
    let site = Site::start("");
    let answer = patch(&site, "/api/v1/pools/app/servers/");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with("name a server, as the file calls it\n"),
        "{answer}"
    );
    site.is_as_it_was();
}

#[test]
fn a_command_for_nobody_ends_with_2_and_changes_nothing() {
    let site = Site::start("");
    for verb in ["down", "drain", "up"] {
        let ended = site.run(&[verb, "app", ""]);
        assert_eq!((ended.code, &*ended.out), (Some(2), ""), "{ended:?}");
        assert!(ended.err.contains("SERVER"), "{}", ended.err);
    }
    site.is_as_it_was();
}

// === a server that has just been brought up ===

#[test]
fn a_server_that_is_up_again_is_warmed_up_by_every_method() {
    for method in ["least_conn", "round_robin", "random"] {
        let keys = format!("balance = \"{method}\"\nslow_start = \"10m\"");
        let site = Site::start(&keys);
        site.order("down");
        assert_eq!(site.shares(), [0, 100], "{method}");
        site.order("up");
        let [a, b] = site.shares();
        assert!(a < 20 && a + b == 100, "{method}: {a} and {b}");
    }
}

#[test]
fn without_slow_start_it_has_its_share_at_once() {
    let site = Site::start("balance = \"least_conn\"");
    site.order("down");
    assert_eq!(site.shares(), [0, 100]);
    site.order("up");
    let [a, b] = site.shares();
    assert!((45..=55).contains(&a) && a + b == 100, "{a} and {b}");
}
