//! The tracer that a configuration describes, and how its spans get to a collector.

use std::{
    fmt,
    sync::{Arc, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::{Builder, Runtime};

use super::Server;
use crate::{
    config,
    net::Outbound,
    telemetry::{Seldom, Tracer},
};

/// The tracer that `tracing` describes. A collector that cannot be had is spoken of, and requests go on without one.
pub(super) fn tracer(tracing: &config::Tracing) -> Arc<Tracer> {
    let tracer = Tracer::new(tracing.share);
    let Some(collector) = &tracing.otlp else {
        return Arc::new(tracer);
    };
    match exporter(collector) {
        Ok(exporter) => Arc::new(tracer.sending(exporter, tracing.service.clone())),
        Err(error) => {
            tracing::error!("traces cannot be sent to {}: {error}", collector.url);
            Arc::new(tracer)
        }
    }
}

/// Lets go of `tracer`, which takes a while, without anybody waiting for it.
fn retire(tracer: Arc<Tracer>) {
    let shutdown = move || tracer.shutdown();
    let started = thread::Builder::new()
        .name("lbd-traces-end".to_owned())
        .spawn(shutdown);
    if let Err(error) = started {
        tracing::debug!("traces: {error}");
    }
}

impl Server {
    /// The tracer that `config` describes: the one that there is, if it is the same.
    pub(super) fn tracer_for(
        &self,
        config: &config::Config,
    ) -> Option<(config::Tracing, Arc<Tracer>)> {
        let wanted = config.tracing.as_ref()?;
        let current = self.tracer();
        let same = current.as_ref().filter(|(known, _)| known.is_same(wanted));
        let same = same.map(|(_, tracer)| Arc::clone(tracer));
        let tracer = same.unwrap_or_else(|| tracer(wanted));
        Some((wanted.clone(), tracer))
    }

    /// Has `next` be the tracer from now on; the one before sends what is left.
    pub(super) fn follow_tracer(&self, next: Option<(config::Tracing, Arc<Tracer>)>) {
        let is_same = |before: &Arc<Tracer>| {
            let next = next.as_ref();
            next.is_some_and(|(_, next)| Arc::ptr_eq(before, next))
        };
        let mut tracer = self.tracer();
        let before = tracer.take().filter(|(_, before)| !is_same(before));
        *tracer = next;
        drop(tracer);
        if let Some((_, before)) = before {
            retire(before);
        }
    }

    pub(super) fn tracer(&self) -> MutexGuard<'_, Option<(config::Tracing, Arc<Tracer>)>> {
        // Replaced as a whole.
        self.tracer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exporter(
    collector: &config::Collector,
) -> Result<SpanExporter, Box<dyn std::error::Error + Send + Sync>> {
    let client = Client {
        outbound: Outbound::new(Arc::clone(&collector.authorities.roots))?,
        runtime: Some(Builder::new_current_thread().enable_all().build()?),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(&collector.url)
        .build()?;
    Ok(exporter)
}

/// The SDK sends from a thread of its own, which has no runtime: it is lent this one.
struct Client {
    outbound: Outbound,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // Wherever that is: a runtime that is dropped inside another waits, which is not allowed there.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Once a minute: spans come as long as requests do.
fn complain(reason: &str) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(60));
    if let Some(others) = COMPLAINTS.due() {
        tracing::warn!(others, "traces are lost: the collector: {reason}");
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let posting = self.outbound.post(&url, "application/x-protobuf", body);
        let runtime = self.runtime.as_ref().ok_or("at its end")?;
        let answer = runtime.block_on(posting);
        match &answer {
            Ok((status, _)) if status.is_success() => {}
            Ok((status, _)) => complain(&format!("answered {}", status.as_u16())),
            Err(reason) => complain(reason),
        }
        let (status, body) = answer?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    }
}
