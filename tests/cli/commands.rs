//! `lbd status`, `events` and `upstream`: the running lbd as it is seen and changed from a terminal. And what the commands
//! say of themselves, to shells and to readers of manuals.

mod events;
mod manual;
mod status;
mod upstream;

use std::fs;

use serde_json::Value;

use crate::harness::{Dir, File, Lbd, Process, lbd::command as lbd_command, process::Finished};
use crate::support::{Client, HELLO, lbd, named};

/// Two servers, a and b, of the pool `app`, and lbd before them.
#[derive(Debug)]
struct Site {
    lbd: Lbd,
    a: String,
    b: String,
}

impl Site {
    fn start() -> Self {
        Self::with("", "")
    }

    /// With these further keys of the file, and this behind its pool.
    fn with(top: &str, further: &str) -> Self {
        let (a, b) = (named("a").to_string(), named("b").to_string());
        let rest = format!(
            "[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\nservers = [\"{a}\", \"{b}\"]\n{further}\n"
        );
        let file = File {
            top,
            rest: &rest,
            ..File::default()
        };
        let lbd = file.start();
        lbd.process.err.wait_for("control socket ");
        Self { lbd, a, b }
    }

    /// `lbd ARGS`, of the lbd that runs.
    fn run(&self, args: &[&str]) -> Finished {
        lbd(&self.lbd.dir, &[args, &["-c", "lb.toml"]].concat())
    }

    /// The same as long as it goes on.
    fn watch(&self, args: &[&str]) -> Process {
        let args = [args, &["-c", "lb.toml"]].concat();
        Process::spawn(&mut lbd_command(&self.lbd.dir, &args))
    }

    /// It is done; gives what is said.
    fn does(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        ended.out
    }

    /// It cannot be done; gives the line that says why.
    fn refuses(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.err.starts_with("lbd: "), "{}", ended.err);
        ended.err
    }

    /// What `lbd status --json` says.
    fn status(&self) -> Value {
        let said = self.does(&["status", "--json"]);
        let parsed = serde_json::from_str(&said);
        parsed.unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// What it says of this server of the first pool, if there is one.
    fn server(&self, name: &str) -> Option<Value> {
        let status = self.status();
        let servers = status["pools"][0]["servers"].as_array().expect("a list");
        let mut servers = servers.iter();
        servers.find(|server| server["server"] == name).cloned()
    }

    /// Who answers twelve requests.
    fn names(&self) -> String {
        let mut client = Client::connect(self.lbd.addr);
        let mut names: Vec<_> = (0..12).map(|_| client.get("/").body).collect();
        names.sort();
        names.dedup();
        names.concat()
    }

    /// Replaces these words of the file.
    fn edit(&self, from: &str, to: &str) {
        let path = self.lbd.dir.file("lb.toml");
        let text = fs::read_to_string(path).expect("our own file");
        assert!(text.contains(from), "no {from:?} in:\n{text}");
        self.lbd.dir.write("lb.toml", &text.replace(from, to));
    }

    /// Has lbd serve the file with these words replaced.
    fn reload(&self, from: &str, to: &str) {
        self.edit(from, to);
        self.does(&["reload"]);
    }
}

/// The file is one that nobody serves.
fn unserved() -> Dir {
    let dir = Dir::new();
    let file = File {
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    dir
}

/// Every command that speaks to the running lbd, with what it needs.
const SPEAKING: [&[&str]; 7] = [
    &["status"],
    &["status", "--json"],
    &["events"],
    &["events", "--follow"],
    &["upstream", "add", "app", "127.0.0.1:1"],
    &["upstream", "set", "app", "127.0.0.1:1", "--weight", "2"],
    &["upstream", "remove", "app", "127.0.0.1:1"],
];

#[test]
fn with_nobody_running_every_command_ends_with_1() {
    let dir = unserved();
    for args in SPEAKING {
        let ended = lbd(&dir, &[args, &["-c", "lb.toml"]].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{args:?}");
        let said = "lbd: no running lbd answers";
        assert!(ended.err.starts_with(said), "{args:?}: {}", ended.err);
    }
}

#[test]
fn the_socket_can_be_named_in_place_of_the_file() {
    let site = Site::start();
    let socket = site.lbd.dir.file("control.sock").display().to_string();
    let elsewhere = Dir::new();
    let c = named("c").to_string();
    for args in [
        &["status", "--json"][..],
        &["events", "-n", "1"],
        &["upstream", "add", "app", &c],
        &["upstream", "set", "app", &c, "--max-conns", "9"],
        &["upstream", "remove", "app", &c],
    ] {
        let ended = lbd(&elsewhere, &[args, &["--control", &socket]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn arguments_that_are_wrong_end_with_2() {
    let site = Site::start();
    let a = site.a.as_str();
    for args in [
        &["status", "app", "other"][..],
        &["status", "--watch", "0"],
        &["events", "-n", "many"],
        &["upstream"],
        &["upstream", "add", "app"],
        &["upstream", "add", "app", a, "--weight", "0"],
        &["upstream", "add", "app", a, "--weight", "65536"],
        &["upstream", "add", "app", a, "--state", "sideways"],
        &["upstream", "set", "app", a],
        &["upstream", "set", "app", a, "--max-conns", "-1"],
        &["upstream", "remove", "app", a, "--weight", "2"],
        &["upstream", "move", "app", a],
        &["completions", "tcsh"],
    ] {
        let ended = site.run(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(!ended.err.is_empty(), "{args:?}");
    }
    assert_eq!(site.names(), "ab");
}
