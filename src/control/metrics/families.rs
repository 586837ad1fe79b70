//! The families of metrics, each with its samples: what is told, under which name, with which labels.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::{
    server::{ListenerStatus, RouteStatus, Status},
    telemetry::Latency,
    upstream::{PoolStatus, ServerStatus},
};

#[derive(Debug)]
pub(super) struct Told(pub(super) Status);

impl Collector for Told {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0;
        let mut writer = Writer { encoder };
        process(&mut writer, status)?;
        listeners(&mut writer, &status.listeners)?;
        routes(&mut writer, &status.routes)?;
        pools(&mut writer, &status.pools)?;
        servers(&mut writer, &status.pools)?;
        let certificates = status.certificates.iter().map(|certificate| {
            let seconds = certificate.not_after.as_second() as f64;
            ([("file", certificate.file.as_str())], seconds)
        });
        writer.gauges(
            "lbd_certificate_not_after_timestamp_seconds",
            "When a certificate ends, in seconds since 1970",
            certificates,
        )
    }
}

type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// Writes families: all samples of one name together.
struct Writer<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Writer<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &'s str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.encoder.encode_descriptor(name, help, unit, kind)
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    /// Counters; `name` is without `_total`.
    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            let mut sample = family.encode_family(&labels)?;
            sample.encode_counter::<NoLabelSet, f64, f64>(&value, None)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    /// Histograms; `name` is without `_seconds`.
    fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (Labels<'l, N>, &'l Latency)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.family(name, help, unit, MetricType::Histogram)?;
        for (labels, latency) in samples {
            let durations = &latency.durations;
            let buckets = durations.in_metric_bounds();
            let mut sample = family.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(
                durations.seconds(),
                durations.count(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn process(writer: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let version = [([("version", status.version.as_str())], 1.0)];
    writer.gauges(
        "lbd_build_info",
        "The version that runs",
        version.into_iter(),
    )?;
    let started = status.started_at.as_second() as f64;
    writer.gauge(
        "lbd_start_time_seconds",
        "When it started, in seconds since 1970",
        started,
    )?;
    let workers = status.workers.len() as f64;
    writer.gauge("lbd_workers", "Worker threads", workers)?;
    writer.gauge(
        "lbd_config_generation",
        "Files that have been served, this one included",
        status.generation as f64,
    )?;
    let last = status.last_reload.as_ref();
    let is_good = last.is_none_or(|reload| reload.ok);
    writer.gauge(
        "lbd_config_last_reload_successful",
        "Whether the last reload, if there was one, did what it should",
        f64::from(u8::from(is_good)),
    )?;
    let at = last.map_or(status.started_at, |reload| reload.at);
    writer.gauge(
        "lbd_config_last_reload_timestamp_seconds",
        "When the last reload was, or the start, in seconds since 1970",
        at.as_second() as f64,
    )?;
    let reloads = [
        ([("result", "success")], status.reloads.good as f64),
        ([("result", "failure")], status.reloads.failed as f64),
    ];
    writer.counters(
        "lbd_reloads",
        "Reloads by their result",
        reloads.into_iter(),
    )?;
    let indices: Vec<_> = (0..status.workers.len()).map(|i| i.to_string()).collect();
    let workers = || indices.iter().zip(&status.workers);
    writer.counters(
        "lbd_worker_connections",
        "Connections that a worker accepted",
        workers().map(|(index, own)| ([("worker", index.as_str())], own.accepted as f64)),
    )?;
    writer.counters(
        "lbd_worker_requests",
        "Requests that a worker answered",
        workers().map(|(index, own)| ([("worker", index.as_str())], own.requests as f64)),
    )?;
    writer.counter(
        "lbd_access_log_lines_dropped",
        "Access lines that the disk did not take",
        status.lost_log_lines,
    )?;
    writer.counter(
        "lbd_http2_floods",
        "HTTP/2 connections that were cut off because their frames only cost",
        status.h2_floods,
    )
}

fn listeners(writer: &mut Writer<'_>, all: &[ListenerStatus]) -> fmt::Result {
    type Count = fn(&ListenerStatus) -> u64;
    let label = |own: &'_ ListenerStatus| own.name.clone();
    let names: Vec<String> = all.iter().map(label).collect();
    let each = |count: Count| {
        let samples = names.iter().zip(all);
        samples.map(move |(name, own)| ([("listener", name.as_str())], count(own) as f64))
    };
    let gauges: [(&str, &str, Count); 3] = [
        (
            "lbd_listener_connections",
            "Connections that are open",
            |l| l.connections,
        ),
        (
            "lbd_listener_connections_idle",
            "Connections that wait for a next request",
            |l| l.idle,
        ),
        (
            "lbd_listener_tunnels",
            "Tunnels and streams that are open",
            |l| l.tunnels,
        ),
    ];
    for (name, help, count) in gauges {
        writer.gauges(name, help, each(count))?;
    }
    let counters: [(&str, &str, Count); 6] = [
        (
            "lbd_listener_connections_accepted",
            "Connections that came",
            |l| l.accepted,
        ),
        (
            "lbd_listener_connections_refused",
            "Connections that were too many",
            |l| l.refused,
        ),
        (
            "lbd_listener_sent_bytes",
            "Bytes of bodies and tunnels to clients",
            |l| l.sent_bytes,
        ),
        (
            "lbd_listener_received_bytes",
            "Bytes of bodies and tunnels from clients",
            |l| l.received_bytes,
        ),
        (
            "lbd_listener_tls_failures",
            "TLS handshakes that failed",
            |l| l.tls_failures,
        ),
        (
            "lbd_listener_proxy_header_failures",
            "Connections without the PROXY header that they must begin with",
            |l| l.proxy_header_failures,
        ),
    ];
    for (name, help, count) in counters {
        writer.counters(name, help, each(count))?;
    }
    writer.counters(
        "lbd_listener_requests",
        "Answers by the class of their status; 499: the client left before",
        all.iter().flat_map(|own| {
            let codes = own.requests.each();
            codes.map(|(code, n)| ([("listener", own.name.as_str()), ("code", code)], n as f64))
        }),
    )?;
    writer.histograms(
        "lbd_listener_request_duration",
        "From the first byte of a request to the last of its answer",
        all.iter()
            .map(|own| ([("listener", own.name.as_str())], &own.latency)),
    )
}

fn routes(writer: &mut Writer<'_>, all: &[RouteStatus]) -> fmt::Result {
    writer.counters(
        "lbd_route_requests",
        "Answers by the class of their status; 499: the client left before",
        all.iter().flat_map(|own| {
            let codes = own.requests.each();
            codes.map(|(code, n)| ([("route", own.route.as_str()), ("code", code)], n as f64))
        }),
    )?;
    let sent = all
        .iter()
        .map(|own| ([("route", own.route.as_str())], own.sent_bytes as f64));
    writer.counters("lbd_route_sent_bytes", "Bytes of bodies to clients", sent)?;
    writer.histograms(
        "lbd_route_request_duration",
        "From the first byte of a request to the last of its answer",
        all.iter()
            .map(|own| ([("route", own.route.as_str())], &own.latency)),
    )
}

fn pools(writer: &mut Writer<'_>, all: &[PoolStatus]) -> fmt::Result {
    type Count = fn(&PoolStatus) -> u64;
    let each = |count: Count| {
        all.iter()
            .map(move |own| ([("pool", own.name.as_str())], count(own) as f64))
    };
    let counters: [(&str, &str, Count); 3] = [
        (
            "lbd_pool_requests",
            "Requests, and connections of streams, for it",
            |p| p.requests,
        ),
        ("lbd_pool_retries", "Tries beyond the first of each", |p| {
            p.retries
        }),
        (
            "lbd_pool_dark_requests",
            "Requests that found nobody alive",
            |p| p.dark,
        ),
    ];
    for (name, help, count) in counters {
        writer.counters(name, help, each(count))?;
    }
    let gauges: [(&str, &str, Count); 3] = [
        (
            "lbd_pool_requests_waiting",
            "Requests that wait for a server to have room",
            |p| p.waiting as u64,
        ),
        ("lbd_pool_servers", "Its servers", |p| {
            p.servers.len() as u64
        }),
        ("lbd_pool_live_servers", "Those that may be used", |p| {
            p.live as u64
        }),
    ];
    for (name, help, count) in gauges {
        writer.gauges(name, help, each(count))?;
    }
    Ok(())
}

/// The labels of a server.
fn of_server<'s>(pool: &'s PoolStatus, server: &'s ServerStatus) -> Labels<'s, 2> {
    [
        ("pool", pool.name.as_str()),
        ("server", server.server.as_str()),
    ]
}

fn servers(writer: &mut Writer<'_>, pools: &[PoolStatus]) -> fmt::Result {
    type Count = fn(&ServerStatus) -> f64;
    let all = || {
        pools
            .iter()
            .flat_map(|pool| pool.servers.iter().map(move |own| (pool, own)))
    };
    let each = |count: Count| all().map(move |(pool, own)| (of_server(pool, own), count(own)));
    let gauges: [(&str, &str, Count); 5] = [
        ("lbd_server_up", "Whether it may be used", |s| {
            f64::from(u8::from(s.live))
        }),
        ("lbd_server_weight", "Its share of the requests", |s| {
            f64::from(s.weight)
        }),
        (
            "lbd_server_requests_in_flight",
            "Requests and tunnels that it works on",
            |s| f64::from(s.in_flight),
        ),
        ("lbd_server_tunnels", "Of these, tunnels", |s| {
            f64::from(s.tunnels)
        }),
        (
            "lbd_server_connections_idle",
            "Connections that are kept for the next request",
            |s| s.connections_idle as f64,
        ),
    ];
    for (name, help, count) in gauges {
        writer.gauges(name, help, each(count))?;
    }
    let counters: [(&str, &str, Count); 5] = [
        (
            "lbd_server_connections_opened",
            "Connections that were made to it",
            |s| s.connections_opened as f64,
        ),
        (
            "lbd_server_sent_bytes",
            "Bytes of bodies and tunnels to it",
            |s| s.sent_bytes as f64,
        ),
        (
            "lbd_server_received_bytes",
            "Bytes of bodies and tunnels from it",
            |s| s.received_bytes as f64,
        ),
        ("lbd_server_outs", "How often it was taken out", |s| {
            s.outs as f64
        }),
        ("lbd_server_out_seconds", "How long it has been out", |s| {
            s.out_seconds_total
        }),
    ];
    for (name, help, count) in counters {
        writer.counters(name, help, each(count))?;
    }
    writer.counters(
        "lbd_server_requests",
        "Its answers by the class of their status",
        all().flat_map(|(pool, own)| {
            let codes = own.requests.each().filter(|(code, _)| *code != "499");
            codes.map(move |(code, n)| (with(of_server(pool, own), "code", code), n as f64))
        }),
    )?;
    writer.counters(
        "lbd_server_failures",
        "Tries without an answer, or with one that `retry.on` lists, by kind",
        all().flat_map(|(pool, own)| {
            let kinds = own.failures.each();
            kinds.map(move |(kind, n)| (with(of_server(pool, own), "kind", kind), n as f64))
        }),
    )?;
    writer.histograms(
        "lbd_server_response_time",
        "From the choice of the server to the head of its answer",
        all().map(|(pool, own)| (of_server(pool, own), &own.latency)),
    )
}

fn with<'l>([pool, server]: Labels<'l, 2>, key: &'static str, value: &'l str) -> Labels<'l, 3> {
    [pool, server, (key, value)]
}
