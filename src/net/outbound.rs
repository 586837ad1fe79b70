//! HTTP that lbd sends by itself: to whoever is told what happens, and to whoever collects traces.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};

use crate::config::crypto;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that anybody reads.
const LONGEST: usize = 16 << 10;

/// A client of HTTP/1.1 and TLS.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Outbound {
    /// One that believes servers for which one of `roots` vouches.
    ///
    /// # Errors
    /// The cryptography has no version of TLS.
    pub fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Posts `body` to `url`; gives the status, and what the answer says.
    ///
    /// # Errors
    /// Why there is none, in words that do not have the URL in them.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, "lbd")
            .body(Full::new(body))
            .map_err(|_| "the URL cannot be used".to_owned())?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(reason)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            // The status is what counts.
            Ok((status, body.map(|body| body.to_bytes()).unwrap_or_default()))
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }
}

/// The innermost reason, which is the one that an operator can do something about.
fn reason(error: hyper_util::client::legacy::Error) -> String {
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
