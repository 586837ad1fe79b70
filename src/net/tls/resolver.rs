//! Which certificate a client is shown.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    SignatureAlgorithm, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::Certificate;

/// Certificates for one name: the same server with keys of different kinds.
type Choice = Vec<Arc<CertifiedKey>>;

/// A listener's certificates by the name that clients ask for (RFC 6066 section 3).
#[derive(Debug)]
pub(super) struct BySni {
    exact: HashMap<String, Choice>,
    /// By what stands behind the star: `.x.com`.
    wildcard: HashMap<String, Choice>,
    /// For clients that name nobody, or somebody else.
    default: Choice,
}

impl BySni {
    /// The first of `certificates` is the default, with those that are for a name of its.
    pub(super) fn new(certificates: &[Certificate]) -> Self {
        let mut all = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Choice::new(),
        };
        for certificate in certificates {
            for name in &certificate.names {
                let choice = match name.strip_prefix('*') {
                    Some(suffix) => all.wildcard.entry(suffix.to_owned()),
                    None => all.exact.entry(name.clone()),
                };
                add(choice.or_default(), &certificate.certified);
            }
        }
        if let Some(first) = certificates.first() {
            let is_pair =
                |other: &&Certificate| other.names == first.names || std::ptr::eq(*other, first);
            for certificate in certificates.iter().filter(is_pair) {
                add(&mut all.default, &certificate.certified);
            }
        }
        all
    }

    fn find(&self, name: Option<&str>) -> &Choice {
        let Some(name) = name else {
            return &self.default;
        };
        if let Some(choice) = self.exact.get(name) {
            return choice;
        }
        // A star stands for one label (RFC 9525 section 6.3).
        let suffix = name.find('.').map(|dot| &name[dot..]);
        suffix
            .and_then(|suffix| self.wildcard.get(suffix))
            .unwrap_or(&self.default)
    }
}

/// Keeps what signs fastest in front, and one of a kind.
fn add(choice: &mut Choice, certified: &Arc<CertifiedKey>) {
    let kind = |certified: &CertifiedKey| certified.key.algorithm();
    if choice.iter().any(|other| kind(other) == kind(certified)) {
        return;
    }
    if kind(certified) == SignatureAlgorithm::RSA {
        choice.push(Arc::clone(certified));
    } else {
        choice.insert(0, Arc::clone(certified));
    }
}

/// The first that a client which verifies `schemes` can use; else any, so that the handshake can say what is wrong.
fn choose(choice: &Choice, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    let usable = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
    choice
        .iter()
        .find(usable)
        .or_else(|| choice.first())
        .cloned()
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has lowered the name and left out schemes that no offered suite can use.
        choose(self.find(hello.server_name()), hello.signature_schemes())
    }
}
