//! TLS in the file: certificates are read and held together, and every fault is told with its place.

use std::fs;

use crate::harness::{Dir, File, Lbd};
use crate::support::{Checked, HELLO, Pair, check, check_in};

impl Checked {
    fn has_errors(&self, count: &str) {
        assert_eq!(self.said.code, Some(78), "{:?}", self.said);
        assert_eq!(self.said.out, "", "faults go to standard error");
        let last = format!("lb.toml: {count}\n");
        assert!(self.said.err.ends_with(&last), "{}", self.said.err);
    }
}

/// A file with TLS, a.pem and these further keys for `tls`.
fn with_tls(keys: &str) -> String {
    let certificates = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    format!("[[listeners]]\nbind = \"127.0.0.1:8443\"\ntls = {{ {certificates}, {keys} }}\n{HELLO}")
}

/// A file with one pool that has these further keys.
fn with_pool(keys: &str) -> String {
    format!(
        "[[listeners]]\nbind = \"127.0.0.1:8100\"\n[[routes]]\npath = \"/\"\npool = \"app\"\n\
         [pools.app]\nservers = [\"127.0.0.1:8101\"]\n{keys}\n"
    )
}

#[test]
fn good_certificates_pass() {
    let keys = "client_ca = \"a.pem\", alpn = [\"http/1.1\", \"h2\"], min_version = \"1.3\"";
    let checked = check(&with_tls(keys));
    checked.is("good");
    assert_eq!(checked.said.err, "");
}

