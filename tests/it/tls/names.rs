//! Which certificate a client is shown: by the name that it asks for, and by what it can verify.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::support::certs::{Authority, Identity};
use crate::support::proxy::{Proxy, says};
use crate::support::secure::{Agreed, handshake, provider, speaking, trusting};

use super::tls;

/// Whether who asks for `name` is shown the certificate of `identity`.
async fn is_shown(
    proxy: &Proxy,
    name: &str,
    config: &Arc<ClientConfig>,
    identity: &Identity,
) -> bool {
    let stream = handshake(proxy.addr(), name, config).await;
    let stream = stream.unwrap_or_else(|error| panic!("{name}: {error}"));
    Agreed::of(&stream).certificate == *identity.certificate()
}

async fn start(certificates: &[&Identity]) -> Proxy {
    Proxy::start_with(&tls(certificates, ""), &says("path = \"/\"", "x")).await
}

#[tokio::test]
async fn an_exact_name_goes_before_a_wildcard() {
    let authority = Authority::new();
    let wild = authority.server(&["*.app.example"]);
    let exact = authority.server(&["exact.app.example", "app.example"]);
    let other = authority.server(&["other.example"]);
    let proxy = start(&[&other, &wild, &exact]).await;
    let config = Arc::new(trusting(&authority));
    for (name, identity) in [
        ("exact.app.example", &exact),
        ("app.example", &exact),
        ("any.app.example", &wild),
        ("EXACT.app.Example", &exact),
        ("other.example", &other),
    ] {
        assert!(is_shown(&proxy, name, &config, identity).await, "{name}");
    }
}

/// A client that takes any certificate of `authority`, for whatever name.
fn indifferent(authority: &Authority) -> ClientConfig {
    let roots = Arc::new(authority.roots());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let verifier = AnyName(verifier.expect("an authority to trust"));
    let mut config = trusting(authority);
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(verifier));
    config
}

/// Verifies all but the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[tokio::test]
async fn who_asks_for_no_known_name_is_shown_the_first() {
    let authority = Authority::new();
    let first = authority.server(&["first.example"]);
    let second = authority.server(&["*.second.example"]);
    let proxy = start(&[&first, &second]).await;
    let config = Arc::new(indifferent(&authority));
    for name in [
        "unknown.example",
        // A star stands for one label.
        "second.example",
        "a.b.second.example",
        // No name at all.
        "127.0.0.1",
    ] {
        assert!(is_shown(&proxy, name, &config, &first).await, "{name}");
    }
    assert!(is_shown(&proxy, "a.second.example", &config, &second).await);
}

#[tokio::test]
async fn a_client_that_asks_for_a_name_that_lbd_does_not_have_can_tell() {
    let authority = Authority::new();
    let first = authority.server(&["first.example"]);
    let proxy = start(&[&first]).await;
    let config = Arc::new(trusting(&authority));
    let refused = handshake(proxy.addr(), "unknown.example", &config).await;
    assert!(refused.is_err(), "the client took another's certificate");
}

/// Cryptography that can verify only these signatures of a server.
fn verifying(keep: impl Fn(SignatureScheme) -> bool) -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider());
    let algorithms = &mut provider.signature_verification_algorithms;
    let kept: Vec<_> = algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| keep(*scheme))
        .copied()
        .collect();
    algorithms.mapping = kept.leak();
    Arc::new(provider)
}

#[tokio::test]
async fn of_two_for_one_name_a_client_is_shown_the_one_that_it_can_verify() {
    let authority = Authority::new();
    let (rsa, ecdsa) = (
        authority.rsa_server(&["app.example"]),
        authority.server(&["app.example"]),
    );
    let is_ecdsa = |scheme: SignatureScheme| format!("{scheme:?}").starts_with("ECDSA");
    for certificates in [[&rsa, &ecdsa], [&ecdsa, &rsa]] {
        let proxy = start(&certificates).await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let only_ecdsa = verifying(is_ecdsa);
            let only_rsa = verifying(|scheme| format!("{scheme:?}").starts_with("RSA"));
            for (provider, identity) in [(only_ecdsa, &ecdsa), (only_rsa, &rsa)] {
                let config = Arc::new(speaking(&authority, provider, &[version]));
                let is_right = is_shown(&proxy, "app.example", &config, identity).await;
                assert!(is_right, "{version:?}");
            }
            // Who can verify both is shown the one that signs faster.
            let config = Arc::new(speaking(&authority, provider(), &[version]));
            assert!(is_shown(&proxy, "app.example", &config, &ecdsa).await);
        }
    }
}
