//! lbd's own commands, and the files that they are given.

use crate::harness::{Dir, File, Process, lbd::command as lbd_command, process::Finished};

/// A route for everything that needs no server.
pub(crate) const HELLO: &str =
    "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"hello\" }\n";

/// Runs `lbd ARGS` in `dir` to its end.
pub(crate) fn lbd(dir: &Dir, args: &[&str]) -> Finished {
    Process::spawn(&mut lbd_command(dir, args)).finish()
}

/// A file that answers `body` to everything.
pub(crate) fn says(body: &str) -> String {
    let rest = HELLO.replace("hello", body);
    File {
        rest: &rest,
        ..File::default()
    }
    .text()
}
