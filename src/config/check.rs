//! What one value cannot show: whether the parts of a file fit together.

mod pool;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use super::{
    Config,
    action::Action,
    balance::Balance,
    diagnostic::Diagnostic,
    listener::Listener,
    pool::{PeerProtocol, Pool},
    reader::{Faults, nearest},
    route::{HostMatch, PathMatch, Route},
    source::At,
    sticky::Sticky,
    stream::{Stream, StreamProtocol, StreamTarget},
    template::{Part, Template, Variable},
};

/// Notes every fault in how the parts of `config` fit together.
pub(super) fn check(config: &Config, faults: &Faults) {
    if config.listeners.is_empty() && config.streams.is_empty() {
        faults.push(
            Diagnostic::whole_file("no [[listeners]]: nothing to accept connections on")
                .help("add: [[listeners]]  bind = \"0.0.0.0:8100\""),
        );
    }
    check_addresses(config, faults);
    check_names(&config.listeners, faults);
    for stream in &config.streams {
        check_stream(stream, config, faults);
    }
    for pool in &config.pools {
        pool::check(pool, faults);
    }
    for route in &config.routes {
        check_route(route, config, faults);
    }
    check_duplicate_routes(&config.routes, faults);
    warn_unused_pools(config, faults);
    warn_of_same_cookies(config, faults);
}

/// Each address belongs to one listener or stream; those of UDP are addresses of their own.
fn check_addresses(config: &Config, faults: &Faults) {
    let of_listeners = config.listeners.iter().flat_map(|listener| &listener.bind);
    let of_streams = |protocol| {
        let streams = config.streams.iter();
        let streams = streams.filter(move |stream| stream.protocol == protocol);
        streams.flat_map(|stream| &stream.bind)
    };
    let of_admin = config.admin.iter().map(|admin| &admin.bind);
    let of_tcp = of_streams(StreamProtocol::Tcp);
    check_bound(of_listeners.chain(of_tcp).chain(of_admin), faults);
    check_bound(of_streams(StreamProtocol::Udp), faults);
}

fn check_bound<'c>(addresses: impl Iterator<Item = &'c At<SocketAddr>>, faults: &Faults) {
    let mut bound: HashSet<SocketAddr> = HashSet::new();
    for bind in addresses {
        if bind.port() == 0 {
            faults.push(
                Diagnostic::warning(
                    bind.span.clone(),
                    "port 0: the system chooses a port at each start",
                )
                .help("name the port that clients use: \"0.0.0.0:8100\""),
            );
        } else if !bound.insert(bind.value) {
            faults.push(
                Diagnostic::error(bind.span.clone(), format!("{} is bound twice", bind.value))
                    .help("each address belongs to one listener or stream: remove one of the two"),
            );
        }
    }
}

fn check_names(listeners: &[Listener], faults: &Faults) {
    let mut names: HashSet<&str> = HashSet::new();
    for listener in listeners {
        if let Some(name) = &listener.name
            && !names.insert(name)
        {
            faults.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("two listeners are named `{}`", name.value),
                )
                .help("routes could not tell them apart: rename one"),
            );
        }
    }
}

fn check_stream(stream: &Stream, config: &Config, faults: &Faults) {
    for name in stream.pools() {
        check_pool_name(name, config, faults);
        let pool = config.pools.iter().find(|pool| *pool.name == **name);
        if stream.protocol == StreamProtocol::Udp && pool.is_some_and(|pool| pool.tls.is_some()) {
            faults.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!(
                        "pool `{}` has `tls`, and datagrams would go to it in the clear",
                        **name
                    ),
                )
                .help("give the stream a pool without `tls`"),
            );
        }
        if let Some(pool) = pool {
            check_keys_of_stream(name, pool, faults);
        }
        let is_closed = matches!(stream.target, StreamTarget::Sni(_));
        if is_closed && pool.is_some_and(|pool| pool.tls.is_some()) {
            faults.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("pool `{}` has `tls`, and `sni` passes on the client's own", **name),
                )
                .help("give the stream a pool without `tls`, or end the client's TLS with `tls` in place of `sni`"),
            );
        }
        if pool.is_some_and(|pool| pool.protocol == PeerProtocol::Http2) {
            faults.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!(
                        "pool `{}` speaks HTTP/2, and a stream passes on what clients speak",
                        **name
                    ),
                )
                .help("give the stream a pool without `protocol`"),
            );
        }
    }
}

