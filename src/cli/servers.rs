//! `lbd drain`, `down` and `up`, and `lbd upstream`: changing what servers of the running lbd are there for.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use super::{
    Target,
    steer::{Running, parse},
    terminal::{complain, say},
};
use crate::{
    control::{Ask, Change, NewServer},
    server::Ordered,
    upstream::{Duty, ServerStatus},
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
    let servers = match change(&running, &ask) {
        Ok(servers) => servers,
        Err(code) => return code,
    };
    for server in &servers {
        say(format_args!("{}: {}", server.server, who_is_left(server)));
    }
    if manner.waits {
        return wait(&running, &target.pool, &servers);
    }
    ExitCode::SUCCESS
}

/// Has the lbd that serves `file` add `server` to `pool`.
pub(super) fn add(
    file: &Path,
    control: Option<PathBuf>,
    pool: String,
    server: NewServer,
) -> ExitCode {
    let running = Running::new(file, control);
    let address = server.address.clone();
    match change(&running, &Ask::Add { pool, server }) {
        Ok(servers) if servers.is_empty() => {
            say(format_args!(
                "{address}: added; its name has no address yet"
            ));
            ExitCode::SUCCESS
        }
        Ok(servers) => {
            for server in &servers {
                say(format_args!("{}: added; {}", server.server, server.state));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Has the lbd that serves `file` remove the server at `target`.
pub(super) fn remove(file: &Path, target: Target, force: bool, close: bool) -> ExitCode {
    let Target {
        pool,
        server,
        control,
    } = target;
    let running = Running::new(file, control);
    let ask = Ask::Remove {
        pool,
        server: server.clone(),
        force,
        close,
    };
    match change(&running, &ask) {
        Ok(_) => {
            say(format_args!("{server}: removed"));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Has the lbd that serves `file` change what the server at `target` may get.
pub(super) fn set(
    file: &Path,
    target: Target,
    weight: Option<u32>,
    max_conns: Option<u32>,
) -> ExitCode {
    let running = Running::new(file, target.control);
    let ask = Ask::Order {
        pool: target.pool,
        server: target.server,
        change: Change {
            weight,
            max_conns,
            by: std::env::var("SUDO_USER").ok(),
            ..Change::default()
        },
    };
    match change(&running, &ask) {
        Ok(servers) => {
            for server in &servers {
                let (weight, most) = (server.weight, server.max_conns);
                say(format_args!(
                    "{}: weight {weight}, max_conns {most}",
                    server.server
                ));
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Asks for a change; gives the servers that it was about, and says the warning, if there is one.
fn change(running: &Running, ask: &Ask) -> Result<Vec<ServerStatus>, ExitCode> {
    let Some(reply) = running.ask(ask)? else {
        return Err(running.complain_of_silence());
    };
    let Ordered { servers, warning } = parse(&reply)?;
    if let Some(warning) = warning {
        complain(format_args!("lbd: {warning}"));
    }
    Ok(servers)
}

/// Waits until nobody is left at `servers` of `pool`.
fn wait(running: &Running, pool: &str, servers: &[ServerStatus]) -> ExitCode {
    let mut said = String::new();
    loop {
        let status = match running.status() {
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
