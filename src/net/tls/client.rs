//! TLS towards peers.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use crate::config::{Alpn, Authorities, PeerTls, crypto};

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
        let verifier = Arc::new(Verifier::new(tls.authorities.as_ref())?);
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &tls.identity {
            Some(identity) => {
                let certified = Arc::clone(&identity.certified);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_str().as_bytes().to_vec()];
        Ok(Self {
            config: Arc::new(config),
            name: tls.server_name.clone(),
        })
    }

    /// A handshake to come with the server at `authority`, which is its address in the file. What is not `known` to be
    /// the protocol of before is left for both sides to find out.
    pub(in super::super) fn connection(
        &self,
        authority: &str,
        known: bool,
    ) -> Result<ClientConnection, Error> {
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
        let config = Arc::clone(&self.config);
        if known {
            ClientConnection::new(config, name)
        } else {
            ClientConnection::new_with_alpn(config, name, Vec::new())
        }
    }
}

/// Who is believed to be a server.
///
/// Whoever an authority vouches for, or whose very certificate stands among theirs: one that a server has
/// signed for itself is often marked as an authority's, which no chain may end with. With `verify =
/// false`, anybody. Signatures are checked all the same, for a server that cannot sign for its own
/// certificate is broken.
#[derive(Debug)]
struct Verifier {
    /// `None`: anybody.
    vouched: Option<(Arc<WebPkiServerVerifier>, Arc<Authorities>)>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(authorities: Option<&Arc<Authorities>>) -> Result<Self, Error> {
        let vouched = authorities.map(|authorities| {
            let roots = Arc::clone(&authorities.roots);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, crypto()).build();
            let chain = chain.map_err(|error| Error::General(error.to_string()))?;
            Ok::<_, Error>((chain, Arc::clone(authorities)))
        });
        Ok(Self {
            vouched: vouched.transpose()?,
            algorithms: crypto().signature_verification_algorithms,
        })
    }
}

/// Whether a certificate that is trusted as it stands is for `name` and holds at `now`.
fn verify_itself(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad())?;
    let seconds = i64::try_from(now.as_secs()).map_err(|_| bad())?;
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| bad())?;
    if now > parsed.validity().not_after {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    if now < parsed.validity().not_before {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((chain, authorities)) = &self.vouched else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = chain.verify_server_cert(certificate, intermediates, name, ocsp, now);
        if verified.is_err() && authorities.certificates.contains(certificate) {
            return verify_itself(certificate, name, now);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
