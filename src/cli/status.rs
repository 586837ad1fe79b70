//! `lbd status`: the running lbd at a glance, once or again and again.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Duration,
};

use super::{
    steer::Running,
    table::Table,
    terminal::{CLEAR, complain, is_heard, say},
    words::{count, lasting, milliseconds},
};
use crate::{
    control::Ask,
    server::Status,
    upstream::{PoolStatus, ServerStatus},
};

/// How `lbd status` tells what there is to tell.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Telling {
    /// Only this pool
    pool: Option<String>,
    /// As the API has it: everything, in JSON
    #[arg(long)]
    json: bool,
    /// Again and again, every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// Exit with 1 if a pool has no live server
    #[arg(long)]
    fail: bool,
    /// The running lbd's control socket, if the file does not name it
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

/// Tells of the lbd that serves `file`.
pub(super) fn status(file: &std::path::Path, telling: &Telling) -> ExitCode {
    let running = Running::new(file, telling.control.clone());
    loop {
        let told = match telling.json {
            true => told_in_json(&running, telling),
            false => told_in_words(&running, telling),
        };
        let (text, code) = match told {
            Ok(told) => told,
            Err(code) => return code,
        };
        let Some(seconds) = telling.watch else {
            say(text);
            return code;
        };
        let is_heard = match io::stdout().is_terminal() {
            true => is_heard(format_args!("{CLEAR}{text}")),
            false => is_heard(text),
        };
        if !is_heard {
            return code;
        }
        thread::sleep(Duration::from_secs(seconds));
    }
}

fn told_in_json(running: &Running, telling: &Telling) -> Result<(String, ExitCode), ExitCode> {
    let Some(reply) = running.ask(&Ask::Status)? else {
        return Err(running.complain_of_silence());
    };
    let status = super::steer::parse::<Status>(&reply)?;
    let status = only(status, telling)?;
    let code = code_of(&status, telling);
    let text = match telling.pool {
        Some(_) => serde_json::to_string_pretty(&status.pools),
        None => {
            // As it came: what this lbd does not know of is there, too.
            let whole: Result<serde_json::Value, _> = serde_json::from_str(&reply.text);
            whole.and_then(|whole| serde_json::to_string_pretty(&whole))
        }
    };
    match text {
        Ok(text) => Ok((text, code)),
        Err(error) => {
            complain(format_args!("lbd: {error}"));
            Err(ExitCode::FAILURE)
        }
    }
}

fn told_in_words(running: &Running, telling: &Telling) -> Result<(String, ExitCode), ExitCode> {
    let status = only(running.status()?, telling)?;
    let code = code_of(&status, telling);
    let mut text = match telling.pool {
        Some(_) => String::new(),
        None => heading(&status),
    };
    for pool in &status.pools {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&pool_text(pool));
    }
    Ok((text, code))
}

/// `status` with the pool that was asked for alone.
fn only(mut status: Status, telling: &Telling) -> Result<Status, ExitCode> {
    let Some(wanted) = &telling.pool else {
        return Ok(status);
    };
    let names: Vec<_> = status.pools.iter().map(|pool| pool.name.clone()).collect();
    status.pools.retain(|pool| pool.name == *wanted);
    if status.pools.is_empty() {
        complain(format_args!(
            "lbd: there is no pool {wanted}; there are {}",
            names.join(", ")
        ));
        return Err(ExitCode::FAILURE);
    }
    Ok(status)
}

fn code_of(status: &Status, telling: &Telling) -> ExitCode {
    let is_dark = status.pools.iter().any(|pool| pool.live == 0);
    match telling.fail && is_dark {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// What holds for all pools, and what is wrong beside them.
pub(super) fn heading(status: &Status) -> String {
    let totals = &status.totals;
    let ending = if status.ending { ", STOPPING" } else { "" };
    let mut text = format!(
        "lbd {} (process {}) serves {}, up {}{ending}\n{} requests, {} connections ({} idle, {} tunnels)\n",
        status.version,
        status.pid,
        status.file,
        lasting(status.uptime_seconds as f64),
        count(totals.requests),
        count(totals.connections),
        count(totals.idle),
        count(totals.tunnels),
    );
    for trouble in troubles(status) {
        // A text can always be written to.
        let _ = writeln!(text, "! {trouble}");
    }
    text
}

/// What is wrong that no pool says.
fn troubles(status: &Status) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.ok) {
        let first = reload.message.lines().take(2).collect::<Vec<_>>().join(" ");
        let at = reload.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        troubles.push(format!(
            "the last reload, at {at} by {}: {first}",
            reload.by
        ));
    }
    for certificate in status.certificates.iter().filter(|c| c.days_left < 30) {
        let (file, days) = (&certificate.file, certificate.days_left);
        troubles.push(match days {
            ..0 => format!("certificate {file} has ended"),
            _ => format!("certificate {file} ends in {days} days"),
        });
    }
    if status.lost_log_lines > 0 {
        let lost = count(status.lost_log_lines);
        troubles.push(format!(
            "{lost} access lines are lost: the disk does not take them"
        ));
    }
    troubles
}

fn pool_text(pool: &PoolStatus) -> String {
    let all = pool.servers.len();
    let live = match pool.live {
        0 => "NO LIVE SERVER".to_owned(),
        live => format!("{live} of {all} live"),
    };
    let mut text = format!("pool {} ({}): {live}", pool.name, pool.balance);
    for (number, what) in [
        (pool.waiting as u64, "waiting"),
        (pool.retries, "tried again"),
        (pool.dark, "found nobody"),
    ] {
        if number > 0 {
            // As above.
            let _ = write!(text, ", {} {what}", count(number));
        }
    }
    text.push('\n');
    let mut table = Table::new(&[
        "server",
        "state",
        "weight",
        "in flight",
        "tunnels",
        "answers",
        "5xx",
        "failures",
        "p99 ms",
        "",
    ]);
    for server in &pool.servers {
        let failures: u64 = server.failures.each().map(|(_, n)| n).sum();
        table.row([
            name(server),
            server.state.clone(),
            server.weight.to_string(),
            server.in_flight.to_string(),
            server.tunnels.to_string(),
            count(server.requests.total()),
            count(server.requests.server_errors),
            count(failures),
            milliseconds(server.latency.p99_ms),
            remarks(server),
        ]);
    }
    text.push_str(&table.to_string());
    text
}

/// As tables call it.
pub(super) fn name(server: &ServerStatus) -> String {
    let backup = if server.backup { " backup" } else { "" };
    format!("{}{backup}", server.server)
}

/// Why, since when, and until when.
pub(super) fn remarks(server: &ServerStatus) -> String {
    let mut parts: Vec<String> = server.reason.iter().cloned().collect();
    if let Some(out) = server.out_seconds {
        parts.push(format!("for {}", lasting(out)));
    }
    if let Some(probe) = server.probe_in_seconds {
        parts.push(format!("a request probes it in {}", lasting(probe)));
    }
    if let Some(order) = &server.order {
        if server.state != order.state {
            parts.push(format!("{} by {} at {}", order.state, order.by, order.at));
        }
        if let Some(left) = order.deadline_seconds {
            parts.push(format!("down in {}", lasting(left)));
        }
    }
    if let Some(by) = &server.added_by {
        parts.push(format!("added by {by}"));
    }
    parts.join("; ")
}
