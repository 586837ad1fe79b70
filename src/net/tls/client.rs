//! TLS towards peers.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};

use crate::config::{Alpn, PeerTls, crypto};

/// What handshakes with a pool's servers need.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    /// The name for every server; `None`: each has its own.
    name: Option<ServerName<'static>>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// What `tls` describes, for servers that are to speak `protocol`.
    ///
    /// # Errors
    /// rustls cannot use it.
    pub fn new(tls: &PeerTls, protocol: Alpn) -> Result<Self, Error> {
        let builder =
            ClientConfig::builder_with_provider(crypto()).with_safe_default_protocol_versions()?;
        let builder = match &tls.roots {
            Some(roots) => builder.with_root_certificates(Arc::clone(roots)),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new())),
        };
        let mut config = match &tls.identity {
            Some(identity) => {
                let certified = Arc::clone(&identity.certified);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self {
            config: Arc::new(config),
            name: tls.server_name.clone(),
        })
    }

    /// A handshake to come with the server at `authority`, which is its address in the file.
    pub(in super::super) fn connection(&self, authority: &str) -> Result<ClientConnection, Error> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let host = authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                ServerName::try_from(host.to_owned())
                    .map_err(|error| Error::General(error.to_string()))?
            }
        };
        ClientConnection::new(Arc::clone(&self.config), name)
    }
}

/// `verify = false`: whoever answers is believed to be the server. Signatures are still checked, for
/// a server that cannot sign for its own certificate is broken.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new() -> Self {
        Self(crypto().signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
