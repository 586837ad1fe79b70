//! `lbd explain`: what would become of a request, by the file alone or by what the running lbd knows.

mod file;
mod running;
mod server;
mod site;

use crate::harness::{Dir, process::Finished};
use crate::support::lbd;

/// What was said of a request.
struct Explained {
    out: String,
    err: String,
}

impl Explained {
    /// What a command that succeeds has said.
    fn of(said: Finished) -> Self {
        assert_eq!(said.code, Some(0), "{said:?}");
        Self {
            out: said.out,
            err: said.err,
        }
    }

    /// All that is said of `what`, as it stands there.
    fn all(&self, what: &str) -> Vec<&str> {
        let facts = self.out.lines().filter_map(|line| line.split_once(' '));
        let facts = facts.filter(|(named, _)| *named == what);
        facts.map(|(_, fact)| fact.trim_start()).collect()
    }

    /// The only fact about `what`.
    fn fact(&self, what: &str) -> &str {
        match self.all(what)[..] {
            [fact] => fact,
            ref facts => panic!("{facts:?} about {what} in:\n{}", self.out),
        }
    }

    /// What is said of the server at `addr`.
    fn server(&self, addr: &str) -> &str {
        let named = format!(" {addr}: ");
        let mut servers = self.all("server").into_iter();
        let server = servers.find(|server| server.contains(&named));
        server.unwrap_or_else(|| panic!("no {addr} in:\n{}", self.out))
    }

    /// The address of the server that would be asked first.
    fn first(&self) -> &str {
        let first = self.all("server")[0].strip_prefix("1. ");
        let first = first.and_then(|server| server.split(": ").next());
        first.unwrap_or_else(|| panic!("nobody is first in:\n{}", self.out))
    }

    /// The lines of the head that the server gets.
    fn head(&self) -> Vec<&str> {
        let head = self.out.split_once("\nthe server gets\n");
        let (_, head) = head.unwrap_or_else(|| panic!("no head in:\n{}", self.out));
        head.lines().map(str::trim_start).collect()
    }
}

/// `lbd explain ARGS` in `dir`.
fn explain(dir: &Dir, args: &[&str]) -> Finished {
    lbd(dir, &[&["explain", "-c", "lb.toml"], args].concat())
}

/// The arguments that ask for `url` with these fields.
fn question<'a>(url: &'a str, fields: &[&'a str]) -> Vec<&'a str> {
    let fields = fields.iter().flat_map(|field| ["-H", *field]);
    ["GET", url].into_iter().chain(fields).collect()
}

#[test]
fn wrong_arguments_end_with_2() {
    let dir = Dir::new();
    for args in [
        &["explain"][..],
        &["explain", "GET"],
        &["explain", "GET", "http://a/", "--client", "me"],
    ] {
        assert_eq!(lbd(&dir, args).code, Some(2), "{args:?}");
    }
}
