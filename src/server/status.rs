//! What is to be told of the whole: one look at everything that is counted and known, for the API, the page and metrics.

use std::sync::{MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Server,
    snapshot::{Front, Snapshot},
};
use crate::{
    config::Certificate,
    net::Gate,
    telemetry::{
        CodeTotals, DurationClasses, Durations, Latency, ListenerStats, RequestTotals, Tally,
    },
    upstream::PoolStatus,
};

/// What there is to tell of a running lbd.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// lbd's own.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// The file that it serves.
    pub file: String,
    /// Since when.
    pub started_at: Timestamp,
    /// How long that is.
    pub uptime_seconds: u64,
    /// Whether it has been told to end.
    pub ending: bool,
    /// How many files have been served, this one included.
    pub generation: u64,
    /// What came of the last reload.
    pub last_reload: Option<ReloadStatus>,
    /// How many there were.
    pub reloads: ReloadTotals,
    /// All listeners together.
    pub totals: Totals,
    /// What each worker has done of that.
    pub workers: Vec<WorkerStatus>,
    /// Access lines that were lost because the disk did not take them.
    pub lost_log_lines: u64,
    /// HTTP/2 connections that were cut off because their frames only cost.
    pub h2_floods: u64,
    /// `[[listeners]]`, then `[[streams]]`.
    pub listeners: Vec<ListenerStatus>,
    /// `[[routes]]`, in the file's order.
    pub routes: Vec<RouteStatus>,
    /// The pools, by name.
    pub pools: Vec<PoolStatus>,
    /// Those that lbd shows.
    pub certificates: Vec<CertificateStatus>,
}

/// What came of a reload.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ReloadStatus {
    /// When it was.
    pub at: Timestamp,
    /// Whether the new file is served.
    pub ok: bool,
    /// Who asked for it.
    pub by: String,
    /// What was said.
    pub message: String,
}

/// How many reloads there were.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReloadTotals {
    /// With a new file as their result.
    pub good: u64,
    /// That changed nothing.
    pub failed: u64,
}

/// What all listeners and streams have come to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Totals {
    /// Requests, and connections and sessions of streams.
    pub requests: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Those that are open.
    pub connections: u64,
    /// Of these, those that wait for a next request.
    pub idle: u64,
    /// Tunnels and streams.
    pub tunnels: u64,
    /// How long requests took, those of streams left out.
    pub durations: DurationClasses,
}

/// One worker's part.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Connections that it accepted.
    pub accepted: u64,
    /// Requests that it answered.
    pub requests: u64,
}

/// What is to be told of a listener or a stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListenerStatus {
    /// Its name, or else its first address.
    pub name: String,
    /// Where it accepts, with ports that the system chose.
    pub addresses: Vec<String>,
    /// `http`, `https`, `tcp`, `tls` or `udp`.
    pub protocol: String,
    /// Connections, or sessions of UDP, that are open.
    pub connections: u64,
    /// How many may be; 0: any number.
    pub max_connections: u64,
    /// Those that wait for a next request.
    pub idle: u64,
    /// Tunnels and streams.
    pub tunnels: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of these, those that were too many.
    pub refused: u64,
    /// TLS handshakes that failed.
    pub tls_failures: u64,
    /// Connections without the PROXY header that they must begin with.
    pub proxy_header_failures: u64,
    /// Answers.
    pub requests: CodeTotals,
    /// Bytes of bodies and tunnels to clients.
    pub sent_bytes: u64,
    /// The same from them.
    pub received_bytes: u64,
    /// From the first byte of a request to the last of its answer; of a stream, until a server is found.
    pub latency: Latency,
}

/// What is to be told of a route.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RouteStatus {
    /// What it is for: listeners and hosts, if only some, and the path.
    pub route: String,
    /// `pool app_a`, `redirect to …` or `answer 503`.
    pub leads_to: String,
    /// The pool, if it leads to one.
    pub pool: Option<String>,
    /// Answers.
    pub requests: CodeTotals,
    /// Bytes of bodies to clients.
    pub sent_bytes: u64,
    /// The same from them.
    pub received_bytes: u64,
    /// From the first byte of a request to the last of its answer.
    pub latency: Latency,
}

/// What is to be told of a certificate.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CertificateStatus {
    /// Its file.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whole days until then; negative once it has ended.
    pub days_left: i64,
}

