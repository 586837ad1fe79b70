//! From one file to a checked [`Config`], or to a [`Report`] of every fault in it.
//!
//! Three passes, like a compiler: the text becomes tables that know their place (`toml`), the
//! tables become typed values (`reader` and a file for each kind of table), and the whole is held
//! together (`check`). None of them stops at its first fault, and nothing later than this room
//! ever sees a file that had one.

// The file, and how its faults are shown.
mod diagnostic;
mod reader;
mod source;
mod units;

// One kind of table each.
mod action;
mod admin;
mod balance;
mod certificate;
mod expose;
mod headers;
mod health;
mod listener;
mod log;
mod notify;
mod pool;
mod proxies;
mod retry;
mod route;
mod server;
mod sticky;
mod stream;
mod template;
mod tls;
mod tracing;

// How they fit together.
mod check;

use std::{path::PathBuf, time::Duration};

use toml::de::DeTable;

use self::reader::{Faults, Section};
pub use self::units::parse_duration;
pub use self::{
    action::{Action, Forward},
    admin::{Admin, Secret},
    balance::Balance,
    certificate::{Authorities, Certificate, crypto},
    diagnostic::{Diagnostic, Report, Severity},
    expose::{Expose, ExposePlace},
    headers::HeaderEdits,
    health::{Check, HealthCheck, HttpCheck},
    listener::{ClientTimeouts, Listener},
    log::{AccessFormat, AccessTarget, Log},
    notify::{EVENTS, Notify, Webhook, WebhookFormat},
    pool::{HostSent, Keepalive, PeerProtocol, PeerTimeouts, Pool, Queue, TimeoutOverrides},
    proxies::TrustedProxies,
    retry::{Retry, RetryOn, RetryOverrides},
    route::{ErrorPage, HostMatch, PathMatch, Route},
    server::{ServerAddress, ServerDefaults, ServerSpec},
    source::{At, Position, SourceFile},
    sticky::{LearnFrom, Sticky, StickyCookie, StickyLearn},
    stream::{ProxyVersion, SniRoute, Stream, StreamProtocol, StreamTarget, StreamTimeouts},
    template::{Part, Template, Variable},
    tls::{Alpn, ClientAuth, ListenerTls, PeerTls, TlsVersion},
    tracing::{Collector, Tracing},
};

/// Everything that a file says, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file.
    pub source: SourceFile,
    /// Worker threads; `None`: one for each core.
    pub workers: Option<usize>,
    /// Where `lbd reload` and its like reach the running process.
    pub control: Control,
    /// Where the process id is written, for nginx-style `-s` and old init scripts.
    pub pid: Option<PathBuf>,
    /// Where what operators order of servers is kept over a restart; `None`: it is forgotten.
    pub state_file: Option<PathBuf>,
    /// How long requests in flight are waited for on TERM and INT.
    pub shutdown_timeout: Duration,
    /// Over how long tunnels and streams are closed then, one after the other (HAProxy `close-spread-time`);
    /// `None`: they are waited for like requests.
    pub close_spread: Option<Duration>,
    /// The table `[log]`.
    pub log: Log,
    /// The table `[admin]`.
    pub admin: Option<Admin>,
    /// The table `[notify]`.
    pub notify: Option<Notify>,
    /// The table `[tracing]`.
    pub tracing: Option<Tracing>,
    /// The tables `[[listeners]]`, in the file's order.
    pub listeners: Vec<Listener>,
    /// The tables `[[streams]]`, in the file's order.
    pub streams: Vec<Stream>,
    /// The tables `[[routes]]`, in the file's order.
    pub routes: Vec<Route>,
    /// The tables `[pools.NAME]`, in the file's order.
    pub pools: Vec<Pool>,
}

/// Where the control socket is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Control {
    /// In `/run/lbd`, or where that cannot be written, in the user's runtime directory.
    Default,
    /// There is none.
    Off,
    /// At this path and no other.
    Path(PathBuf),
}

impl Config {
    /// The certificates that lbd shows, to clients and to servers.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let of_listeners = self.listeners.iter().filter_map(|l| l.tls.as_ref());
        let of_streams = self.streams.iter().filter_map(|s| s.tls.as_ref());
        let to_clients = of_listeners.chain(of_streams);
        let to_servers = self.pools.iter().filter_map(|pool| pool.tls.as_ref());
        to_clients
            .flat_map(|tls| &tls.certificates)
            .chain(to_servers.filter_map(|tls| tls.identity.as_ref()))
    }
}

/// A file that can be used, and what its author may want to know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Warnings only.
    pub warnings: Report,
}

/// Reads and checks `source`.
///
/// # Errors
/// Every fault and every warning of the file, if it has at least one fault.
pub fn load(source: &SourceFile) -> Result<Loaded, Report> {
    let (table, syntax_errors) = DeTable::parse_recoverable(source.text());
    let faults = Faults::new(source.directory());
    let section = Section::new("the file", table.get_ref(), table.span(), &faults);
    let mut config = read(section, source);
    // What the parser had to guess at must not be blamed on its author a second time.
    if syntax_errors.is_empty() {
        check::settle_proxy_headers(&mut config, &faults);
        check::check(&config, &faults);
    }
    let report = Report::new(
        source.clone(),
        with_syntax_faults(faults.into_inner(), &syntax_errors),
    );
    if report.errors() > 0 {
        return Err(report);
    }
    Ok(Loaded {
        config,
        warnings: report,
    })
}

