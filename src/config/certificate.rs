//! Certificates, keys and authorities: read and held against each other when the file is.
//!
//! A certificate that cannot be served is a fault of the file, found by `lbd check` and by a reload
//! that then changes nothing, and not a surprise of the first handshake.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{
    reader::{Section, Value},
    source::At,
};

/// A certificate chain with its key.
#[derive(Clone)]
pub struct Certificate {
    /// The file of the chain.
    pub file: At<String>,
    /// The DNS names that it is for, in lower case; `*.x.com` is for every name one label longer than `x.com`.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// What handshakes use.
    pub certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file.value)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the files that `section` names as `cert` and `key`; `None` if it names neither, or if they are no pair.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let (cert, key) = (section.get("cert"), section.get("key"));
        let (cert, key) = match (cert, key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return None,
            (Some(_), None) => {
                section.error(
                    "a certificate without `key`",
                    "name the file of its private key: key = \"/etc/lbd/hq.key\"",
                );
                return None;
            }
            (None, Some(_)) => {
                section.error(
                    "a key without `cert`",
                    "name the file of its certificate: cert = \"/etc/lbd/hq.pem\"",
                );
                return None;
            }
        };
        // Both are read, so that the faults of both are told.
        let chain = read_chain(&cert);
        let signing = read_key(&key);
        let ((file, chain), signing) = (chain?, signing?);
        let leaf = parse(&cert, chain.first()?)?;
        let (names, not_after) = (names(&leaf), leaf.validity().not_after.timestamp());
        let certified = CertifiedKey::new(chain, signing);
        let certificate = Self {
            file,
            names,
            not_after,
            certified: Arc::new(certified),
        };
        certificate
            .holds_together(&key, &cert)
            .then_some(certificate)
    }

    /// Whether the key is the certificate's; notes faults and warnings.
    fn holds_together(&self, key: &Value<'_>, cert: &Value<'_>) -> bool {
        use rustls::{Error, InconsistentKeys};
        match self.certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                key.fault(
                    format!("does not match the certificate {}", *self.file),
                    self.help_for_mismatch(),
                );
                return false;
            }
            Err(error) => {
                cert.fault(
                    format!("cannot be used: {} ({error})", *self.file),
                    "X.509 version 3 is expected; look at it: openssl x509 -in FILE -noout -text",
                );
                return false;
            }
        }
        if self.has_expired() {
            cert.warn(
                format!("has expired on {}: {}", date(self.not_after), *self.file),
                "clients will refuse it; renew it and reload",
            );
        }
        true
    }

    fn help_for_mismatch(&self) -> &'static str {
        let is_for = |other: &CertificateDer<'static>| {
            let pair = CertifiedKey::new(vec![other.clone()], Arc::clone(&self.certified.key));
            pair.keys_match().is_ok()
        };
        if self.certified.cert.iter().skip(1).any(is_for) {
            "it belongs to a later certificate of that file: the server's own must stand first"
        } else {
            "a certificate works only with the key that its request was made with"
        }
    }

    /// Whether it has ended.
    pub fn has_expired(&self) -> bool {
        self.not_after <= now()
    }

    /// Seconds until it ends; negative once it has.
    pub fn seconds_left(&self) -> i64 {
        self.not_after - now()
    }

    /// The day of its end, for people.
    pub fn last_day(&self) -> String {
        date(self.not_after)
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or_default()
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "a day out of time".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// The one provider of cryptography: there is no process-wide default that could be another.
pub fn crypto() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// Who may vouch for the other side of a connection.
#[derive(Debug)]
pub struct Authorities {
    /// As anchors of chains.
    pub roots: Arc<RootCertStore>,
    /// The certificates of a file, any of which the other side may itself have: a server's own, signed by itself.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The authorities of the file that `value` names.
impl Authorities {
    /// Nobody: for what is not encrypted.
    pub(super) fn nobody() -> Self {
        Self {
            roots: Arc::new(RootCertStore::empty()),
            certificates: Vec::new(),
        }
    }
}

pub(super) fn read_authorities(value: &Value<'_>) -> Option<Arc<Authorities>> {
    let (_, certificates) = read_chain(value)?;
    let mut roots = RootCertStore::empty();
    for authority in &certificates {
        parse(value, authority)?;
        if let Err(error) = roots.add(authority.clone()) {
            value.fault(
                format!("holds a certificate that cannot be used: {error}"),
                "name a file with the certificates of authorities in PEM",
            );
            return None;
        }
    }
    Some(Arc::new(Authorities {
        roots: Arc::new(roots),
        certificates,
    }))
}

/// The authorities that this system trusts now. Nobody, which is a fault of `value`, if there are none.
pub(super) fn system_authorities(value: &Value<'_>) -> Arc<Authorities> {
    let mut roots = RootCertStore::empty();
    // What cannot be read or parsed is not trusted; whether anything is left is looked at below.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        value.fault(
            "needs authorities, and this system has none",
            "name their file: tls = { ca = \"/etc/lbd/ca.pem\" }, or install ca-certificates",
        );
    }
    Arc::new(Authorities {
        roots: Arc::new(roots),
        certificates: Vec::new(),
    })
}

fn read_chain(value: &Value<'_>) -> Option<(At<String>, Vec<CertificateDer<'static>>)> {
    let (file, text) = value.file()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            value.fault(
                "names a file without a certificate",
                "PEM is expected: a part that begins with -----BEGIN CERTIFICATE-----",
            );
            None
        }
        Ok(chain) => Some((file, chain)),
        Err(error) => {
            value.fault(
                format!("names a file that is no PEM: {}", in_words(&error)),
                "a part begins with -----BEGIN CERTIFICATE----- and is base64",
            );
            None
        }
    }
}

fn read_key(value: &Value<'_>) -> Option<Arc<dyn rustls::sign::SigningKey>> {
    let (_, text) = value.file()?;
    let key = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => key,
        Err(_) if contains(&text, "ENCRYPTED") => {
            value.fault(
                "is encrypted, and nobody is there to type its password",
                "write it in the clear, readable by lbd alone: openssl pkey -in hq.key -out plain.key",
            );
            return None;
        }
        Err(error) => {
            value.fault(
                format!("names a file without a private key: {}", in_words(&error)),
                "PEM is expected: a part that begins with -----BEGIN PRIVATE KEY-----",
            );
            return None;
        }
    };
    crypto()
        .key_provider
        .load_private_key(key)
        .map_err(|error| {
            value.fault(
                format!("names a key that cannot be used: {error}"),
                "RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519",
            );
        })
        .ok()
}

/// The reader of PEM shows some of its errors as numbers.
fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a part has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a part begins with a broken line".to_owned(),
        error => error.to_string(),
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    memchr::memmem::find(text, part.as_bytes()).is_some()
}

fn parse<'d>(value: &Value<'_>, der: &'d CertificateDer<'_>) -> Option<X509Certificate<'d>> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Some(certificate),
        Err(error) => {
            value.fault(
                format!("names a file with a certificate that cannot be read: {error}"),
                "look at it: openssl x509 -in FILE -noout -text",
            );
            None
        }
    }
}

/// The names that it is for; the common name only if it has no others (RFC 6125 section 6.4.4).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name();
    common
        .filter_map(|name| name.as_str().ok())
        .map(str::to_ascii_lowercase)
        .collect()
}
