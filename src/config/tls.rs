//! `tls`: of a listener, and of the connections to a pool's servers.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::{
    certificate::{Authorities, Certificate, read_authorities, system_authorities},
    reader::{Section, Value},
};

/// `tls` of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// What clients are shown, by the name that they ask for; the first is for all other names (nginx `ssl_certificate`).
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken (nginx `ssl_protocols`).
    pub min_version: TlsVersion,
    /// What is spoken inside, as handshakes name it (RFC 7301), the best first; empty: it is not agreed on.
    pub alpn: Vec<String>,
    /// Whose certificates clients show (nginx `ssl_client_certificate`); `None`: they are not asked.
    pub client_ca: Option<Arc<Authorities>>,
    /// What becomes of clients that show none (nginx `ssl_verify_client`).
    pub client_auth: ClientAuth,
}

/// `tls` of a pool.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// Who may vouch for servers (nginx `proxy_ssl_trusted_certificate`); `None`: nobody needs to.
    pub authorities: Option<Arc<Authorities>>,
    /// The name that is asked for and verified (nginx `proxy_ssl_name`); `None`: the server's as the file says it.
    pub server_name: Option<ServerName<'static>>,
    /// What servers that ask for a certificate are shown (nginx `proxy_ssl_certificate`).
    pub identity: Option<Certificate>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A protocol inside TLS, as a handshake names it (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1.
    Http11,
}

/// What becomes of clients without a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    /// They are refused.
    Require,
    /// They are served.
    Optional,
}

impl Alpn {
    /// Its name in a handshake.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

impl ListenerTls {
    /// Whether a client that was let in by `other` would be let in by this, and known as the same, as far as its
    /// certificate goes.
    pub fn admits_like(&self, other: &Self) -> bool {
        let certificates = |tls: &Self| {
            let authorities = tls.client_ca.as_ref();
            authorities.map(|authorities| (tls.client_auth, authorities.certificates.clone()))
        };
        certificates(self) == certificates(other)
    }
}

const ALPN: [Alpn; 2] = [Alpn::H2, Alpn::Http11];
const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

impl ListenerTls {
    /// Of a listener, where HTTP is spoken inside.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        Self::read_with(value, read_http_alpn)
    }

    /// Of a stream, where anything may be.
    pub(super) fn read_for_stream(value: &Value<'_>) -> Option<Self> {
        Self::read_with(value, read_any_alpn)
    }

    fn read_with(
        value: &Value<'_>,
        read_alpn: impl FnOnce(Option<Value<'_>>) -> Vec<String>,
    ) -> Option<Self> {
        let section = value.section("tls")?;
        let certificates = read_certificates(&section);
        let client_ca = section.get("client_ca");
        let client_auth = section.get("client_auth");
        if let (None, Some(auth)) = (&client_ca, &client_auth) {
            auth.fault(
                "stands without `client_ca`",
                "name the authorities of your clients: client_ca = \"/etc/lbd/clients.pem\"",
            );
        }
        let tls = Self {
            certificates,
            min_version: section
                .get("min_version")
                .and_then(|v| read_version(&v))
                .unwrap_or(TlsVersion::Tls12),
            alpn: read_alpn(section.get("alpn")),
            client_ca: client_ca.and_then(|v| read_authorities(&v)),
            client_auth: client_auth
                .and_then(|v| {
                    v.word(&[
                        ("require", ClientAuth::Require),
                        ("optional", ClientAuth::Optional),
                    ])
                })
                .unwrap_or(ClientAuth::Require),
        };
        section.finish();
        Some(tls)
    }
}

fn read_certificates(section: &Section<'_>) -> Vec<Certificate> {
    const HELP: &str = "certificates = [{ cert = \"/etc/lbd/hq.pem\", key = \"/etc/lbd/hq.key\" }]";
    let Some(value) = section.get("certificates") else {
        section.error("TLS without `certificates`", format!("add {HELP}"));
        return Vec::new();
    };
    if value.is_empty_array() {
        value.fault("is empty", HELP);
    }
    let items = value.array().unwrap_or_default();
    let read = |item: &Value<'_>| {
        let section = item.section("certificates")?;
        let certificate = Certificate::read(&section);
        if certificate.is_none() && section.is_empty() {
            section.error("an empty certificate", HELP);
        }
        section.finish();
        certificate
    };
    items.iter().filter_map(read).collect()
}