impl Server {
    /// What is to be told of what is served now. What only the reloader knows is left out.
    pub fn status(&self) -> Status {
        let (snapshot, now) = (self.snapshot.load(), Instant::now());
        let mut pools: Vec<_> = snapshot.pools().map(|pool| pool.status(now)).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        let mut listeners: Vec<_> = snapshot.fronts().map(|f| self.listener(&f)).collect();
        tell_apart(&mut listeners);
        let workers = self.worker_status(&snapshot);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            file: String::new(),
            started_at: self.started_at,
            uptime_seconds: self.started.elapsed().as_secs(),
            ending: self.is_ending(),
            generation: 0,
            last_reload: None,
            reloads: ReloadTotals::default(),
            totals: Totals::of(&listeners, &workers),
            workers,
            lost_log_lines: self.access.lost(),
            h2_floods: self.h2_floods.total(),
            listeners,
            routes: snapshot.route_status(),
            pools,
            certificates: certificates(&snapshot),
        }
    }

    fn listener(&self, front: &Front<'_>) -> ListenerStatus {
        let stats = front.gate.stats();
        let totals = RequestTotals::of(stats, |own| &own.requests);
        let since = |begun: fn(&ListenerStats) -> &Tally, ended: fn(&ListenerStats) -> &Tally| {
            let since = stats.sum(|own| begun(own).get().wrapping_sub(ended(own).get()));
            // Looked at one after the other: fewer than none is none.
            u64::try_from(since.cast_signed()).unwrap_or_default()
        };
        let tunnels = since(|own| &own.tunnels_begun, |own| &own.tunnels_ended);
        let inner = since(|own| &own.inner_begun, |own| &own.inner_ended);
        let busy = since(|own| &own.woken, |own| &own.slept);
        let (connections, max_connections) = front.connections();
        let is_http = is_http(front.protocol);
        // Looked at one after the other: what moves between two looks must not make it less than none.
        let alone = tunnels.saturating_sub(inner);
        let idle = connections.saturating_sub(busy).saturating_sub(alone);
        let addresses = self.addresses(front);
        ListenerStatus {
            name: front.name(),
            addresses,
            protocol: front.protocol.to_owned(),
            connections,
            max_connections,
            idle: if is_http { idle } else { 0 },
            tunnels,
            accepted: stats.sum(|own| own.accepted.get()),
            refused: stats.sum(|own| own.refused.get()),
            tls_failures: stats.sum(|own| own.tls_failures.get()),
            proxy_header_failures: stats.sum(|own| own.proxy_header_failures.get()),
            requests: totals.requests,
            sent_bytes: totals.sent_bytes,
            received_bytes: totals.received_bytes,
            latency: totals.latency,
        }
    }

    /// Keeps what was counted at listeners of `previous` that `next` does not have.
    pub(super) fn retire(&self, previous: &Snapshot, next: &Snapshot) {
        let mut retired = self.retired();
        retired.resize_with(self.workers.len(), WorkerStatus::default);
        for front in previous.fronts() {
            if !next.fronts().any(|kept| kept.gate.is_same(front.gate)) {
                count(&mut retired, front.gate);
            }
        }
    }

    fn worker_status(&self, snapshot: &Snapshot) -> Vec<WorkerStatus> {
        let mut workers = self.retired().clone();
        workers.resize_with(self.workers.len(), WorkerStatus::default);
        for front in snapshot.fronts() {
            count(&mut workers, front.gate);
        }
        workers
    }

    fn retired(&self) -> MutexGuard<'_, Vec<WorkerStatus>> {
        // Numbers that only grow.
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `front` accepts.
    fn addresses(&self, front: &Front<'_>) -> Vec<String> {
        let bound = self.bound();
        let actual = |configured| {
            let mut known = bound.iter().filter(|bound| {
                let is_udp = bound.configured.service == super::worker::Service::Datagrams;
                bound.configured.address == configured && is_udp == (front.protocol == "udp")
            });
            known.next().map_or(configured, |bound| bound.actual)
        };
        let binds = front.binds.iter();
        binds.map(|bind| actual(*bind).to_string()).collect()
    }
}

impl Front<'_> {
    fn name(&self) -> String {
        let first = || self.binds.first().map(ToString::to_string);
        let name = self.name.map(str::to_owned).or_else(first);
        name.unwrap_or_default()
    }

    fn connections(&self) -> (u64, u64) {
        let (open, most) = self
            .sessions
            .unwrap_or_else(|| (self.gate.connections(), self.gate.most()));
        (u64::from(open), u64::from(most))
    }
}

fn is_http(protocol: &str) -> bool {
    matches!(protocol, "http" | "https")
}

impl ListenerStatus {
    fn is_http(&self) -> bool {
        is_http(&self.protocol)
    }
}

/// Two streams may have one name, and TCP and UDP one address.
fn tell_apart(listeners: &mut [ListenerStatus]) {
    let names: Vec<_> = listeners.iter().map(|own| own.name.clone()).collect();
    let is_shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    for listener in listeners.iter_mut().filter(|own| is_shared(&own.name)) {
        let address = listener.addresses.first().cloned().unwrap_or_default();
        listener.name = format!("{} ({address}/{})", listener.name, listener.protocol);
    }
}

/// Each file once, whoever shows it.
fn certificates(snapshot: &Snapshot) -> Vec<CertificateStatus> {
    let mut certificates: Vec<_> = snapshot
        .certificates()
        .map(CertificateStatus::new)
        .collect();
    certificates.sort_by(|a, b| a.file.cmp(&b.file));
    certificates.dedup_by(|a, b| a.file == b.file);
    certificates
}

impl Totals {
    fn of(listeners: &[ListenerStatus], workers: &[WorkerStatus]) -> Self {
        let sum = |count: fn(&ListenerStatus) -> u64| listeners.iter().map(count).sum();
        let mut durations = Durations::default();
        for listener in listeners.iter().filter(|listener| listener.is_http()) {
            durations.add(&listener.latency.durations);
        }
        Self {
            requests: workers.iter().map(|worker| worker.requests).sum(),
            accepted: workers.iter().map(|worker| worker.accepted).sum(),
            connections: sum(|listener| listener.connections),
            idle: sum(|listener| listener.idle),
            tunnels: sum(|listener| listener.tunnels),
            durations: (&durations).into(),
        }
    }
}

/// Adds what was counted at `gate`.
fn count(workers: &mut [WorkerStatus], gate: &Gate) {
    for (worker, own) in workers.iter_mut().zip(gate.stats().all()) {
        worker.accepted += own.accepted.get();
        worker.requests += own.requests.codes.total();
    }
}

impl CertificateStatus {
    fn new(certificate: &Certificate) -> Self {
        const DAY: i64 = 24 * 60 * 60;
        Self {
            file: certificate.file.value.clone(),
            names: certificate.names.clone(),
            not_after: Timestamp::from_second(certificate.not_after).unwrap_or_default(),
            days_left: certificate.seconds_left().div_euclid(DAY),
        }
    }
}
