//! What would become of a request, told rather than done: by the same router, the same choice of a server and the same
//! writing of heads that requests go through, and with the lines of the file that each comes from.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::Uri;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    context::{Context, SiteSource},
    exchange::{ClientSeen, Exchange, Times},
    h1::parse_request,
    handler::{check_body, offer, with_slash},
    headers::{PeerHead, write_peer_head},
    message::RequestHead,
    path::Path,
    router::Found,
    search::Search,
    site::{Action, Forward, Route, Site},
    variables::{host_name, write_template},
};
use crate::{
    config::{self, At, Config, Listener, Retry},
    net::Shared,
    telemetry::{AccessLog, AccessWriter},
    upstream::PickContext,
};

/// A request to be explained.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The method.
    pub method: String,
    /// `http://host:port/path?query`.
    pub url: String,
    /// Fields, each `Name: value`.
    pub fields: Vec<String>,
    /// Who asks.
    pub client: IpAddr,
}

/// What would become of `question` under `config`; `site_of` has what its listeners serve.
///
/// # Errors
/// What is wrong with the question.
pub fn explain(
    config: &Config,
    site_of: impl Fn(SocketAddr) -> Option<Arc<Site>>,
    question: &Question,
) -> Result<String, String> {
    let uri: Uri = question
        .url
        .parse()
        .map_err(|error| format!("{}: {error}", question.url))?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| ["http", "https"].contains(scheme));
    let (scheme, host) = scheme
        .zip(uri.authority())
        .ok_or("a URL begins with http:// or https:// and a host")?;
    let is_https = scheme == "https";
    let port = host.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let head = head_of(question, &uri, host.as_str());
    let (listener, bind) = listener_for(config, host.host(), port)?;
    let site = site_of(bind).ok_or("the listener is not served")?;
    let request = match parse_request(&head, site.limits) {
        Ok(Some((request, _))) => request,
        Ok(None) => return Err("that is no request".to_owned()),
        Err(error) => return Ok(format!("answered {}: {error}\n", error.status())),
    };
    let shared = Shared::new(AccessWriter::new(AccessLog::nowhere()), Arc::default());
    let context = Context::new(Box::new(Nowhere), shared);
    let now = Instant::now();
    let times = Times {
        started: now,
        arrived: now,
    };
    let seen = ClientSeen::new((question.client, 40_000).into(), port, is_https);
    let mut account = Account {
        config,
        text: format!("{} {}\n\n", question.method, question.url),
    };
    account.tell_listener(listener, is_https);
    let exchange = Exchange::new(&context, &site, seen, &request, times);
    account.tell_client(&exchange, question.client);
    account.tell_route(&exchange, &request, &site);
    Ok(account.text)
}

/// The head that the client would send.
fn head_of(question: &Question, uri: &Uri, host: &str) -> Vec<u8> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", question.method);
    let names_host = |field: &String| field.to_ascii_lowercase().starts_with("host:");
    if !question.fields.iter().any(names_host) {
        let _ = write!(head, "Host: {host}\r\n");
    }
    for field in &question.fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The listener that a client of `host` comes to at `port`, and the address that it has there.
fn listener_for<'c>(
    config: &'c Config,
    host: &str,
    port: u16,
) -> Result<(&'c Listener, SocketAddr), String> {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let all = || {
        let listeners = config.listeners.iter();
        listeners.flat_map(|l| l.bind.iter().map(move |bind| (l, bind.value)))
    };
    let is_there = |(_, bind): &(&Listener, SocketAddr)| {
        let ip = bind.ip();
        let is_for_host = ip.is_unspecified() || address.is_none_or(|address| address == ip);
        bind.port() == port && is_for_host
    };
    all().find(is_there).ok_or_else(|| {
        let binds: Vec<_> = all().map(|(_, bind)| bind.to_string()).collect();
        let binds = binds.join(", ");
        format!("no listener for {host} at port {port}; the file has {binds}")
    })
}

/// Nothing is followed here.
#[derive(Debug)]
struct Nowhere;

impl SiteSource for Nowhere {
    fn site(&self, _: SocketAddr) -> Option<Arc<Site>> {
        None
    }

    fn follow(&self, _: SocketAddr, _: &mut Arc<Site>) -> bool {
        false
    }

    fn let_go(&self) {}
}

/// The answer while it is written.
struct Account<'a> {
    config: &'a Config,
    text: String,
}

