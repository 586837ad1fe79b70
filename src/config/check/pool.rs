//! Whether what a file says of one pool fits together.

use std::collections::{HashMap, HashSet};

use rustls::pki_types::ServerName;

use super::super::{
    balance::Balance,
    diagnostic::Diagnostic,
    expose::ExposePlace,
    health::Check,
    pool::{PeerProtocol, Pool},
    reader::Faults,
    server::{ServerAddress, ServerSpec},
    sticky::Sticky,
};

/// Notes every fault in how the parts of `pool` fit together.
pub(super) fn check(pool: &Pool, faults: &Faults) {
    check_tls_names(pool, faults);
    check_servers(pool, faults);
    check_routes(pool, faults);
    check_warm_up(pool, faults);
    check_ring(pool, faults);
    check_queue(pool, faults);
    check_health(pool, faults);
    check_exposed(pool, faults);
    warn_of_idle_servers(pool, faults);
}

/// Two cookies of one name: the second would take the client away from its server.
fn check_exposed(pool: &Pool, faults: &Faults) {
    let Some(ExposePlace::Cookie(exposed)) = pool.expose.as_ref().map(|expose| &expose.place)
    else {
        return;
    };
    let bound = match &pool.sticky {
        Some(Sticky::Cookie(cookie)) => &cookie.name,
        Some(Sticky::Route(name)) => name,
        _ => return,
    };
    if exposed == bound {
        faults.push(
            Diagnostic::error(
                pool.name.span.clone(),
                format!(
                    "`expose_upstream` and `sticky` of pool `{}` have one cookie",
                    *pool.name
                ),
            )
            .help("give the one of `expose_upstream` another name: \"upstream\""),
        );
    }
}

fn check_servers(pool: &Pool, faults: &Faults) {
    let mut seen = HashSet::new();
    for server in &pool.servers {
        if !seen.insert(&server.address.value) {
            faults.push(
                Diagnostic::error(
                    server.address.span.clone(),
                    format!(
                        "{} stands twice in pool `{}`",
                        server.address.value, *pool.name
                    ),
                )
                .help("to give it a larger share, write { address = \"…\", weight = 2 }"),
            );
        }
        if server.backup && pool.balance.is_mapping() {
            faults.push(
                Diagnostic::error(
                    server.address.span.clone(),
                    format!(
                        "a backup server cannot stand in a pool with balance = \"{}\"",
                        pool.balance
                    ),
                )
                .help("remove `backup`, or use balance = \"round_robin\""),
            );
        }
    }
    if let [only] = pool.servers.as_slice()
        && only.limits_failures
    {
        faults.push(
            Diagnostic::warning(
                only.address.span.clone(),
                format!("`max_fails` and `fail_timeout` do nothing in pool `{}`: it has a single server", *pool.name),
            )
            .help("the only server of a pool is never taken out; add a second one, or remove them"),
        );
    }
}

fn warn_of_idle_servers(pool: &Pool, faults: &Faults) {
    if !pool.servers.is_empty()
        && pool
            .servers
            .iter()
            .all(|server| server.down || server.drain)
    {
        faults.push(
            Diagnostic::warning(
                pool.name.span.clone(),
                format!("every server of pool `{}` is down", *pool.name),
            )
            .help("its routes will answer 502"),
        );
    } else if !pool.servers.is_empty()
        && pool
            .servers
            .iter()
            .all(|server| server.backup || server.down)
    {
        faults.push(
            Diagnostic::warning(
                pool.name.span.clone(),
                format!("pool `{}` has backup servers only", *pool.name),
            )
            .help("they are used as if they were not backups; remove `backup`"),
        );
    }
}

/// Who is called how by apps.
fn check_routes(pool: &Pool, faults: &Faults) {
    let mut seen = HashMap::new();
    for route in pool
        .servers
        .iter()
        .filter_map(|server| server.route.as_ref())
    {
        if seen.insert(route.as_str(), ()).is_some() {
            faults.push(
                Diagnostic::error(
                    route.span.clone(),
                    format!(
                        "two servers of pool `{}` have the route `{}`",
                        *pool.name, **route
                    ),
                )
                .help("each server has its own, as in its jvmRoute"),
            );
        }
    }
    let without = pool.servers.iter().find(|server| server.route.is_none());
    if let (Some(Sticky::Route(_)), Some(server)) = (&pool.sticky, without) {
        faults.push(
            Diagnostic::error(
                server.address.span.clone(),
                format!(
                    "{} has no `route`, so that no client could stay with it",
                    server.address.value
                ),
            )
            .help("add it as the server's app calls it: { address = \"…\", route = \"node1\" }"),
        );
    }
}

