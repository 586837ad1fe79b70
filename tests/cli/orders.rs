//! `lbd drain`, `down`, `up` and `status`: what an operator says of servers, and is told of them.

mod api;
mod app;
mod kept;
mod left;
mod maintenance;
mod shown;
mod waits;

use std::fs;

use self::app::App;
use crate::harness::{Dir, File, Lbd, process::Finished};
use crate::support::{Client, HELLO, lbd};

/// Two servers, a and b, and lbd before them.
#[derive(Debug)]
struct Site {
    lbd: Lbd,
    a: App,
    b: App,
}

impl Site {
    fn start() -> Self {
        Self::with("", "")
    }

    /// With these further keys of the file and of the pool.
    fn with(top: &str, keys: &str) -> Self {
        let (a, b) = (App::start("a"), App::start("b"));
        let servers = format!("servers = [\"{}\", \"{}\"]", a.addr(), b.addr());
        let lbd = start(top, &format!("{servers}\n{keys}"));
        Self { lbd, a, b }
    }

    /// `lbd VERB app SERVER`, which is obeyed; gives what it says.
    fn order(&self, verb: &str, app: &App) -> String {
        let ended = run(&self.lbd, &[verb, "app", &app.addr().to_string()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    }

    /// The line of `lbd status` for this server.
    fn line(&self, app: &App) -> String {
        let (status, server) = (status(&self.lbd), app.addr().to_string());
        let line = status.lines().find(|line| line.contains(&server));
        line.unwrap_or_else(|| panic!("{status}")).to_owned()
    }

    /// What it says of its state.
    fn state(&self, app: &App) -> String {
        let line = self.line(app);
        let state = line.split_whitespace().nth(1);
        state.expect("a state").to_owned()
    }

    /// Who answers six requests.
    fn names(&self) -> String {
        let mut client = Client::connect(self.lbd.addr);
        let mut names: Vec<_> = (0..6).map(|_| client.get("/").body).collect();
        names.sort();
        names.dedup();
        names.concat()
    }

    /// `lbd reload` of the file with these words replaced.
    fn reload(&self, from: &str, to: &str) {
        let path = self.lbd.dir.file("lb.toml");
        let text = fs::read_to_string(&path).expect("our own file");
        self.lbd.dir.write("lb.toml", &text.replace(from, to));
        let ended = run(&self.lbd, &["reload"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// lbd that sends everything to one pool, `app`, with these keys, and is ready for commands.
fn start(top: &str, keys: &str) -> Lbd {
    let rest = format!("[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\n{keys}\n");
    let file = File {
        top,
        rest: &rest,
        ..File::default()
    };
    let lbd = file.start();
    lbd.process.err.wait_for("control socket ");
    lbd
}

/// `lbd ARGS`, of the lbd that runs.
fn run(running: &Lbd, args: &[&str]) -> Finished {
    lbd(&running.dir, &[args, &["-c", "lb.toml"]].concat())
}

fn status(running: &Lbd) -> String {
    let ended = run(running, &["status"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

#[test]
fn a_server_that_is_down_gets_nothing_until_it_is_up() {
    let site = Site::start();
    assert_eq!(site.names(), "ab");
    site.order("down", &site.a);
    assert_eq!(site.names(), "b");
    site.order("up", &site.a);
    assert_eq!(site.names(), "ab");
}

#[test]
fn a_server_that_drains_gets_nobody_new() {
    let site = Site::start();
    site.order("drain", &site.a);
    assert_eq!(site.names(), "b");
    site.order("up", &site.a);
    assert_eq!(site.names(), "ab");
}

#[test]
fn each_command_says_what_the_server_is_now_and_who_is_left() {
    let site = Site::start();
    let addr = site.a.addr();
    for (verb, state) in [("drain", "drain"), ("down", "down"), ("up", "up")] {
        let said = site.order(verb, &site.a);
        assert_eq!(said, format!("{addr}: {state}; nothing in flight\n"));
    }
}

#[test]
fn the_last_word_holds() {
    let site = Site::start();
    for verb in ["drain", "down", "drain", "drain"] {
        site.order(verb, &site.a);
        assert_eq!(site.state(&site.a), verb);
    }
    assert_eq!(site.state(&site.b), "up");
}

#[test]
fn when_all_are_down_the_answer_is_502() {
    let site = Site::start();
    for app in [&site.a, &site.b] {
        site.order("down", app);
    }
    assert_eq!(Client::connect(site.lbd.addr).get("/").status, 502);
}

#[test]
fn up_overrides_the_file() {
    let (a, b) = (App::start("a"), App::start("b"));
    let servers = format!(
        "servers = [{{ address = \"{}\", down = true }}, \"{}\"]",
        a.addr(),
        b.addr()
    );
    let lbd = start("", &servers);
    let site = Site { lbd, a, b };
    assert_eq!(site.names(), "b");
    assert!(site.line(&site.a).ends_with("in the file"));
    site.order("up", &site.a);
    assert_eq!(site.names(), "ab");
    let line = site.line(&site.a);
    assert!(line.contains(" up "), "{line}");
    assert!(
        line.contains(" by ") && line.ends_with("the file says down"),
        "{line}"
    );
}

#[test]
fn a_server_may_be_called_by_its_name_its_address_or_its_route() {
    let app = App::start("a");
    let (addr, port) = (app.addr(), app.addr().port());
    let named = format!("localhost:{port}");
    let servers = format!(
        "servers = [{{ address = \"{named}\", route = \"node1\" }}]\nsticky = {{ route = \"SID\" }}"
    );
    let lbd = start("", &servers);
    for name in [&named, &addr.to_string(), "node1", "NODE1"] {
        for (verb, state) in [("down", "down"), ("up", "up")] {
            let ended = run(&lbd, &[verb, "app", name]);
            assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
            let line = format!("{named}[127.0.0.1]: {state}; nothing in flight");
            assert!(ended.out.contains(&line), "{name}: {}", ended.out);
        }
    }
}

// === what is wrong ===

/// `lbd ARGS` ends with 1 and says this on standard error.
fn fails(running: &Lbd, args: &[&str], said: &str) {
    let ended = run(running, args);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert_eq!(ended.err, format!("lbd: {said}\n"));
}

#[test]
fn an_unknown_pool_is_refused_with_the_names_of_those_there_are() {
    let site = Site::with("", "[pools.other]\nservers = [\"127.0.0.1:1\"]");
    for verb in ["drain", "down", "up"] {
        let said = "there is no pool shop; there are app, other";
        fails(&site.lbd, &[verb, "shop", &site.a.addr().to_string()], said);
    }
}

#[test]
fn an_unknown_server_is_refused_with_the_names_of_those_there_are() {
    let site = Site::start();
    let (a, b) = (site.a.addr(), site.b.addr());
    for verb in ["drain", "down", "up"] {
        let said = format!("pool app has no server 10.0.0.1:80; it has {a}, {b}");
        fails(&site.lbd, &[verb, "app", "10.0.0.1:80"], &said);
    }
    assert_eq!(site.names(), "ab");
}

#[test]
fn with_nobody_running_every_command_ends_with_1() {
    let dir = Dir::new();
    let file = File {
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    let one = ["app", "127.0.0.1:1"];
    for args in [&["status"][..], &[&["drain"], &one[..]].concat()] {
        let ended = lbd(&dir, &[args, &["-c", "lb.toml"]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.err.contains("no running lbd answers"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn arguments_that_are_wrong_end_with_2() {
    let site = Site::start();
    let server = site.a.addr().to_string();
    for (args, part) in [
        (&["--deadline", "soon"][..], "is not a duration"),
        (&["--deadline", "10"], "has no unit"),
        (&["--deadline", "1x"], "has an unknown unit"),
        (&["--deadline"], "a value is required"),
        (&["--forever"], "--forever"),
    ] {
        let ended = run(&site.lbd, &[&["drain", "app", &server], args].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(part), "{}", ended.err);
    }
    for args in [
        &["drain"][..],
        &["drain", "app"],
        &["down", "app", &server, "--deadline", "1s"],
        &["up", "app", &server, "--wait"],
    ] {
        assert_eq!(run(&site.lbd, args).code, Some(2), "{args:?}");
    }
    assert_eq!(site.state(&site.a), "up");
}
