//! A running lbd, what it answers, and what it says that it would.

use super::{
    Explained, explain, question,
    server::{Asked, Server, ask},
};
use crate::harness::{File, Lbd, process::Finished};
use crate::support::lbd;

/// A lbd and the servers behind it, a, b and c.
pub(super) struct Site {
    pub(super) lbd: Lbd,
    servers: Vec<Server>,
}

pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];

impl Site {
    /// With so many servers, and these keys for their pool.
    pub(super) fn start(count: usize, keys: &str) -> Self {
        Self::with(count, "", "", keys)
    }

    /// The same with further keys for the listener and for the route.
    pub(super) fn with(count: usize, listener: &str, route: &str, keys: &str) -> Self {
        let servers: Vec<_> = NAMES[..count].iter().copied().map(Server::start).collect();
        let addrs: Vec<_> = servers.iter().map(Server::addr).collect();
        let lbd = running(listener, route, &addrs, keys);
        Self { lbd, servers }
    }

    pub(super) fn addr(&self, name: &str) -> String {
        let index = NAMES.iter().position(|known| *known == name);
        self.servers[index.expect("a name that a server has")].addr()
    }

    /// Who answers a request for `/app/` with these fields.
    pub(super) fn ask(&self, fields: &[&str]) -> Asked {
        let fields = [&["Host: a.example"], fields].concat();
        ask(self.lbd.addr, "/app/", &fields)
    }

    /// The address of whoever answers that.
    pub(super) fn answering(&self, fields: &[&str]) -> String {
        self.addr(&self.ask(fields).name)
    }

    /// What is said of the same request.
    pub(super) fn explain(&self, fields: &[&str]) -> Explained {
        let fields = [&["Host: a.example"], fields].concat();
        explained(&self.lbd, &fields)
    }

    /// `lbd VERB app SERVER`.
    pub(super) fn order(&self, verb: &str, name: &str) {
        let args = [verb, "app", &self.addr(name), "-c", "lb.toml"];
        let ordered = lbd(&self.lbd.dir, &args);
        assert_eq!(ordered.code, Some(0), "{ordered:?}");
    }
}

/// The file of a lbd that sends `/app/` to a pool with these servers.
pub(super) fn text(listener: &str, route: &str, servers: &[String], keys: &str) -> String {
    let rest = format!(
        "[[routes]]\npath = \"/app/\"\npool = \"app\"\n{route}\n\
         [pools.app]\nservers = {servers:?}\n{keys}\n"
    );
    File {
        log: "access = \"@DIR@/access.log\"",
        listener,
        rest: &rest,
        ..File::default()
    }
    .text()
}

pub(super) fn running(listener: &str, route: &str, servers: &[String], keys: &str) -> Lbd {
    let lbd = Lbd::start(&text(listener, route, servers, keys), &[]);
    lbd.process.err.wait_for("control socket ");
    lbd
}

/// What the running lbd says of a request for `/app/`. It listens on the port 0, by its file.
pub(super) fn explained(running: &Lbd, fields: &[&str]) -> Explained {
    let said = said(running, &question("http://127.0.0.1:0/app/", fields));
    assert_eq!(said.err, "", "it answers itself");
    Explained::of(said)
}

pub(super) fn said(running: &Lbd, args: &[&str]) -> Finished {
    explain(&running.dir, args)
}
