//! Two Tomcats whose app keeps its sessions in memory: a client that is sent to the other one begins anew. lbd learns of
//! the second, drains each and takes it back, and every client goes on as if nothing happened.

mod client;
mod server;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::harness::{Lbd, lbd::command, wait::SetOnDrop};
use crate::support::{are_here, front, outcome};

use self::{client::Client, server::Tomcat};

/// They come before there is a second server, and as many after.
const HALF: usize = 100;
/// They come while a server drains, and as many when it is back.
const FEW: usize = 20;
/// How many clients ask at a time.
const AT_ONCE: usize = 4;

struct Site {
    // Before the servers, so that it does not see them die.
    lbd: Lbd,
    tomcats: [Tomcat; 2],
    /// What lb.toml says of each.
    elements: [String; 2],
    clients: Vec<Client>,
}

impl Site {
    /// lbd before the first Tomcat alone, in a pool with these keys. `element` is what lb.toml says of a server.
    fn start(keys: &str, element: fn(&Tomcat) -> String) -> Option<Self> {
        if !are_here(&["java", server::CATALINA]) {
            return None;
        }
        let tomcats = ["node1", "node2"].map(Tomcat::start);
        for tomcat in &tomcats {
            tomcat.until_it_answers();
        }
        let elements = tomcats.each_ref().map(element);
        let lbd = front(&elements[..1], keys);
        lbd.process.err.wait_for("control socket ");
        Some(Self {
            lbd,
            tomcats,
            elements,
            clients: Vec::new(),
        })
    }

    /// Adds the second Tomcat.
    fn add_the_second(&mut self) {
        let file = self.lbd.dir.file("lb.toml");
        let text = fs::read_to_string(file).expect("the file is there");
        let both = self.elements.join(", ");
        self.lbd
            .dir
            .write("lb.toml", &text.replace(&self.elements[0], &both));
        self.all_go_on_during(&["reload"]);
    }

    /// `lbd VERB app SERVER`.
    fn steer(&mut self, verb: &str, server: usize) {
        let server = self.tomcats[server].port.to_string();
        self.all_go_on_during(&[verb, "app", &server]);
    }

    /// Runs `lbd ARGS`. All clients go on meanwhile, and once more after it.
    fn all_go_on_during(&mut self, args: &[&str]) {
        let args = [args, &["-c", "lb.toml"]].concat();
        let is_done = &AtomicBool::new(false);
        let part = self.clients.len().div_ceil(AT_ONCE);
        thread::scope(|scope| {
            let _done = SetOnDrop(is_done);
            for clients in self.clients.chunks_mut(part) {
                scope.spawn(move || go_on(clients, is_done));
            }
            let ended = outcome(&mut command(&self.lbd.dir, &args));
            assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        });
    }

    /// So many new clients come; gives the Tomcats that they find.
    fn newcomers(&mut self, count: usize) -> Vec<String> {
        let first = self.clients.len();
        let numbers = first..first + count;
        let new = numbers.map(|number| Client::come(self.lbd.addr, number));
        self.clients.extend(new);
        let new = self.clients[first..].iter();
        let mut found: Vec<_> = new.map(|client| client.node().to_owned()).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// Each comes again and again, and once more when it `is_done`.
fn go_on(clients: &mut [Client], is_done: &AtomicBool) {
    loop {
        let is_last = is_done.load(Ordering::Relaxed);
        clients.iter_mut().for_each(Client::visit);
        if is_last {
            return;
        }
    }
}

/// No client's session is lost from the first to the last of what is done to the servers.
fn every_session_lives_on(keys: &str, element: fn(&Tomcat) -> String) {
    let Some(mut site) = Site::start(keys, element) else {
        return;
    };
    let (both, [one, two]) = (["node1", "node2"], [["node1"], ["node2"]]);
    assert_eq!(site.newcomers(HALF), one);
    site.add_the_second();
    assert_eq!(site.newcomers(HALF), both);
    for (server, other) in [(0, two), (1, one)] {
        site.steer("drain", server);
        assert_eq!(site.newcomers(FEW), other);
        site.steer("up", server);
        assert_eq!(site.newcomers(FEW), both);
    }
    site.clients.iter_mut().for_each(Client::visit);
    let ended = site.lbd.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn lbd_s_own_cookie_keeps_every_session() {
    every_session_lives_on("sticky = { cookie = \"lbd\" }", Tomcat::element);
}

#[test]
fn the_route_in_tomcat_s_cookie_keeps_every_session() {
    every_session_lives_on(
        "sticky = { route = \"JSESSIONID\" }",
        Tomcat::element_with_route,
    );
}

#[test]
fn ip_hash_keeps_every_session_if_it_learns_where_each_address_went() {
    every_session_lives_on(
        "balance = \"ip_hash\"\nsticky = { learn = \"$remote_addr\" }",
        Tomcat::element,
    );
}
