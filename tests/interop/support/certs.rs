//! Certificates and keys, made by openssl.

use std::{fs, net::IpAddr};

use super::programs::{outcome, program};
use crate::harness::Dir;

/// What `openssl req` reads: nothing of Debian's.
const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n";

const ECDSA: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: [&str; 2] = ["-newkey", "rsa:2048"];

const IS_AUTHORITY: &str = "basicConstraints=critical,CA:TRUE";

/// A certificate authority, and the directory of all that it makes.
#[derive(Debug)]
pub(crate) struct Ca {
    dir: Dir,
    own: Cert,
}

/// The files of a certificate and of its key.
#[derive(Clone, Debug)]
pub(crate) struct Cert {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let dir = Dir::new();
        dir.write("config", CONFIG);
        let own = Cert::new(&dir, "ca");
        own.make(&dir, &ECDSA, "/CN=Test CA", &[IS_AUTHORITY], None);
        Self { dir, own }
    }

    /// The file of its own certificate.
    pub(crate) fn file(&self) -> String {
        self.own.cert.clone()
    }

    /// For a server with these names or addresses.
    pub(crate) fn ecdsa(&self, names: &[&str]) -> Cert {
        self.server(&ECDSA, names)
    }

    /// For a server with these names or addresses.
    pub(crate) fn rsa(&self, names: &[&str]) -> Cert {
        self.server(&RSA, names)
    }

    fn server(&self, kind: &[&str], names: &[&str]) -> Cert {
        let kind_of = |name: &str| name.parse::<IpAddr>().map_or("DNS", |_| "IP");
        let names: Vec<_> = names
            .iter()
            .map(|name| format!("{}:{name}", kind_of(name)))
            .collect();
        let names = format!("subjectAltName={}", names.join(","));
        self.issue(kind, "/O=Server", &[&names], &self.own)
    }

    /// For a client, with this common name.
    pub(crate) fn client(&self, name: &str) -> Cert {
        let usage = "extendedKeyUsage=clientAuth";
        self.issue(&ECDSA, &format!("/CN={name}"), &[usage], &self.own)
    }

    /// For a server with this name, by an authority that this one vouches for and whose certificate is in the file too.
    pub(crate) fn chain(&self, name: &str) -> Cert {
        let between = self.issue(&ECDSA, "/CN=Between", &[IS_AUTHORITY], &self.own);
        let name = format!("subjectAltName=DNS:{name}");
        let leaf = self.issue(&ECDSA, "/O=Server", &[&name], &between);
        fs::write(&leaf.cert, leaf.pem() + &between.pem()).expect("a file of our own");
        leaf
    }

    fn issue(&self, kind: &[&str], subject: &str, extensions: &[&str], issuer: &Cert) -> Cert {
        let made = fs::read_dir(self.dir.path()).expect("a directory of our own");
        let cert = Cert::new(&self.dir, &made.count().to_string());
        cert.make(&self.dir, kind, subject, extensions, Some(issuer));
        cert
    }
}

impl Cert {
    fn new(dir: &Dir, name: &str) -> Self {
        let [cert, key] = ["pem", "key"].map(|kind| dir.file(&format!("{name}.{kind}")));
        Self {
            cert: cert.display().to_string(),
            key: key.display().to_string(),
        }
    }

    fn make(
        &self,
        dir: &Dir,
        kind: &[&str],
        subject: &str,
        extensions: &[&str],
        by: Option<&Self>,
    ) {
        let config = dir.file("config").display().to_string();
        let mut args = vec!["req", "-x509", "-nodes", "-days", "2", "-config", &config];
        args.extend(kind);
        args.extend(["-subj", subject, "-out", &self.cert, "-keyout", &self.key]);
        args.extend(extensions.iter().flat_map(|text| ["-addext", text]));
        args.extend(
            by.iter()
                .flat_map(|ca| ["-CA", &ca.cert, "-CAkey", &ca.key]),
        );
        openssl(&args);
    }

    /// Writes its key as openssl did before PKCS #8.
    pub(crate) fn use_traditional_key(&self) {
        let key = openssl(&["pkey", "-traditional", "-in", &self.key]);
        assert!(!key.contains("BEGIN PRIVATE KEY"), "{key}");
        fs::write(&self.key, key).expect("a file of our own");
    }

    /// Adds the key to the certificate's file, as HAProxy wants it; gives the file.
    pub(crate) fn in_one_file(&self) -> &str {
        let key = fs::read_to_string(&self.key).expect("openssl has made it");
        fs::write(&self.cert, self.pem() + &key).expect("a file of our own");
        &self.cert
    }

    /// Writes what `other` has into its files.
    pub(crate) fn become_like(&self, other: &Self) {
        for (from, to) in [(&other.cert, &self.cert), (&other.key, &self.key)] {
            fs::copy(from, to).expect("files of our own");
        }
    }

    pub(crate) fn pem(&self) -> String {
        fs::read_to_string(&self.cert).expect("openssl has made it")
    }

    /// Of SHA-256, in lower-case hex.
    pub(crate) fn fingerprint(&self) -> String {
        let said = openssl(&[
            "x509",
            "-noout",
            "-fingerprint",
            "-sha256",
            "-in",
            &self.cert,
        ]);
        let (_, bytes) = said.trim().split_once('=').expect("a fingerprint");
        bytes.replace(':', "").to_lowercase()
    }

    /// Its two keys in lb.toml.
    pub(crate) fn keys(&self) -> String {
        format!("cert = \"{}\", key = \"{}\"", self.cert, self.key)
    }

    /// Its two directives in nginx.conf.
    pub(crate) fn for_nginx(&self) -> String {
        let Self { cert, key } = self;
        format!("ssl_certificate {cert}; ssl_certificate_key {key};")
    }
}

/// `tls` of a listener with these certificates and further keys, if any.
pub(crate) fn tls(certs: &[&Cert], further: &str) -> String {
    let certs: Vec<_> = certs
        .iter()
        .map(|cert| format!("{{ {} }}", cert.keys()))
        .collect();
    let separator = if further.is_empty() { "" } else { ", " };
    format!(
        "tls = {{ certificates = [{}]{separator}{further} }}",
        certs.join(", ")
    )
}

fn openssl(args: &[&str]) -> String {
    let ended = outcome(program("openssl").args(args));
    assert_eq!(ended.code, Some(0), "openssl {args:?}: {}", ended.err);
    ended.out
}