impl Account<'_> {
    /// One line: what it is, what there is to say, and where the file says so.
    fn tell(&mut self, what: &str, fact: impl std::fmt::Display, place: Option<String>) {
        let place = place.map_or_else(String::new, |place| format!("   ({place})"));
        // A String takes every write.
        let _ = writeln!(self.text, "{what:<10} {fact}{place}");
    }

    /// `lb.toml:12`.
    fn place<T>(&self, at: &At<T>) -> Option<String> {
        let position = self.config.source.position(at.span.start);
        Some(format!("{}:{}", self.config.source.name(), position.line))
    }

    /// Where `key` stands among `keys`, or that it is the default.
    fn place_of(&self, keys: &[&[At<String>]], key: &str) -> Option<String> {
        let mut keys = keys.iter().flat_map(|keys| keys.iter());
        let found = keys.find(|known| known.value == key);
        found.map_or_else(|| Some("default".to_owned()), |key| self.place(key))
    }

    fn tell_listener(&mut self, listener: &Listener, is_https: bool) {
        let place = listener.bind.first().and_then(|bind| self.place(bind));
        self.tell("listener", listener.label(), place);
        match (listener.tls.is_some(), is_https) {
            (true, false) => self.tell("", "it speaks https: this client is answered 400", None),
            (false, true) => self.tell("", "it does not speak https: this client fails", None),
            _ => {}
        }
    }

    fn tell_client(&mut self, exchange: &Exchange<'_>, connected: IpAddr) {
        let client = exchange.client.address;
        if client == connected {
            self.tell("client", client, None);
        } else {
            let fact = format!("{client}, as the trusted proxy {connected} says");
            self.tell("client", fact, None);
        }
    }

    fn tell_route(&mut self, exchange: &Exchange<'_>, request: &RequestHead, site: &Site) {
        let Ok(path) = Path::parse(request.path()) else {
            return self.tell("answer", "400: the path is invalid", None);
        };
        let host = host_name(request.host()).to_ascii_lowercase();
        let route = match site.router.find(&host, &path.normal) {
            None => return self.tell("answer", "404: there is no route for it", None),
            Some(Found::WithSlash(route)) => {
                let place = self.place_of_route(route);
                let to = with_slash(route, request);
                let to = format!("308 to {}", String::from_utf8_lossy(&to));
                return self.tell("answer", to, place);
            }
            Some(Found::Route(route)) => route,
        };
        let described = self.config.routes.get(route.index);
        let label = described
            .map(|route| route.path.label())
            .unwrap_or_default();
        let place = self.place_of_route(route);
        self.tell("route", label, place);
        let normal = String::from_utf8_lossy(&path.normal).into_owned();
        if normal.as_bytes() != request.path() {
            self.tell("", format!("the path is compared as {normal}"), None);
        }
        if let Err(error) = check_body(route, request) {
            let fact = format!("{}: {error} (max_body)", error.status().as_u16());
            return self.tell("answer", fact, None);
        }
        match &route.action {
            Action::Forward(forward) => {
                self.tell_forward(exchange, request, (route, forward), &path);
            }
            Action::Redirect { to, status } => {
                let mut target = Vec::new();
                write_template(&mut target, to, exchange);
                let to = String::from_utf8_lossy(&target).into_owned();
                self.tell("answer", format!("{} to {to}", status.as_u16()), None);
            }
            Action::Respond { status, .. } => {
                self.tell("answer", format!("{status}, by lbd itself"), None);
            }
        }
    }

    fn place_of_route(&self, route: &Route) -> Option<String> {
        let described = self.config.routes.get(route.index)?;
        self.place(&described.path)
    }

    fn tell_forward(
        &mut self,
        exchange: &Exchange<'_>,
        request: &RequestHead,
        (route, forward): (&Route, &Forward),
        path: &Path<'_>,
    ) {
        let pool = forward.pool.config();
        let place = self.place(&pool.name);
        self.tell("pool", format!("{}, {}", *pool.name, pool.balance), place);
        let search = Search::new(forward, exchange, request);
        let context = search.first_context(Instant::now());
        let mut prospects = forward.pool.rehearse(&context);
        if prospects.iter().all(|prospect| prospect.turn.is_none()) {
            // Better one that may lack it than nobody.
            let anybody = PickContext {
                avoided: &[],
                ..context
            };
            prospects = forward.pool.rehearse(&anybody);
        }
        let mut first = None;
        for prospect in &prospects {
            let turn = prospect
                .turn
                .map_or_else(|| "-".to_owned(), |turn| format!("{turn}."));
            let fact = format!("{turn:>2} {}: {}", prospect.status.server, prospect.why);
            let spec = pool.servers.iter();
            let mut spec = spec.filter(|spec| spec.address.to_string() == prospect.authority);
            let place = spec.next().and_then(|spec| self.place(&spec.address));
            self.tell("server", fact, place);
            first = first.or_else(|| prospect.turn.map(|_| &*prospect.authority));
        }
        let keys: Vec<_> = self
            .config
            .routes
            .get(route.index)
            .map(|r| r.keys.clone())
            .unwrap_or_default();
        if let Some(replacement) = &forward.replace_prefix {
            let place = self.place_of(&[&keys], "replace_prefix");
            self.tell(
                "rewrite",
                format!("{} becomes {replacement}", route.path),
                place,
            );
        }
        if !route.request_headers.set.is_empty() || !route.request_headers.remove.is_empty() {
            let place = self.place_of(&[&keys], "request_headers");
            self.tell(
                "headers",
                "the route edits what the server gets (below)",
                place,
            );
        }
        self.tell_terms(forward, pool, &keys);
        match first {
            Some(authority) => self.tell_head(exchange, request, (route, forward), path, authority),
            None if prospects
                .iter()
                .any(|prospect| prospect.status.state == "up") =>
            {
                let waits = match pool.queue {
                    Some(_) => "it waits until a server has room, or is answered 503",
                    None => "503: no server has room (max_conns)",
                };
                self.tell("answer", waits, None);
            }
            None => self.tell("answer", "502: there is no live server", None),
        }
    }

    /// How often and how long.
    fn tell_terms(&mut self, forward: &Forward, pool: &config::Pool, route: &[At<String>]) {
        let retry = forward.retry.config();
        let place = self.place_of(&[route, &pool.keys], "retry");
        self.tell("retry", in_words(retry), place);
        let config::PeerTimeouts {
            connect,
            send,
            read,
            tunnel,
        } = forward.timeouts;
        let fact = format!("connect {connect:?}, send {send:?}, read {read:?}, tunnel {tunnel:?}");
        let place = self.place_of(&[route, &pool.keys], "timeouts");
        self.tell("timeouts", fact, place);
    }

    /// What the server gets.
    fn tell_head(
        &mut self,
        exchange: &Exchange<'_>,
        request: &RequestHead,
        (route, forward): (&Route, &Forward),
        path: &Path<'_>,
        authority: &str,
    ) {
        let target = forward.target(request, path, &route.path);
        let offer = match offer(request, forward) {
            Ok(offer) => offer,
            Err(error) => {
                let fact = format!("{}: {error}", error.status().as_u16());
                return self.tell("answer", fact, None);
            }
        };
        let head = PeerHead {
            route,
            target: &target,
            host: forward.host_sent(request, authority),
            framing: request.body,
            expects_continue: request.expects_continue,
            offer: offer.as_deref(),
        };
        let mut text = Vec::new();
        write_peer_head(&mut text, exchange, request, &head);
        self.text.push_str("\nthe server gets\n");
        for line in String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| !line.is_empty())
        {
            let _ = writeln!(self.text, "  {line}");
        }
    }
}

fn in_words(retry: &Retry) -> String {
    let on = &retry.on;
    let words = [
        (on.error, "error"),
        (on.timeout, "timeout"),
        (on.invalid_header, "invalid_header"),
        (on.grpc_unavailable, "grpc_unavailable"),
    ];
    let mut words: Vec<_> = words
        .into_iter()
        .filter(|(is_listed, _)| *is_listed)
        .map(|(_, word)| word.to_owned())
        .collect();
    words.extend(on.statuses.iter().map(|status| format!("http_{status}")));
    if words.is_empty() {
        return "never".to_owned();
    }
    let tries = match retry.tries {
        0 => "each server once".to_owned(),
        tries => format!("{tries} tries"),
    };
    let timeout = match retry.timeout {
        timeout if timeout.is_zero() => String::new(),
        timeout => format!(", none begun after {timeout:?}"),
    };
    let twice = if retry.non_idempotent {
        ", POST too"
    } else {
        ", POST, PATCH and LOCK only while nothing was sent"
    };
    let budget = retry.budget.map_or_else(String::new, |percent| {
        format!(", {percent}% of the pool's requests at most")
    });
    format!("on {}; {tries}{timeout}{twice}{budget}", words.join(", "))
}