/// The control socket that `source` names, however broken the rest of it is.
pub fn control_of(source: &SourceFile) -> Control {
    leniently(source, read_control)
}

/// The pid file that `source` names, however broken the rest of it is.
pub fn pid_of(source: &SourceFile) -> Option<PathBuf> {
    leniently(source, read_pid)
}

fn leniently<T>(source: &SourceFile, read: impl FnOnce(&Section<'_>) -> T) -> T {
    let (table, _) = DeTable::parse_recoverable(source.text());
    let faults = Faults::default();
    read(&Section::new(
        "the file",
        table.get_ref(),
        table.span(),
        &faults,
    ))
}

/// All that is wrong with a file. Behind a bracket that is not closed everything is read as
/// something else, so of what follows one only the bracket is told.
fn with_syntax_faults(mut faults: Vec<Diagnostic>, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    faults.extend(errors.iter().map(syntax_fault));
    let unclosed = errors
        .iter()
        .filter(|error| is_unclosed(error.message()))
        .map(syntax_fault);
    if let Some(bracket) = unclosed.min_by_key(Diagnostic::start) {
        faults.retain(|fault| fault.start() < bracket.start());
        faults.push(bracket);
    }
    faults
}

/// What the parser says when a bracket or a brace is missing.
fn is_unclosed(message: &str) -> bool {
    message.contains("array") || message.contains("inline table")
}

fn syntax_fault(error: &toml::de::Error) -> Diagnostic {
    let message = error
        .message()
        .lines()
        .next()
        .unwrap_or("not TOML")
        .to_owned();
    let help = if is_unclosed(&message) {
        "a bracket or a brace is probably not closed, here or above; mend it and check again"
    } else if message.contains("duplicate key") {
        "a name can stand once; to write several tables of a kind, double the brackets: [[routes]]"
    } else {
        "this is not valid TOML (https://toml.io); the rest of the file was read as far as possible"
    };
    let fault = match error.span() {
        Some(span) => Diagnostic::error(span, message),
        None => Diagnostic::whole_file(message),
    };
    fault.help(help)
}

fn read(section: Section<'_>, source: &SourceFile) -> Config {
    let entries = |key| {
        section
            .get(key)
            .map(|value| tables(&value))
            .unwrap_or_default()
    };
    let listeners: Vec<_> = entries("listeners")
        .iter()
        .filter_map(Listener::read)
        .collect();
    let shutdown_timeout = section
        .get("shutdown_timeout")
        .and_then(|v| v.duration())
        .unwrap_or(Duration::from_secs(30));
    let https = action::to_https(&listeners);
    let config = Config {
        source: source.clone(),
        workers: section.get("workers").and_then(|v| read_workers(&v)),
        control: read_control(&section),
        pid: read_pid(&section),
        state_file: section
            .get("state_file")
            .and_then(|v| v.string())
            .map(|path| PathBuf::from(path.value)),
        shutdown_timeout,
        close_spread: section
            .get("close_spread")
            .and_then(|v| read_spread(&v, shutdown_timeout)),
        log: section
            .get("log")
            .and_then(|v| Log::read(&v))
            .unwrap_or_default(),
        admin: section.get("admin").and_then(|v| Admin::read(&v)),
        notify: section.get("notify").and_then(|v| Notify::read(&v)),
        tracing: section.get("tracing").and_then(|v| Tracing::read(&v)),
        listeners,
        streams: entries("streams").iter().filter_map(Stream::read).collect(),
        routes: entries("routes")
            .iter()
            .filter_map(|route| Route::read(route, &https))
            .collect(),
        pools: read_pools(&section),
    };
    for key in ["vrrp", "discovery"] {
        section.not_yet(key);
    }
    section.finish();
    config
}

/// The tables of an array of them.
fn tables<'a>(value: &reader::Value<'a>) -> Vec<reader::Value<'a>> {
    if value.is_table() {
        let name = value.name();
        value.fault(
            "is one table where several may stand",
            &format!("double the brackets: [[{name}]]"),
        );
        return Vec::new();
    }
    value.array().unwrap_or_default()
}

fn read_workers(value: &reader::Value<'_>) -> Option<usize> {
    if value.is_string() {
        return value.word(&[("auto", ())]).and(None);
    }
    value.integer(1..=1024).map(|n| n.value as usize)
}

fn read_spread(value: &reader::Value<'_>, shutdown_timeout: Duration) -> Option<Duration> {
    let spread = value.timeout()?;
    if spread > shutdown_timeout {
        value.warn(
            "is longer than `shutdown_timeout`, which cuts off what is left",
            "make `shutdown_timeout` at least as long",
        );
    }
    Some(spread)
}

fn read_control(section: &Section<'_>) -> Control {
    match section.get("control").and_then(|v| v.string()) {
        None => Control::Default,
        Some(text) if *text == "off" => Control::Off,
        Some(text) => Control::Path(PathBuf::from(text.value)),
    }
}

fn read_pid(section: &Section<'_>) -> Option<PathBuf> {
    section
        .get("pid")
        .and_then(|v| v.string())
        .map(|path| PathBuf::from(path.value))
}

fn read_pools(section: &Section<'_>) -> Vec<Pool> {
    let Some(pools) = section.get("pools").and_then(|v| v.section("[pools]")) else {
        return Vec::new();
    };
    pools
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Pool::read(name, &value))
        .collect()
}

#[cfg(test)]
mod tests;
