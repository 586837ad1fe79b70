//! `lbd reload` and `-s`: speaking to the running lbd.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use http::StatusCode;
use rustix::process::{Pid, Signal as UnixSignal, kill_process};

use super::{
    EXIT_CONFIG, Signal, check,
    terminal::{complain, say},
};
use crate::{
    config::{self, Control, SourceFile},
    control::{Reply, Verb, ask, candidates},
};

/// Sends `signal` to the lbd that serves `file`, over its control socket, or else by its pid file.
pub(super) fn steer(signal: Signal, file: &Path, control: Option<PathBuf>) -> ExitCode {
    // Even a file with faults names the socket; the running lbd will say what the faults are.
    let read = SourceFile::read(file);
    let unread = read
        .as_ref()
        .err()
        .map(|error| format!("; {} cannot be read: {error}", file.display()));
    let source = read.ok();
    let control = match control {
        Some(path) => Control::Path(path),
        None => source.as_ref().map_or(Control::Default, config::control_of),
    };
    let sockets = candidates(&control);
    for socket in &sockets {
        match ask_blocking(socket, verb(signal)) {
            Ok(reply) => return report(&reply),
            Err(error) if is_nobody(&error) => {}
            Err(error) => {
                complain(format_args!(
                    "lbd: control socket {}: {error}",
                    socket.display()
                ));
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(pid) = source.as_ref().and_then(running_pid) {
        // Nobody would hear of the faults but the log.
        if matches!(signal, Signal::Reload)
            && let Err(code) = check::load(file)
        {
            return code;
        }
        return send(pid, signal);
    }
    let tried: Vec<_> = sockets
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
        unread.unwrap_or_default()
    ));
    ExitCode::FAILURE
}

fn verb(signal: Signal) -> Verb {
    match signal {
        Signal::Reload => Verb::Reload,
        Signal::Stop => Verb::Stop,
        Signal::Quit => Verb::Quit,
        Signal::Reopen => Verb::Reopen,
    }
}

fn ask_blocking(socket: &Path, verb: Verb) -> std::io::Result<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask(socket, verb))
}

fn is_nobody(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
    )
}

fn report(reply: &Reply) -> ExitCode {
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
