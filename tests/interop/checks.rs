//! Checks of servers that others wrote, in the ways in which these say how they are.

mod brokers;
mod grpc;
mod hanging;
mod nginx;

use serde_json::Value;

use crate::harness::{File, Lbd, lbd::command, until};
use crate::support::outcome;

/// Checks one after the other, each of which decides.
const AT_ONCE: &str = "interval = \"20ms\", timeout = \"2s\", rise = 1, fall = 1";

/// lbd with a stream to one pool, `app`, with these keys of the stream and of the pool.
fn stream(keys: &str, pool: &str) -> Lbd {
    let rest = format!(
        "[[streams]]\nbind = \"127.0.0.2:0\"\npool = \"app\"\n{keys}\n[pools.app]\n{pool}\n"
    );
    let file = File {
        rest: &rest,
        ..File::default()
    };
    let lbd = file.start();
    lbd.process.err.wait_for("control socket ");
    lbd
}

/// What `lbd status` says of a server: its state, and why.
fn said_of(lbd: &Lbd, server: &str) -> String {
    let args = ["status", "--json", "-c", "lb.toml"];
    let ended = outcome(&mut command(&lbd.dir, &args));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let status: Value = serde_json::from_str(&ended.out).expect("JSON");
    let pools = status["pools"].as_array().into_iter().flatten();
    let mut servers = pools.flat_map(|pool| pool["servers"].as_array().into_iter().flatten());
    let found = servers.find(|known| known["server"].as_str().is_some_and(|s| s.contains(server)));
    let found = found.unwrap_or_else(|| panic!("no {server} in {}", ended.out));
    let words = ["state", "reason"].map(|key| found[key].as_str().unwrap_or_default());
    words.join(" ").trim_end().to_owned()
}

/// Waits until what is said of a server begins so.
fn becomes(lbd: &Lbd, server: &str, start: &str) {
    until(&format!("{server} is {start}"), || {
        said_of(lbd, server).starts_with(start).then_some(())
    });
}
