//! The real lbd with an lb.toml of its own, on a port that the system chose.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use super::{
    dir::Dir,
    process::{Finished, Process},
};

/// The parts of an lb.toml; `@DIR@` stands for the test's directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'f> {
    /// Keys of the file itself.
    pub(crate) top: &'f str,
    pub(crate) control: &'f str,
    /// Keys of `[log]`.
    pub(crate) log: &'f str,
    /// Further keys of the listener.
    pub(crate) listener: &'f str,
    /// Routes and pools.
    pub(crate) rest: &'f str,
}

impl Default for File<'_> {
    fn default() -> Self {
        Self {
            top: "",
            control: "@DIR@/control.sock",
            log: "access = \"off\"",
            listener: "",
            rest: "",
        }
    }
}

impl File<'_> {
    pub(crate) fn text(&self) -> String {
        let Self {
            top,
            control,
            log,
            listener,
            rest,
        } = self;
        format!(
            "workers = 2\ncontrol = \"{control}\"\n{top}\n[log]\n{log}\n\
             [[listeners]]\nname = \"public\"\nbind = \"127.0.0.1:0\"\n{listener}\n{rest}\n"
        )
    }

    pub(crate) fn start(&self) -> Lbd {
        Lbd::start(&self.text(), &[])
    }
}

/// A running lbd. Killed on drop.
#[derive(Debug)]
pub(crate) struct Lbd {
    // Before `dir`, so that nobody writes there when it is removed.
    pub(crate) process: Process,
    pub(crate) dir: Dir,
    pub(crate) addr: SocketAddr,
}

impl Lbd {
    /// Starts lbd with `text` as its file and these variables, and waits until it listens.
    pub(crate) fn start(text: &str, variables: &[(&str, &str)]) -> Self {
        let dir = Dir::new();
        dir.write("lb.toml", text);
        let process =
            Process::spawn(command(&dir, &["-c", "lb.toml"]).envs(variables.iter().copied()));
        let addr = listening_on(&process);
        Self { process, dir, addr }
    }

    /// Stops it by TERM and waits for its end.
    pub(crate) fn stop(&mut self) -> Finished {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.finish()
    }
}

/// The first address of the start-up lines.
fn listening_on(process: &Process) -> SocketAddr {
    let line = process.err.wait_for("listening on ");
    let words = line.split("listening on ").nth(1).unwrap_or_default();
    let address = words.split(' ').next().unwrap_or_default();
    address.parse().expect("the start-up line names an address")
}

/// `lbd ARGS` in `dir`, with nothing of our own environment that it would heed.
pub(crate) fn command(dir: &Dir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
    command
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::null());
    for variable in [
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "RUST_LOG",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ] {
        command.env_remove(variable);
    }
    command
}
