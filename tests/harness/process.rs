//! A child process: what it says, line by line, and how it ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// A running program. Killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    /// Starts `command`; standard output and error are ours.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name}: {error}"));
        let out = Lines::of(child.stdout.take().expect("standard output is piped"));
        let err = Lines::of(child.stderr.take().expect("standard error is piped"));
        Self {
            child,
            name,
            out,
            err,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        // Not waited for yet, so that the number is still this process's.
        kill_process(pid.expect("a process id"), signal).expect("our own child can be signalled");
    }

    /// Waits for its end.
    pub(crate) fn finish(&mut self) -> Finished {
        let (what, child) = (format!("{} ends", self.name), &mut self.child);
        let status = until(&what, || child.try_wait().expect("a child of ours"));
        Finished {
            code: status.code(),
            out: self.out.whole(),
            err: self.err.whole(),
        }
    }
}

#[expect(clippy::print_stdout, reason = "a failed test is read with its output")]
impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = [self.out.text(), self.err.text()].concat();
            println!("--- {} said ---\n{said}---", self.name);
        }
    }
}

/// What a process has said so far on one of its outputs.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let written = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                written.lock().expect("no panic under the lock").push(text);
                line.clear();
            }
        });
        Self {
            lines,
            reader: Some(reader),
        }
    }

    /// The first line that contains `part`, as soon as there is one.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        until(&format!("a line with {part:?} comes"), || {
            let text = self.text();
            let line = text.lines().find(|line| line.contains(part));
            line.map(str::to_owned)
        })
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).concat()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        self.text()
    }
}
