//! lbd before others' servers.

use crate::harness::{File, Lbd};

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
