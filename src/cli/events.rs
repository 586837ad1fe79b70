//! `lbd events`: what has happened of late, and what happens.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{
    steer::{Running, parse},
    terminal::{complain, is_heard},
};
use crate::{control::Ask, telemetry::Event};

/// How often it is asked for more.
const LOOK: Duration = Duration::from_millis(500);

/// How `lbd events` tells what has happened.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Telling {
    /// How many of the last ones
    #[arg(short = 'n', value_name = "NUMBER", default_value_t = 20)]
    number: usize,
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The running lbd's control socket, if the file does not name it
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Happened {
    events: Vec<Event>,
    last: u64,
}

/// Tells what has happened to the lbd that serves `file`.
pub(super) fn events(file: &Path, telling: &Telling) -> ExitCode {
    let running = Running::new(file, telling.control.clone());
    let (mut since, mut limit) = (0, telling.number);
    loop {
        let happened = match ask(&running, since, limit) {
            Ok(happened) => happened,
            Err(code) => return code,
        };
        let is_heard = happened
            .events
            .iter()
            .all(|event| tell(event, telling.json));
        if !telling.follow || !is_heard {
            return ExitCode::SUCCESS;
        }
        // A lbd that has started anew counts from one.
        since = if happened.last < since {
            0
        } else {
            happened.last
        };
        limit = usize::MAX;
        thread::sleep(LOOK);
    }
}

fn ask(running: &Running, since: u64, limit: usize) -> Result<Happened, ExitCode> {
    match running.ask(&Ask::Events { since, limit })? {
        Some(reply) => parse(&reply),
        None => Err(running.complain_of_silence()),
    }
}

/// Says it; `false` once there is nobody who reads.
fn tell(event: &Event, in_json: bool) -> bool {
    if in_json {
        return match serde_json::to_string(event) {
            Ok(text) => is_heard(text),
            Err(error) => {
                complain(format_args!("lbd: {error}"));
                false
            }
        };
    }
    let at = event.at.to_zoned(TimeZone::system());
    let at = at.strftime("%Y-%m-%d %H:%M:%S");
    let severity = match event.severity {
        crate::telemetry::Severity::Info => "info",
        crate::telemetry::Severity::Warning => "WARN",
        crate::telemetry::Severity::Error => "ERROR",
    };
    is_heard(format_args!("{at} {severity:>5} {}", event.text))
}
