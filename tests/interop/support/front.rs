//! lbd before others' servers.

use std::fmt::Display;

use super::programs::outcome;
use crate::harness::{File, Lbd, lbd::command, process::Finished};

/// lbd that sends everything to one pool with these servers, elements of a TOML array, and keys.
///
/// It believes the X-Forwarded-For of this machine, and its access log is `access.log` in its directory.
pub(crate) fn front(servers: &[String], keys: &str) -> Lbd {
    let servers = servers.join(", ");
    let rest = format!(
        "[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\nservers = [{servers}]\n{keys}\n"
    );
    File {
        log: "access = \"@DIR@/access.log\"",
        listener: "trusted_proxies = [\"127.0.0.1\"]",
        rest: &rest,
        ..File::default()
    }
    .start()
}

/// `target` as a client of `lbd` says it.
pub(crate) fn url(lbd: &Lbd, target: &str) -> String {
    format!("http://{}{target}", lbd.addr)
}

/// lbd whose listener has these keys, and whose only pool, `app`, has those. It gets everything.
pub(crate) fn front_with(listener: &str, pool: &str) -> Lbd {
    let rest = format!("[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\n{pool}\n");
    File {
        listener,
        rest: &rest,
        ..File::default()
    }
    .start()
}

/// lbd whose listener has these keys, and who says "hello" to everything.
pub(crate) fn greeter(listener: &str) -> Lbd {
    File {
        listener,
        rest: "[[routes]]\npath = \"/\"\nrespond = { status = 200, body = \"hello\" }",
        ..File::default()
    }
    .start()
}

/// The `servers` of a pool.
pub(crate) fn servers<T: Display>(addrs: &[T]) -> String {
    let quoted: Vec<_> = addrs.iter().map(|addr| format!("\"{addr}\"")).collect();
    format!("servers = [{}]", quoted.join(", "))
}

/// `lbd reload`.
pub(crate) fn reload(lbd: &Lbd) -> Finished {
    lbd.process.err.wait_for("control socket ");
    outcome(&mut command(&lbd.dir, &["reload", "-c", "lb.toml"]))
}
