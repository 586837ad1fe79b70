//! TLS towards clients.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    Error, ServerConfig, ServerConnection, SupportedProtocolVersion,
    pki_types::CertificateDer,
    server::{
        NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{resolver::BySni, subject::subject};
use crate::config::{ClientAuth, ListenerTls, TlsVersion, crypto};

/// What a listener's handshakes need.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

impl TlsServer {
    /// What `tls` describes.
    ///
    /// # Errors
    /// rustls cannot use it.
    pub fn new(tls: &ListenerTls) -> Result<Self, Error> {
        let versions: &[&SupportedProtocolVersion] = match tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder =
            ServerConfig::builder_with_provider(crypto()).with_protocol_versions(versions)?;
        let builder = match verifier(tls)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(BySni::new(&tls.certificates)));
        config.alpn_protocols = tls.alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        // Tickets carry the session, so nothing needs to be kept, and any worker can resume it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A ticket would stand in for a certificate that is no longer looked at, or that another listener's
        // authorities have vouched for.
        if tls.client_ca.is_none() {
            config.ticketer = ticketer()?;
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(in super::super) fn connection(&self) -> Result<ServerConnection, Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }
}

/// One for the process: tickets hold over a reload and on every listener. It renews its keys by itself.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    static TICKETER: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(ticketer) = TICKETER.get() {
        return Ok(Arc::clone(ticketer));
    }
    let new = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::clone(TICKETER.get_or_init(|| new)))
}

fn verifier(tls: &ListenerTls) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let Some(authorities) = &tls.client_ca else {
        return Ok(None);
    };
    let roots = Arc::clone(&authorities.roots);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, crypto());
    let builder = match tls.client_auth {
        ClientAuth::Require => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier
        .map(Some)
        .map_err(|error| Error::General(error.to_string()))
}

/// Who a client has proved to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientIdentity {
    /// The subject of its certificate (RFC 4514).
    pub subject: String,
    /// SHA-256 of its certificate, in hexadecimal.
    pub fingerprint: String,
    /// The common name in its subject, if it is text.
    pub common_name: Option<String>,
}

impl ClientIdentity {
    pub(in super::super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = crypto()
            .cipher_suites
            .iter()
            .find_map(|suite| match suite.tls13() {
                Some(suite) if suite.common.hash_provider.output_len() == SHA256_LEN => {
                    Some(suite.common.hash_provider.hash(certificate))
                }
                _ => None,
            });
        let digest = digest.as_ref().map(AsRef::<[u8]>::as_ref);
        let hexadecimal = |byte: &u8| format!("{byte:02x}");
        let certificate = X509Certificate::from_der(certificate);
        let name = certificate.as_ref().ok().map(|(_, read)| read.subject());
        let common_name = name.and_then(|name| name.iter_common_name().next());
        Self {
            subject: name.map(subject).unwrap_or_default(),
            common_name: common_name
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            fingerprint: digest.unwrap_or_default().iter().map(hexadecimal).collect(),
        }
    }
}

const SHA256_LEN: usize = 32;