/// A stream has no request: what its pool goes by must be known without one.
fn check_keys_of_stream(name: &At<String>, pool: &Pool, faults: &Faults) {
    let fault = |message: String, help: &str| {
        faults.push(Diagnostic::error(name.span.clone(), message).help(help));
    };
    let hashed = match &pool.balance {
        Balance::Hash { key, .. } => Some(key),
        _ => None,
    };
    let learnt = pool.sticky.as_ref().and_then(Sticky::key);
    let mut variables = [hashed, learnt]
        .into_iter()
        .flatten()
        .flat_map(Template::variables);
    if let Some(variable) = variables.find(|variable| !variable.is_of_connection()) {
        fault(
            format!(
                "pool `{}` goes by `{variable}`, which a stream does not have",
                **name
            ),
            "a pool for streams can go by $remote_addr, $remote_port and $server_port",
        );
    }
    if pool.sticky.is_some() && learnt.is_none() {
        fault(
            format!(
                "pool `{}` is sticky by a cookie, which a stream does not have",
                **name
            ),
            "a pool for streams can learn by address: sticky = { learn = \"$remote_addr\" }",
        );
    }
}

/// Has checks send the PROXY header that traffic is sent with.
pub(super) fn settle_proxy_headers(config: &mut Config, faults: &Faults) {
    for pool in &mut config.pools {
        let Some(health) = pool.health.as_mut() else {
            continue;
        };
        let mut names = config.streams.iter().flat_map(Stream::pools);
        health.is_for_streams = names.any(|name| **name == *pool.name);
        if health.says_proxy {
            continue;
        }
        let streams = config.streams.iter();
        let uses = |stream: &&Stream| {
            let is_tcp = stream.protocol == StreamProtocol::Tcp;
            is_tcp && stream.pools().any(|name| **name == *pool.name)
        };
        let by_streams = streams.filter(uses).map(|stream| stream.send_proxy);
        let forwards = |route: &&Route| matches!(&route.action, Action::Forward(forward) if *forward.pool == *pool.name);
        let by_routes = config.routes.iter().filter(forwards).map(|_| None);
        let mut sent: Vec<_> = by_streams.chain(by_routes).collect();
        sent.dedup();
        match sent.as_slice() {
            [] => {}
            [same] => health.send_proxy = *same,
            _ => faults.push(
                Diagnostic::error(
                    pool.name.span.clone(),
                    format!("pool `{}` is sent different PROXY headers, and its checks can send but one", *pool.name),
                )
                .help("say which: health = { send_proxy = \"v1\", … }, or \"off\""),
            ),
        }
    }
}

fn check_pool_name(name: &At<String>, config: &Config, faults: &Faults) {
    if !config.pools.iter().any(|pool| *pool.name == **name) {
        let known = config.pools.iter().map(|pool| pool.name.as_str());
        let help = unknown_name_help(name, known, "the file has no pools; add [pools.NAME]");
        faults.push(
            Diagnostic::error(name.span.clone(), format!("there is no pool `{}`", **name))
                .help(help),
        );
    }
}

/// A redirect to the same URL with https, where the client has used just that.
fn check_redirect(route: &Route, config: &Config, faults: &Faults) {
    let Action::Redirect { to, .. } = &route.action else {
        return;
    };
    let port = match to.parts.as_slice() {
        [
            Part::Literal(scheme),
            Part::Variable(Variable::Host),
            rest @ ..,
        ] if scheme == "https://" => match rest {
            [Part::Variable(Variable::RequestUri)] => Some(443),
            [Part::Literal(port), Part::Variable(Variable::RequestUri)] => {
                port.strip_prefix(':').and_then(|port| port.parse().ok())
            }
            _ => None,
        },
        _ => None,
    };
    let is_there = |listener: &&Listener| {
        let mut ports = listener.bind.iter().map(|bind| bind.port());
        listener.tls.is_some() && ports.any(|bound| Some(bound) == port)
    };
    let is_for = |listener: &&Listener| {
        let name = listener.name.as_ref().map(|name| name.as_str());
        let mut wanted = route.listeners.iter();
        route.listeners.is_empty() || wanted.any(|wanted| Some(wanted.as_str()) == name)
    };
    let mut listeners = config.listeners.iter().filter(is_for);
    if let Some(listener) = listeners.find(is_there) {
        faults.push(
            Diagnostic::warning(
                route.path.span.clone(),
                format!(
                    "the redirect to https is for listener `{}`, too, which has TLS: clients go round in circles",
                    listener.label()
                ),
            )
            .help("name the listeners that it is for: listeners = [\"http\"]"),
        );
    }
}

fn check_route(route: &Route, config: &Config, faults: &Faults) {
    check_redirect(route, config, faults);
    for name in &route.listeners {
        let mut names = config.listeners.iter().filter_map(|l| l.name.as_ref());
        if !names.any(|known| **known == **name) {
            let known = config
                .listeners
                .iter()
                .filter_map(|l| l.name.as_ref().map(|n| n.as_str()));
            let help = unknown_name_help(
                name,
                known,
                "no listener has a name; add name = \"…\" to one",
            );
            faults.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("there is no listener `{}`", **name),
                )
                .help(help),
            );
        }
    }
    if let Action::Forward(forward) = &route.action {
        check_pool_name(&forward.pool, config, faults);
    }
}

