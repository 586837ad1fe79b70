//! Certificates made for one test.

use rcgen::{Certificate, CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

use crate::harness::Dir;

/// The name that every certificate is for.
pub(super) const NAME: &str = "app.example";

/// A certificate that vouches for itself, and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    certificate: Certificate,
    key: KeyPair,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::of(&params())
    }

    /// One that has ended on the first of January 2020.
    pub(crate) fn expired() -> Self {
        let mut params = params();
        params.not_after = date_time_ymd(2020, 1, 1);
        Self::of(&params)
    }

    fn of(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, key }
    }

    /// Writes NAME.pem and NAME.key.
    pub(crate) fn write(&self, dir: &Dir, name: &str) {
        dir.write(&format!("{name}.pem"), &self.certificate.pem());
        dir.write(&format!("{name}.key"), &self.key.serialize_pem());
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }
}

fn params() -> CertificateParams {
    CertificateParams::new([NAME.to_owned()]).expect("a name as it should be")
}
