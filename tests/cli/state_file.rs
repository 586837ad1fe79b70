//! `state_file`, where it cannot be read or written: lbd serves, says so, and ruins nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use crate::harness::{Dir, File, Process, lbd::command as lbd_command, process::Finished};
use crate::support::{HELLO, lbd};

/// A lbd that keeps its orders in this file, and one server of a pool, which nobody asks.
struct Keeping {
    process: Process,
    dir: Dir,
}

const SERVER: &str = "127.0.0.1:1";

impl Keeping {
    /// It starts where `prepare` has been, and is ready for commands.
    fn start(file: &str, prepare: impl FnOnce(&Dir)) -> Self {
        let dir = Dir::new();
        prepare(&dir);
        let top = format!("state_file = \"@DIR@/{file}\"");
        let rest = format!(
            "{HELLO}[[routes]]\npath = \"/app/\"\npool = \"app\"\n[pools.app]\nservers = [\"{SERVER}\"]\n"
        );
        let text = File {
            top: &top,
            rest: &rest,
            ..File::default()
        };
        dir.write("lb.toml", &text.text());
        let process = Process::spawn(&mut lbd_command(&dir, &["-c", "lb.toml"]));
        process.err.wait_for("control socket ");
        Self { process, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.file(name)
    }

    /// The line of the log that is an error of this file.
    fn error(&self, name: &str) -> String {
        let start = format!("ERROR state file {}", self.file(name).display());
        self.process.err.wait_for(&start)
    }

    /// `lbd down` for its server.
    fn down(&self) -> Finished {
        lbd(&self.dir, &["down", "app", SERVER, "-c", "lb.toml"])
    }

    /// TERM, and the end.
    fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.finish().code, Some(0));
    }
}

/// Puts a directory with a file in it where the state file should be.
fn directory(dir: &Dir) {
    fs::create_dir(dir.file("state.json")).expect("its name is free");
    dir.write("state.json/inside", "mine");
}

/// It stands there as it did.
fn is_untouched(path: &Path) {
    let inside = fs::read_to_string(path.join("inside"));
    assert_eq!(inside.expect("it is there"), "mine");
}

// === what cannot be read ===

#[test]
fn what_is_no_file_is_told_and_left_where_it_is() {
    let mut lbd = Keeping::start("state.json", directory);
    let line = lbd.error("state.json");
    let told = "cannot be read: Is a directory";
    assert!(line.contains(told), "{line}");
    is_untouched(&lbd.file("state.json"));
    assert!(!lbd.file("state.broken").exists(), "nothing is broken");
    lbd.stop();
    is_untouched(&lbd.file("state.json"));
}

#[test]
fn an_order_holds_beside_it_and_warns() {
    let mut lbd = Keeping::start("state.json", directory);
    let ended = lbd.down();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = "a restart would forget what stands";
    assert!(ended.err.contains(told), "{}", ended.err);
    assert_eq!(ended.out, format!("{SERVER}: down; nothing in flight\n"));
    is_untouched(&lbd.file("state.json"));
    lbd.stop();
}

#[test]
fn a_file_that_cannot_be_read_for_now_is_not_replaced() {
    // Whoever follows it comes back to where it began.
    let loops = |dir: &Dir| {
        symlink("state.json", dir.file("state.json")).expect("its name is free");
    };
    let mut lbd = Keeping::start("state.json", loops);
    let line = lbd.error("state.json");
    assert!(line.contains("cannot be read"), "{line}");
    lbd.stop();
    let target = fs::read_link(lbd.file("state.json"));
    assert_eq!(target.expect("it is a link still"), Path::new("state.json"));
}

// === what cannot be written ===

#[test]
fn a_directory_that_is_missing_is_told_at_the_start() {
    let lbd = Keeping::start("absent/state.json", |_| {});
    let line = lbd.error("absent/state.json");
    let told = "No such file or directory (os error 2); a restart would forget what stands";
    assert!(line.ends_with(told), "{line}");
}

#[test]
fn an_order_warns_of_it_and_is_obeyed() {
    let mut lbd = Keeping::start("absent/state.json", |_| {});
    let ended = lbd.down();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warning = format!(
        "lbd: state file {}: No such file or directory (os error 2); a restart would forget what stands\n",
        lbd.file("absent/state.json").display()
    );
    assert_eq!(ended.err, warning);
    assert_eq!(ended.out, format!("{SERVER}: down; nothing in flight\n"));
    lbd.stop();
}

#[test]
fn nothing_is_said_of_one_that_is_not_there_yet() {
    let mut lbd = Keeping::start("state.json", |_| {});
    let ended = lbd.down();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    lbd.stop();
    let said = lbd.process.err.text();
    assert!(!said.contains("ERROR"), "{said}");
}
