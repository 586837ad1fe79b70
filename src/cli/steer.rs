//! `lbd reload` and `-s`: speaking to the running lbd.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use http::StatusCode;
use rustix::process::{Pid, Signal as UnixSignal, kill_process};
use serde::de::DeserializeOwned;

use super::{
    EXIT_CONFIG, Signal, check,
    terminal::{complain, say},
};
use crate::{
    config::{self, Control, SourceFile},
    control::{Ask, Reply, ask, candidates},
    server::Status,
};

/// The lbd that serves a file.
pub(super) struct Running {
    source: Option<SourceFile>,
    /// Why the file cannot be read.
    unread: String,
    sockets: Vec<PathBuf>,
}

impl Running {
    /// The lbd that serves `file`, or that listens on `control`.
    pub(super) fn new(file: &Path, control: Option<PathBuf>) -> Self {
        // Even a file with faults names the socket; the running lbd will say what the faults are.
        let read = SourceFile::read(file);
        let unread = match &read {
            Ok(_) => String::new(),
            Err(error) => format!("; {} cannot be read: {error}", file.display()),
        };
        let source = read.ok();
        let control = match control {
            Some(path) => Control::Path(path),
            None => source.as_ref().map_or(Control::Default, config::control_of),
        };
        Self {
            source,
            unread,
            sockets: candidates(&control),
        }
    }

    /// Asks it; `None` if nobody answers.
    pub(super) fn ask(&self, what: &Ask) -> Result<Option<Reply>, ExitCode> {
        for socket in &self.sockets {
            match ask_blocking(socket, what) {
                Ok(reply) => return Ok(Some(reply)),
                Err(error) if is_nobody(&error) => {}
                Err(error) => {
                    complain(format_args!(
                        "lbd: control socket {}: {error}",
                        socket.display()
                    ));
                    return Err(ExitCode::FAILURE);
                }
            }
        }
        Ok(None)
    }

    /// What there is to tell of it.
    pub(super) fn status(&self) -> Result<Status, ExitCode> {
        match self.ask(&Ask::Status)? {
            Some(reply) => parse(&reply),
            None => Err(self.complain_of_silence()),
        }
    }

    /// Says that nobody answers, and where it was asked.
    pub(super) fn complain_of_silence(&self) -> ExitCode {
        let tried: Vec<_> = self
            .sockets
            .iter()
            .map(|socket| socket.display().to_string())
            .collect();
        complain(format_args!(
            "lbd: no running lbd answers ({}); is it running, and is -c its file?{}",
            if tried.is_empty() {
                "control = \"off\" and no pid file".to_owned()
            } else {
                tried.join(", ")
            },
            self.unread
        ));
        ExitCode::FAILURE
    }
}

/// Sends `signal` to the lbd that serves `file`, over its control socket, or else by its pid file.
pub(super) fn steer(signal: Signal, file: &Path, control: Option<PathBuf>) -> ExitCode {
    let running = Running::new(file, control);
    match running.ask(&verb(signal)) {
        Ok(Some(reply)) => return report(&reply),
        Ok(None) => {}
        Err(code) => return code,
    }
    if let Some(pid) = running.source.as_ref().and_then(running_pid) {
        // Nobody would hear of the faults but the log.
        if matches!(signal, Signal::Reload)
            && let Err(code) = check::load(file)
        {
            return code;
        }
        return send(pid, signal);
    }
    running.complain_of_silence()
}

fn verb(signal: Signal) -> Ask {
    match signal {
        Signal::Reload => Ask::Reload,
        Signal::Stop => Ask::Stop,
        Signal::Quit => Ask::Quit,
        Signal::Reopen => Ask::Reopen,
    }
}

fn ask_blocking(socket: &Path, what: &Ask) -> std::io::Result<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask(socket, what))
}

fn is_nobody(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
    )
}

/// What a good reply says.
pub(super) fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, ExitCode> {
    if !reply.status.is_success() {
        return Err(report(reply));
    }
    serde_json::from_str(&reply.text).map_err(|error| {
        complain(format_args!(
            "lbd: the running lbd says something else: {error}"
        ));
        ExitCode::FAILURE
    })
}

pub(super) fn report(reply: &Reply) -> ExitCode {
    match reply.status {
        StatusCode::OK => {
            say(reply.text.trim_end());
            ExitCode::SUCCESS
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            complain(reply.text.trim_end());
            ExitCode::from(EXIT_CONFIG)
        }
        _ => {
            complain(format_args!("lbd: {}", reply.text.trim_end()));
            ExitCode::FAILURE
        }
    }
}

/// The process that the file's `pid` names, if there is one.
fn running_pid(source: &SourceFile) -> Option<Pid> {
    let text = std::fs::read_to_string(config::pid_of(source)?).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    rustix::process::test_kill_process(pid).ok().map(|()| pid)
}

fn send(pid: Pid, signal: Signal) -> ExitCode {
    let unix = match signal {
        Signal::Reload => UnixSignal::HUP,
        Signal::Stop => UnixSignal::TERM,
        Signal::Quit => UnixSignal::QUIT,
        Signal::Reopen => UnixSignal::USR1,
    };
    match kill_process(pid, unix) {
        Ok(()) => {
            say(format_args!(
                "sent {signal:?} to process {}; its log says what came of it",
                pid.as_raw_nonzero()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!(
                "lbd: cannot signal process {}: {error}",
                pid.as_raw_nonzero()
            ));
            ExitCode::FAILURE
        }
    }
}
