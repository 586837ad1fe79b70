//! lbd's own commands, and the files that they are given.

use crate::harness::{Dir, File, Lbd, Process, lbd::command as lbd_command, process::Finished};

/// A route for everything that needs no server.
pub(crate) const HELLO: &str =
    "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"hello\" }\n";

/// Runs `lbd ARGS` in `dir` to its end.
pub(crate) fn lbd(dir: &Dir, args: &[&str]) -> Finished {
    Process::spawn(&mut lbd_command(dir, args)).finish()
}

/// Stops `running` and starts it again where it was, ready for commands; gives what it has said.
pub(crate) fn restart(running: &mut Lbd) -> String {
    let ended = running.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    running.process = Process::spawn(&mut lbd_command(&running.dir, &["-c", "lb.toml"]));
    let line = running.process.err.wait_for("listening on ");
    let words = line.split("listening on ").nth(1).unwrap_or_default();
    let addr = words.split_whitespace().next().unwrap_or_default();
    running.addr = addr.parse().expect("the start-up line names an address");
    running.process.err.wait_for("control socket ");
    ended.err
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
