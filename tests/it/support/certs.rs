//! Certificates made for one test, in files that go away with it.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::temp::TempFile;

/// Who vouches for certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: TempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = params("the tests' authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = written(&issuer.pem());
        Self { issuer, file }
    }

    /// Its certificate's file, as it may stand in a TOML string.
    pub(crate) fn path(&self) -> String {
        self.file.path()
    }

    /// It alone is trusted.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.issuer.der().clone());
        added.expect("an authority's certificate");
        roots
    }

    /// ECDSA, for servers with these names, or with these addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(params(names[0], names), KeyPair::generate().expect("a key"))
    }

    /// The same with RSA.
    pub(crate) fn rsa_server(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        self.issue(params(names[0], names), key)
    }

    /// For a client with this common name.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.client_called(&[(DnType::CommonName, name)])
    }

    /// For a client with this subject, its parts in the certificate's order.
    pub(crate) fn client_called(&self, subject: &[(DnType, &str)]) -> Identity {
        let mut params = params("", &[]);
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, KeyPair::generate().expect("a key"))
    }

    fn issue(&self, params: CertificateParams, key: KeyPair) -> Identity {
        let issuer: &Issuer<'static, KeyPair> = &self.issuer;
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        Identity {
            cert: written(&certificate.pem()),
            key: written(&key.serialize_pem()),
            certificate: certificate.der().clone(),
            private: key.serialize_der(),
        }
    }
}

/// As `openssl req -x509` makes it: signed by itself, marked as an authority's, and for a server with these names.
pub(crate) fn self_signed(names: &[&str]) -> Identity {
    self_signed_with(KeyPair::generate().expect("a key"), names)
}

/// The same certificate made anew with the same key, as it is when the old one ends.
pub(crate) fn renewed(identity: &Identity, names: &[&str]) -> Identity {
    let key = KeyPair::try_from(identity.private.as_slice());
    self_signed_with(key.expect("a key"), names)
}

fn self_signed_with(key: KeyPair, names: &[&str]) -> Identity {
    let mut params = params(names[0], names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    Identity {
        cert: written(&certificate.pem()),
        key: written(&key.serialize_pem()),
        certificate: certificate.der().clone(),
        private: key.serialize_der(),
    }
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names as they should be");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn written(text: &str) -> TempFile {
    let file = TempFile::new("pem");
    fs::write(file.path(), text).expect("our own directory can be written to");
    file
}

/// A certificate and its key.
pub(crate) struct Identity {
    cert: TempFile,
    key: TempFile,
    certificate: CertificateDer<'static>,
    private: Vec<u8>,
}

impl Identity {
    /// The keys of lb.toml that name its files.
    pub(crate) fn keys(&self) -> String {
        format!(
            "cert = \"{}\", key = \"{}\"",
            self.cert.path(),
            self.key.path()
        )
    }

    /// The certificate's file.
    pub(crate) fn cert_file(&self) -> String {
        self.cert.path()
    }

    /// The key's file.
    pub(crate) fn key_file(&self) -> String {
        self.key.path()
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificates that a handshake shows.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.private.clone()).into()
    }

    /// SHA-256 of the certificate in lower-case hex.
    pub(crate) fn fingerprint(&self) -> String {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("TLS 1.3");
        let digest = suite.common.hash_provider.hash(&self.certificate);
        let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        digits.collect()
    }
}
