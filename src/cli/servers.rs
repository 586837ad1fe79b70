//! `lbd status`, `drain`, `down` and `up`: the servers of the running lbd.

use std::{path::Path, process::ExitCode, thread, time::Duration};

use http::StatusCode;

use super::{
    Target,
    steer::{Running, report},
    table::Table,
    terminal::{complain, say},
};
use crate::{
    control::{Ask, Change, Reply},
    server::{Ordered, Status},
    upstream::{Duty, PoolStatus, ServerStatus},
};

/// How often it is looked who is left.
const LOOK: Duration = Duration::from_millis(500);

/// What `lbd drain` may say besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// When the server goes down and what is left there ends.
    pub(super) deadline: Option<Duration>,
    /// Whether the command returns only when nobody is left.
    pub(super) waits: bool,
    /// Whether tunnels to it end at once.
    pub(super) closes: bool,
}

/// Shows the pools of the lbd that serves `file`.
pub(super) fn status(file: &Path, control: Option<std::path::PathBuf>) -> ExitCode {
    let running = Running::new(file, control);
    match fetch(&running) {
        Ok(status) => {
            for pool in &status.pools {
                say(pool_text(pool));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Has the lbd that serves `file` change what the server at `target` is there for.
pub(super) fn order(file: &Path, target: Target, duty: Duty, manner: Manner) -> ExitCode {
    let running = Running::new(file, target.control);
    let ask = Ask::Order {
        pool: target.pool.clone(),
        server: target.server,
        change: Change {
            state: Some(duty.name().to_owned()),
            // Rounded up: less than a second is not none.
            deadline_seconds: manner
                .deadline
                .map(|deadline| deadline.as_millis().div_ceil(1000) as u64),
            close: manner.closes,
            by: std::env::var("SUDO_USER").ok(),
            ..Change::default()
        },
    };
    let reply = match running.ask(&ask) {
        Ok(Some(reply)) => reply,
        Ok(None) => return running.complain_of_silence(),
        Err(code) => return code,
    };
    let Ordered { servers, warning } = match parse(&reply) {
        Ok(ordered) => ordered,
        Err(code) => return code,
    };
    if let Some(warning) = warning {
        complain(format_args!("lbd: {warning}"));
    }
    for server in &servers {
        say(format_args!("{}: {}", server.server, who_is_left(server)));
    }
    if manner.waits {
        return wait(&running, &target.pool, &servers);
    }
    ExitCode::SUCCESS
}

/// Waits until nobody is left at `servers` of `pool`.
fn wait(running: &Running, pool: &str, servers: &[ServerStatus]) -> ExitCode {
    let mut said = String::new();
    loop {
        let status = match fetch(running) {
            Ok(status) => status,
            Err(code) => return code,
        };
        let pools = status.pools.into_iter().filter(|known| known.name == pool);
        let is_meant = |server: &ServerStatus| servers.iter().any(|s| s.server == server.server);
        let there: Vec<_> = pools
            .flat_map(|pool| pool.servers)
            .filter(is_meant)
            .collect();
        if there.is_empty() {
            complain(format_args!(
                "lbd: pool {pool} does not have that server any more"
            ));
            return ExitCode::FAILURE;
        }
        let left: Vec<_> = there.iter().filter(|s| s.in_flight > 0).collect();
        if left.is_empty() {
            say("nobody is left");
            return ExitCode::SUCCESS;
        }
        let lines: Vec<_> = left
            .iter()
            .map(|server| format!("{}: {}", server.server, who_is_left(server)))
            .collect();
        let text = lines.join("\n");
        if text != said {
            say(&text);
            said = text;
        }
        thread::sleep(LOOK);
    }
}

fn fetch(running: &Running) -> Result<Status, ExitCode> {
    match running.ask(&Ask::Status)? {
        Some(reply) => parse(&reply),
        None => Err(running.complain_of_silence()),
    }
}

/// What a good reply says.
fn parse<T: serde::de::DeserializeOwned>(reply: &Reply) -> Result<T, ExitCode> {
    if reply.status != StatusCode::OK {
        return Err(report(reply));
    }
    serde_json::from_str(&reply.text).map_err(|error| {
        complain(format_args!(
            "lbd: the running lbd says something else: {error}"
        ));
        ExitCode::FAILURE
    })
}

/// `drain; 2 requests, 14 tunnels left; the last request of a bound client was 3 s ago`
fn who_is_left(server: &ServerStatus) -> String {
    let mut parts = vec![server.state.clone()];
    let requests = server.in_flight.saturating_sub(server.tunnels);
    parts.push(match server.in_flight {
        0 => "nothing in flight".to_owned(),
        _ => format!("{requests} requests and {} tunnels left", server.tunnels),
    });
    if let Some(sessions) = server.sessions {
        parts.push(format!("{sessions} sessions belong to it"));
    }
    if let Some(ago) = server.bound_seconds_ago {
        parts.push(format!("a client that is bound to it came {ago:.0} s ago"));
    }
    if let Some(left) = server
        .order
        .as_ref()
        .and_then(|order| order.deadline_seconds)
    {
        parts.push(format!("down in {left:.0} s"));
    }
    parts.join("; ")
}

fn pool_text(pool: &PoolStatus) -> String {
    let waiting = match pool.waiting {
        0 => String::new(),
        waiting => format!(", {waiting} waiting"),
    };
    let mut text = format!("pool {} ({}{waiting})\n", pool.name, pool.balance);
    let mut table = Table::new(&["server", "state", "weight", "in flight", "tunnels", ""]);
    for server in &pool.servers {
        let backup = if server.backup { " backup" } else { "" };
        table.row([
            format!("{}{backup}", server.server),
            server.state.clone(),
            server.weight.to_string(),
            server.in_flight.to_string(),
            server.tunnels.to_string(),
            remarks(server),
        ]);
    }
    text.push_str(&table.to_string());
    text
}

/// Why, since when, and until when.
fn remarks(server: &ServerStatus) -> String {
    let mut parts: Vec<String> = server.reason.iter().cloned().collect();
    if let Some(out) = server.out_seconds {
        parts.push(format!("for {out:.0} s"));
    }
    if let Some(probe) = server.probe_in_seconds {
        parts.push(format!("a request probes it in {probe:.0} s"));
    }
    if let Some(order) = &server.order {
        if server.state != order.state {
            parts.push(format!("{} by {} at {}", order.state, order.by, order.at));
        }
        if let Some(left) = order.deadline_seconds {
            parts.push(format!("down in {left:.0} s"));
        }
    }
    parts.join("; ")
}