/// A server that warms up is given less, which a mapping cannot do.
fn check_warm_up(pool: &Pool, faults: &Faults) {
    let warms_up = |server: &&ServerSpec| !server.slow_start.is_zero();
    if pool.balance.is_mapping()
        && let Some(server) = pool.servers.iter().find(warms_up)
    {
        faults.push(
            Diagnostic::error(
                server.address.span.clone(),
                format!("`slow_start` does not go with balance = \"{}\"", pool.balance),
            )
            .help("the mapping gives each server what it gives it: remove `slow_start`, or use another method"),
        );
    }
}

/// A ring of more points than this takes seconds to build, at every reload.
const MOST_WEIGHT_ON_A_RING: u32 = 20_000;

fn check_ring(pool: &Pool, faults: &Faults) {
    let weight: u32 = pool.servers.iter().map(|server| server.weight).sum();
    let is_ring = matches!(
        pool.balance,
        Balance::Hash {
            consistent: true,
            ..
        }
    );
    if is_ring && weight > MOST_WEIGHT_ON_A_RING {
        faults.push(
            Diagnostic::error(
                pool.name.span.clone(),
                format!("the weights of pool `{}` add up to {weight}, which is too much for `consistent`", *pool.name),
            )
            .help("each unit of weight is 160 points on a ring: divide all weights by the same number"),
        );
    }
}

fn check_queue(pool: &Pool, faults: &Faults) {
    let is_unlimited = |server: &ServerSpec| server.max_conns == 0;
    if pool.queue.is_some() && pool.servers.iter().all(is_unlimited) {
        faults.push(
            Diagnostic::warning(
                pool.name.span.clone(),
                format!("`queue` does nothing in pool `{}`: no server has `max_conns`", *pool.name),
            )
            .help("requests wait when every server has as many as it may: add max_conns to the servers"),
        );
    }
}

fn check_health(pool: &Pool, faults: &Faults) {
    let Some(health) = &pool.health else {
        return;
    };
    let fault = |message: String, help: &str| {
        faults.push(Diagnostic::error(pool.name.span.clone(), message).help(help));
    };
    let name = &*pool.name;
    match &health.check {
        Check::Grpc { .. } if pool.protocol != PeerProtocol::Http2 => fault(
            format!("check = \"grpc\" is for pools that speak HTTP/2, and pool `{name}` does not"),
            "add protocol = \"h2c\", or \"h2\" with TLS",
        ),
        Check::Tls if pool.tls.is_none() => fault(
            format!("check = \"tls\" is for pools with `tls`, and pool `{name}` has none"),
            "add tls = { … }, or use check = \"tcp\"",
        ),
        _ => {}
    }
    if health.timeout > health.interval * 10 {
        faults.push(
            Diagnostic::warning(
                pool.name.span.clone(),
                format!(
                    "the checks of pool `{name}` may take far longer than from one to the next"
                ),
            )
            .help("a check that hangs is noticed after `timeout`: make it shorter"),
        );
    }
}

/// Servers that are verified by their own names must have names that TLS knows.
fn check_tls_names(pool: &Pool, faults: &Faults) {
    if pool
        .tls
        .as_ref()
        .is_none_or(|tls| tls.server_name.is_some())
    {
        return;
    }
    for server in &pool.servers {
        if let ServerAddress::Name(name, _) = &server.address.value
            && ServerName::try_from(name.as_str()).is_err()
        {
            faults.push(
                Diagnostic::error(
                    server.address.span.clone(),
                    format!("{name} is not a name that TLS can ask for"),
                )
                .help("say which one it is: tls = { server_name = \"app.internal\" }"),
            );
        }
    }
}
