//! `[tracing]`: whether requests are part of traces, and who is sent them.

use std::sync::Arc;

use http::Uri;

use super::{
    certificate::{Authorities, read_authorities, system_authorities},
    reader::Value,
};

/// The table `[tracing]`.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Who is sent spans, in OTLP over HTTP; `None`: nobody, and `traceparent` is only passed on or made.
    pub otlp: Option<Collector>,
    /// Of requests that come without a decision, how many are kept: from 0 to 1.
    pub share: f64,
    /// As whose they are sent.
    pub service: String,
}

/// Somebody who collects traces.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Where, with the path.
    pub url: String,
    /// Who may vouch for it.
    pub authorities: Arc<Authorities>,
}

impl Tracing {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[tracing]")?;
        let ca = section.get("ca").map(|v| read_authorities(&v));
        let otlp = section.get("otlp").and_then(|v| read_collector(&v, ca));
        let tracing = Self {
            otlp,
            share: section
                .get("sample")
                .and_then(|v| read_share(&v))
                .unwrap_or(0.01),
            service: section
                .get("service")
                .and_then(|v| v.string())
                .map_or_else(|| "lbd".to_owned(), |name| name.value),
        };
        section.finish();
        Some(tracing)
    }

    /// Whether `other` says the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let url = |tracing: &Self| tracing.otlp.as_ref().map(|otlp| otlp.url.clone());
        let own = |tracing: &Self| {
            let otlp = tracing.otlp.as_ref();
            otlp.map(|otlp| otlp.authorities.certificates.clone())
        };
        self.share == other.share
            && self.service == other.service
            && url(self) == url(other)
            && own(self) == own(other)
    }
}

fn read_collector(value: &Value<'_>, ca: Option<Option<Arc<Authorities>>>) -> Option<Collector> {
    let text = value.string()?;
    let uri: Option<Uri> = text.parse().ok();
    let is_fit =
        |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    let uri = uri.filter(is_fit);
    let Some(uri) = uri else {
        value.fault(
            "is no URL of http or https",
            "where the collector takes OTLP over HTTP: \"http://127.0.0.1:4318\"",
        );
        return None;
    };
    let authorities = match ca {
        Some(own) => own?,
        None if uri.scheme_str() == Some("https") => system_authorities(value),
        None => Arc::new(Authorities::nobody()),
    };
    // The path that OTLP gives it, unless another is named.
    let url = match uri.path() {
        "/" => format!("{}/v1/traces", text.trim_end_matches('/')),
        _ => text.value,
    };
    Some(Collector { url, authorities })
}

fn read_share(value: &Value<'_>) -> Option<f64> {
    let text = value.string()?;
    let number = text.strip_suffix('%').and_then(|n| n.trim().parse().ok());
    let percent = number.filter(|n: &f64| (0.0..=100.0).contains(n));
    if percent.is_none() {
        value.fault(
            format!("is not from \"0%\" to \"100%\": \"{}\"", *text),
            "a part of the whole: \"1%\", \"0.1%\"",
        );
    }
    percent.map(|percent| percent / 100.0)
}