fn read_version(value: &Value<'_>) -> Option<TlsVersion> {
    if value.is_string()
        && value
            .string()
            .is_some_and(|text| ["1.0", "1.1"].contains(&text.as_str()))
    {
        value.fault(
            "is a version that is broken and that lbd does not speak (RFC 8996)",
            "\"1.2\" or \"1.3\"",
        );
        return None;
    }
    value.word(&VERSIONS)
}

fn read_http_alpn(value: Option<Value<'_>>) -> Vec<String> {
    let Some(value) = value else {
        return ALPN.map(|alpn| alpn.as_str().to_owned()).to_vec();
    };
    let words = ALPN.map(|alpn| (alpn.as_str(), alpn.as_str()));
    read_protocols(&value, |item| item.word(&words).map(str::to_owned))
}

fn read_any_alpn(value: Option<Value<'_>>) -> Vec<String> {
    let read = |item: &Value<'_>| {
        let name = item.string()?;
        if name.is_empty() || name.len() > 255 {
            item.fault("is no protocol's name", "alpn = [\"mqtt\"]");
            return None;
        }
        Some(name.value)
    };
    value.map_or_else(Vec::new, |value| read_protocols(&value, read))
}

fn read_protocols(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<String>) -> Vec<String> {
    if value.is_empty_array() {
        value.fault("is empty", "alpn = [\"h2\", \"http/1.1\"]");
    }
    let mut protocols = Vec::new();
    for item in value.array().unwrap_or_default() {
        if let Some(protocol) = read(&item)
            && !protocols.contains(&protocol)
        {
            protocols.push(protocol);
        }
    }
    protocols
}

impl PeerTls {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("tls")?;
        let verify = section
            .get("verify")
            .and_then(|v| {
                let verify = v.boolean()?;
                if !verify {
                    v.warn(
                        "is off: anybody who can reach the network can stand in for these servers",
                        "name who vouches for them: tls = { ca = \"/etc/lbd/ca.pem\" }",
                    );
                }
                Some(verify)
            })
            .unwrap_or(true);
        let ca = section.get("ca");
        let authorities = match &ca {
            Some(ca) => read_authorities(ca).filter(|_| verify),
            None => verify.then(|| system_authorities(value)),
        };
        let tls = Self {
            authorities,
            server_name: section
                .get("server_name")
                .and_then(|v| read_server_name(&v)),
            identity: Certificate::read(&section),
        };
        section.finish();
        Some(tls)
    }

    /// Whether it leads to the same connections as `other`.
    pub fn is_same(&self, other: &Self) -> bool {
        let anchors = |tls: &Self| {
            let authorities = tls.authorities.as_ref();
            authorities.map(|all| (all.roots.roots.clone(), all.certificates.clone()))
        };
        let chain = |tls: &Self| {
            let identity = tls.identity.as_ref();
            identity.map(|identity| identity.certified.cert.clone())
        };
        self.server_name == other.server_name
            && chain(self) == chain(other)
            && anchors(self) == anchors(other)
    }

    /// What a pool with `protocol = "h2"` has that says no more; `value` is that.
    pub(super) fn implied(value: &Value<'_>) -> Self {
        Self {
            authorities: Some(system_authorities(value)),
            server_name: None,
            identity: None,
        }
    }
}

fn read_server_name(value: &Value<'_>) -> Option<ServerName<'static>> {
    let name = value.string()?;
    ServerName::try_from(name.value.clone())
        .map_err(|_| {
            value.fault(
                format!("is not a server's name: \"{}\"", *name),
                "a DNS name without port, or an IP address: \"app.internal\"",
            );
        })
        .ok()
}