fn unknown_name_help<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str> + Clone,
    none: &str,
) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let names: Vec<_> = known.collect();
    if names.is_empty() {
        none.to_owned()
    } else {
        format!("the file has: {}", names.join(", "))
    }
}

/// Two routes collide when a request could not choose between them: same path, a host in common, a listener in common.
fn check_duplicate_routes(routes: &[Route], faults: &Faults) {
    let mut by_path: HashMap<String, Vec<&Route>> = HashMap::new();
    for route in routes {
        if matches!(route.path.value, PathMatch::Regex(_)) {
            continue;
        }
        let earlier = by_path.entry(route.path.label()).or_default();
        if earlier
            .iter()
            .any(|other| share_host(other, route) && share_listener(other, route))
        {
            let hosts: Vec<_> = route.hosts.iter().map(|host| host.to_string()).collect();
            let whose = if hosts.is_empty() {
                String::new()
            } else {
                format!(" for {}", hosts.join(", "))
            };
            faults.push(
                Diagnostic::error(route.path.span.clone(), format!("two routes for `{}`{whose}", route.path.label()))
                    .help("a request could not choose between them: remove one, or set them apart by hosts or listeners"),
            );
        }
        earlier.push(route);
    }
}

fn share_host(a: &Route, b: &Route) -> bool {
    (a.hosts.is_empty() && b.hosts.is_empty())
        || a.hosts
            .iter()
            .any(|host| b.hosts.iter().any(|other| **other == **host))
}

fn share_listener(a: &Route, b: &Route) -> bool {
    a.listeners.is_empty()
        || b.listeners.is_empty()
        || a.listeners
            .iter()
            .any(|name| b.listeners.iter().any(|other| **other == **name))
}

/// A client of two pools that use one cookie would lose its server at each change between them.
fn warn_of_same_cookies(config: &Config, faults: &Faults) {
    let mut seen: HashMap<_, &Pool> = HashMap::new();
    for pool in &config.pools {
        let Some(Sticky::Cookie(cookie)) = &pool.sticky else {
            continue;
        };
        let what = (&cookie.name, &cookie.path, &cookie.domain);
        if let Some(other) = seen.insert(what, pool)
            && (cookie.domain.is_some() || may_share_clients(config, other, pool))
        {
            faults.push(
                Diagnostic::warning(
                    pool.name.span.clone(),
                    format!(
                        "pools `{}` and `{}` both set the cookie `{}`: clients of both lose their servers",
                        *other.name, *pool.name, cookie.name
                    ),
                )
                .help("give each its own name, or its own `path`"),
            );
        }
    }
}

/// Whether a name may be meant by both.
fn meet(one: &HostMatch, other: &HostMatch) -> bool {
    match (one, other) {
        (HostMatch::Exact(a), HostMatch::Exact(b)) => a == b,
        (HostMatch::Wildcard(suffix), HostMatch::Exact(name))
        | (HostMatch::Exact(name), HostMatch::Wildcard(suffix)) => name.ends_with(suffix.as_str()),
        (HostMatch::Wildcard(a), HostMatch::Wildcard(b)) => a.ends_with(b) || b.ends_with(a),
    }
}

/// Whether there is a host with routes to both.
fn may_share_clients(config: &Config, one: &Pool, other: &Pool) -> bool {
    let routes_to = |pool: &Pool| {
        let name = pool.name.value.clone();
        let is_to = move |route: &&Route| matches!(&route.action, Action::Forward(forward) if forward.pool.value == name);
        config.routes.iter().filter(is_to)
    };
    let share = |a: &Route, b: &Route| {
        let mut hosts = a.hosts.iter();
        let is_of_b = |host: &At<HostMatch>| b.hosts.iter().any(|other| meet(host, other));
        a.hosts.is_empty() || b.hosts.is_empty() || hosts.any(is_of_b)
    };
    routes_to(one).any(|a| routes_to(other).any(|b| share(a, b)))
}

fn warn_unused_pools(config: &Config, faults: &Faults) {
    for pool in &config.pools {
        let is_forwarded_to = config.routes.iter().any(|route| matches!(&route.action, Action::Forward(forward) if *forward.pool == *pool.name));
        let mut streams = config.streams.iter().flat_map(Stream::pools);
        if !is_forwarded_to && !streams.any(|name| **name == *pool.name) {
            faults.push(
                Diagnostic::warning(
                    pool.name.span.clone(),
                    format!("no route or stream uses pool `{}`", *pool.name),
                )
                .help("add a route or a stream with this pool, or remove it"),
            );
        }
    }
}
