//! Spans of requests, for whoever collects traces (OpenTelemetry).
//!
//! A request that nobody has chosen to keep costs a random number. One that is kept becomes a span when it ends, which
//! the SDK's own thread sends on in batches; what that thread cannot keep up with, it drops.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _,
    },
};

use super::{
    access_record::{AccessRecord, AttemptResult},
    trace_context::TraceContext,
};

/// Decides what is kept, and takes it.
pub struct Tracer {
    /// Of requests that come without a decision, how many are kept: from 0 to 1.
    share: f64,
    /// Who is sent what is kept; `None`: nobody.
    spans: Option<BatchSpanProcessor>,
}

/// A request's place in its trace.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// What servers are told.
    pub context: TraceContext,
    /// The span that it came from.
    parent: Option<u64>,
    /// Whether it becomes a span.
    pub is_kept: bool,
}

impl Traced {
    /// Whether its trace begins here.
    pub fn is_new(&self) -> bool {
        self.parent.is_none()
    }
}

impl Tracer {
    /// One that keeps `share` of all requests, from 0 to 1, and nothing.
    pub fn new(share: f64) -> Self {
        Self { share, spans: None }
    }

    /// Has `exporter` be sent what is kept, as `service`'s.
    #[must_use]
    pub fn sending(self, exporter: impl SpanExporter + 'static, service: String) -> Self {
        let mut spans = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        spans.set_resource(&resource);
        Self {
            spans: Some(spans),
            ..self
        }
    }

    /// The place of a request that came with `traceparent`; whoever sent it `is_trusted` to decide for us.
    pub fn place(&self, traceparent: Option<&[u8]>, is_trusted: bool) -> Traced {
        let came = traceparent.and_then(TraceContext::parse);
        let is_chosen = || fastrand::f64() < self.share;
        match came {
            Some(came) => Traced {
                context: came.child(),
                parent: Some(came.span),
                is_kept: if is_trusted {
                    came.is_sampled
                } else {
                    is_chosen()
                },
            },
            None => {
                let is_kept = is_chosen();
                Traced {
                    context: TraceContext::begin(is_kept),
                    parent: None,
                    is_kept,
                }
            }
        }
    }

    /// A request that `traced` says is kept has ended now, and was what `record` says, by `route`.
    pub fn end(&self, traced: &Traced, record: &AccessRecord<'_>, route: Option<&str>) {
        if let Some(spans) = &self.spans {
            spans.on_end(span(traced, record, route));
        }
    }

    /// Sends what is left, and nothing from now on. Blocks for as long as that takes, some seconds at most.
    pub fn shutdown(&self) {
        if let Some(spans) = &self.spans
            && let Err(error) = spans.shutdown_with_timeout(Duration::from_secs(3))
        {
            tracing::debug!("traces: {error}");
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn span(traced: &Traced, record: &AccessRecord<'_>, route: Option<&str>) -> SpanData {
    let TraceContext { trace, span, .. } = traced.context;
    let context = SpanContext::new(
        TraceId::from(trace),
        SpanId::from(span),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let end = SystemTime::now();
    let start = end.checked_sub(record.duration).unwrap_or(end);
    let method = text(record.method);
    let name = match route {
        Some(route) => format!("{method} {route}"),
        None => method.clone(),
    };
    SpanData {
        span_context: context,
        parent_span_id: SpanId::from(traced.parent.unwrap_or_default()),
        parent_span_is_remote: traced.parent.is_some(),
        span_kind: SpanKind::Server,
        name: Cow::Owned(name),
        start_time: start,
        end_time: end,
        attributes: attributes(record, method, route),
        dropped_attributes_count: 0,
        events: attempts(record, start),
        links: SpanLinks::default(),
        status: match record.status {
            500.. => Status::error(""),
            _ => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder("lbd").build(),
    }
}

/// By the semantic conventions for HTTP; the query is left out, for it may hold what is nobody's business.
fn attributes(record: &AccessRecord<'_>, method: String, route: Option<&str>) -> Vec<KeyValue> {
    let path = record.target.split(|b| *b == b'?').next();
    let version = record.version.strip_prefix("HTTP/").unwrap_or_default();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", text(path.unwrap_or_default())),
        KeyValue::new("http.response.status_code", i64::from(record.status)),
        KeyValue::new("client.address", record.client.to_string()),
        KeyValue::new("network.protocol.version", version),
        KeyValue::new("lbd.request_id", text(record.request_id)),
        KeyValue::new("http.response.body.size", size(record.bytes)),
    ];
    let mut add = |key: &'static str, value: Option<String>| {
        attributes.extend(value.map(|value| KeyValue::new(key, value)));
    };
    add("http.route", route.map(str::to_owned));
    add("server.address", record.host.map(text));
    add("user_agent.original", record.user_agent.map(text));
    add("lbd.pool", record.pool.map(str::to_owned));
    let last = record.attempts.last();
    add("lbd.server", last.map(|last| last.server.to_string()));
    attributes
}

fn size(bytes: u64) -> Value {
    i64::try_from(bytes).unwrap_or(i64::MAX).into()
}

/// What was tried, one event each.
fn attempts(record: &AccessRecord<'_>, start: SystemTime) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.events = record
        .attempts
        .iter()
        .map(|attempt| {
            let result = match attempt.result {
                AttemptResult::Status(status) => status.to_string(),
                AttemptResult::Failed(reason) => reason.to_owned(),
                AttemptResult::Abandoned => "client left".to_owned(),
            };
            let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
            let attributes = vec![
                KeyValue::new("lbd.server", attempt.server.to_string()),
                KeyValue::new("lbd.result", result),
                KeyValue::new("lbd.connect_seconds", seconds(attempt.connect)),
                KeyValue::new("lbd.header_seconds", seconds(attempt.header)),
                KeyValue::new("lbd.total_seconds", attempt.total.as_secs_f64()),
            ];
            opentelemetry::trace::Event::new("attempt", start, attributes, 0)
        })
        .collect();
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn whoever_is_trusted_decides_and_others_do_not() {
        let (never, always) = (Tracer::new(0.0), Tracer::new(1.0));
        assert!(never.place(Some(SAMPLED), true).is_kept);
        assert!(!never.place(Some(SAMPLED), false).is_kept);
        assert!(always.place(Some(SAMPLED), false).is_kept);
        assert!(always.place(None, false).is_kept);
        assert!(!never.place(None, true).is_kept);
    }

    #[test]
    fn what_was_decided_before_is_passed_on() {
        let traced = Tracer::new(0.0).place(Some(SAMPLED), false);
        assert!(traced.context.is_sampled);
        assert_eq!(
            traced.context.trace,
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
        );
        assert_eq!(traced.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert!(!Tracer::new(0.0).place(None, false).context.is_sampled);
    }
}