/// Five certificates of which none can be served, and one that nobody will take.
const BAD: &str = "[[listeners]]
bind = \"127.0.0.1:8443\"
tls = { certificates = [
    { cert = \"absent.pem\", key = \"a.key\" },
    { cert = \"a.pem\", key = \"b.key\" },
    { cert = \"expired.pem\", key = \"expired.key\" },
    { cert = \"a.pem\", key = \"locked.key\" },
    { cert = \"a.pem\", key = \"sealed.key\" },
    { cert = \"empty.pem\", key = \"a.key\" },
] }
";

#[test]
fn every_certificate_that_cannot_be_served_is_told_with_its_place() {
    let dir = Dir::new();
    Pair::new().write(&dir, "a");
    Pair::new().write(&dir, "b");
    Pair::expired().write(&dir, "expired");
    for (name, kind, fields) in [
        ("locked.key", "ENCRYPTED PRIVATE KEY", ""),
        ("sealed.key", "EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\n"),
    ] {
        let text = format!("-----BEGIN {kind}-----\n{fields}MIIB\n-----END {kind}-----\n");
        dir.write(name, &text);
    }
    fs::copy(dir.file("a.key"), dir.file("empty.pem")).expect("our own files");
    let checked = check_in(&dir, &format!("{BAD}{HELLO}"));
    for (part, what) in [
        ("\"absent.pem\"", "error: `cert` cannot be read: absent.pem"),
        (
            "\"b.key\"",
            "error: `key` does not match the certificate a.pem",
        ),
        (
            "\"expired.pem\"",
            "warning: `cert` has expired on 2020-01-01",
        ),
        ("\"locked.key\"", "error: `key` is encrypted"),
        ("\"sealed.key\"", "error: `key` is encrypted"),
        (
            "\"empty.pem\"",
            "error: `cert` names a file without a certificate",
        ),
    ] {
        checked.tells(part, what);
    }
    checked.has_errors("5 errors");
}

#[test]
fn a_certificate_that_has_expired_is_a_warning() {
    let dir = Dir::new();
    Pair::expired().write(&dir, "a");
    let checked = check_in(&dir, &with_tls("min_version = \"1.2\""));
    checked.is("good, with 1 warning");
    checked.tells("\"a.pem\"", "warning: `cert` has expired on 2020-01-01");
    checked.helps("clients will refuse it; renew it and reload");
}

#[test]
fn words_that_mean_nothing_are_told_with_what_was_meant() {
    let unknown = "has an unknown value";
    for (keys, part, what, help) in [
        ("alpn = [\"h3\"]", "\"h3\"", unknown, "did you mean \"h2\"?"),
        (
            "alpn = [\"spdy\"]",
            "\"spdy\"",
            unknown,
            "one of \"h2\", \"http/1.1\"",
        ),
        (
            "min_version = \"1.4\"",
            "\"1.4\"",
            unknown,
            "did you mean \"1.2\"?",
        ),
        (
            "min_version = \"TLSv1.2\"",
            "\"TLSv1.2\"",
            unknown,
            "one of \"1.2\", \"1.3\"",
        ),
        (
            "min_version = \"1.1\"",
            "\"1.1\"",
            "is a version that is broken",
            "\"1.2\" or \"1.3\"",
        ),
        (
            "client_auth = \"require\"",
            "\"require\"",
            "stands without `client_ca`",
            "name the authorities of your clients",
        ),
    ] {
        let checked = check(&with_tls(keys));
        let key = keys.split(' ').next().expect("a key");
        checked.tells(part, &format!("error: `{key}` {what}"));
        checked.helps(help);
        checked.has_errors("1 error");
    }
}

#[test]
fn http_2_in_clear_excludes_tls() {
    let checked = check(&with_pool("protocol = \"h2c\"\ntls = { ca = \"a.pem\" }"));
    checked.tells(
        "{ ca = ",
        "error: `tls` stands beside protocol = \"h2c\", which is HTTP/2 without TLS",
    );
    checked.helps("write protocol = \"h2\", or remove `tls`");
    checked.has_errors("1 error");
    let text = with_tls("min_version = \"1.2\"").replacen("tls", "h2c = true\ntls", 1);
    let checked = check(&text);
    checked.tells("true", "error: `h2c` stands beside `tls`");
    checked.has_errors("1 error");
}

/// A listener without TLS and one with it, and a route to `to` with these further keys.
fn redirecting(to: &str, keys: &str) -> String {
    format!(
        "[[listeners]]\nname = \"http\"\nbind = \"127.0.0.1:8100\"\n\
         [[listeners]]\nname = \"secure\"\nbind = \"127.0.0.1:8443\"\n\
         tls = {{ certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}] }}\n\
         [[routes]]\npath = \"/\"\nredirect = {{ to = \"{to}\" }}\n{keys}\n"
    )
}

#[test]
fn a_redirect_to_https_for_clients_that_are_there_is_a_warning() {
    for to in ["https", "https://$host:8443$request_uri"] {
        let checked = check(&redirecting(to, ""));
        checked.is("good, with 1 warning");
        checked.tells(
            "\"/\"",
            "warning: the redirect to https is for listener `secure`, too",
        );
        checked.helps("name the listeners that it is for: listeners = [\"http\"]");
    }
}

#[test]
fn a_redirect_to_https_that_leads_elsewhere_is_none() {
    let others = "listeners = [\"http\"]";
    check(&redirecting("https", others)).is("good");
    for elsewhere in [
        "https://other.example$request_uri",
        "https://$host$request_uri",
    ] {
        check(&redirecting(elsewhere, "")).is("good");
    }
}

#[test]
fn servers_that_nobody_verifies_are_warned_of_by_check_and_at_each_start() {
    let text = with_pool("tls = { verify = false }");
    let checked = check(&text);
    checked.is("good, with 1 warning");
    checked.tells("false", "warning: `verify` is off");
    checked.helps("name who vouches for them: tls = { ca = \"/etc/lbd/ca.pem\" }");

    let (_, rest) = text.split_once("8100\"\n").expect("a listener");
    let text = File {
        rest,
        ..File::default()
    }
    .text();
    for _ in 0..2 {
        let lbd = Lbd::start(&text, &[]);
        lbd.process.err.wait_for(": warning: `verify` is off");
    }
}
