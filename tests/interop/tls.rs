//! TLS with clients that others wrote, and with nginx behind.

mod certificates;
mod clients;
mod resumption;
mod rotation;
mod upstream;

use crate::harness::{File, Lbd};
use crate::support::{
    Ca, Cert, Echo, are_here, curl, curl_in_vain, front_with, greeter, noise, s_client, servers,
    tls, trusting,
};

const URL: &str = "https://shop.test/";

/// lbd that says "hello" over TLS.
struct Site {
    lbd: Lbd,
    ca: Ca,
}

impl Site {
    /// As shop.test, with further keys in `tls`.
    fn start(keys: &str) -> Option<Self> {
        Self::with(keys, |ca| ca.ecdsa(&["shop.test"]))
    }

    fn with(keys: &str, cert: impl Fn(&Ca) -> Cert) -> Option<Self> {
        if !are_here(&["openssl", "curl"]) {
            return None;
        }
        let ca = Ca::new();
        let lbd = greeter(&tls(&[&cert(&ca)], keys));
        Some(Self { lbd, ca })
    }

    /// `curl ARGS` is told hello.
    fn greets(&self, args: &[&str]) {
        let fetched = trusting(&self.lbd, &self.ca, &[args, &[URL]].concat(), curl);
        assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
        assert_eq!(fetched.text(), "hello");
    }

    /// `curl ARGS` gets no connection.
    fn refuses(&self, args: &[&str]) -> String {
        trusting(&self.lbd, &self.ca, &[args, &[URL]].concat(), curl_in_vain)
    }
}

#[test]
fn a_client_of_tls_1_2_is_answered() {
    let Some(site) = Site::start("") else { return };
    site.greets(&["--tlsv1.2", "--tls-max", "1.2"]);
}

#[test]
fn a_client_of_tls_1_3_is_answered() {
    let Some(site) = Site::start("") else { return };
    site.greets(&["--tlsv1.3"]);
}

#[test]
fn a_client_below_min_version_is_refused() {
    let Some(site) = Site::start("min_version = \"1.3\"") else {
        return;
    };
    let said = site.refuses(&["--tlsv1.2", "--tls-max", "1.2"]);
    assert!(said.contains("alert"), "{said}");
    site.greets(&["--tlsv1.2"]);
}

#[test]
fn a_client_that_trusts_another_authority_leaves() {
    let Some(mut site) = Site::start("") else {
        return;
    };
    site.ca = Ca::new();
    let said = site.refuses(&[]);
    assert!(said.contains("SSL certificate problem"), "{said}");
}

#[test]
fn an_rsa_certificate_is_served() {
    let Some(site) = Site::with("", |ca| ca.rsa(&["shop.test"])) else {
        return;
    };
    site.greets(&["--tls-max", "1.2"]);
    site.greets(&["--tlsv1.3"]);
}

#[test]
fn a_chain_is_sent_whole() {
    let Some(site) = Site::with("", |ca| ca.chain("shop.test")) else {
        return;
    };
    site.greets(&[]);
}

#[test]
fn keys_as_openssl_wrote_them_long_ago_are_read() {
    for kind in [Ca::ecdsa, Ca::rsa] {
        let old = |ca: &Ca| {
            let cert = kind(ca, &["shop.test"]);
            cert.use_traditional_key();
            cert
        };
        let Some(site) = Site::with("", old) else {
            return;
        };
        site.greets(&[]);
    }
}

#[test]
fn a_client_may_choose_http_2_or_http_1_1() {
    let Some(site) = Site::start("") else { return };
    for (offered, agreed) in [
        ("h2", "h2"),
        ("http/1.1", "http/1.1"),
        ("http/1.1,h2", "h2"),
    ] {
        let shake = s_client(&site.lbd, &["-alpn", offered]);
        assert_eq!(shake.alpn(), Some(agreed), "{shake:?}");
    }
}

#[test]
fn a_listener_may_have_http_1_1_alone() {
    let Some(site) = Site::start("alpn = [\"http/1.1\"]") else {
        return;
    };
    let shake = s_client(&site.lbd, &["-alpn", "h2,http/1.1"]);
    assert_eq!(shake.alpn(), Some("http/1.1"), "{shake:?}");
    site.greets(&["--http2"]);
}

#[test]
fn a_client_that_names_no_protocol_gets_http_1_1() {
    let Some(site) = Site::start("") else { return };
    assert_eq!(s_client(&site.lbd, &[]).alpn(), None);
    site.greets(&["--no-alpn"]);
}

#[test]
fn bodies_go_both_ways_byte_for_byte() {
    if !are_here(&["openssl", "curl", "python3"]) {
        return;
    }
    let (ca, echo) = (Ca::new(), Echo::start());
    let cert = ca.ecdsa(&["shop.test"]);
    let lbd = front_with(&tls(&[&cert], ""), &servers(&[&echo.addr]));
    let file = lbd.dir.file("upload");
    std::fs::write(&file, noise(1 << 20)).expect("a file of our own");
    let data = format!("@{}", file.display());
    for version in ["1.2", "1.3"] {
        let args = [
            "--http1.1",
            "--tls-max",
            version,
            "--data-binary",
            &data,
            URL,
        ];
        let fetched = trusting(&lbd, &ca, &args, curl);
        assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
        assert!(fetched.body == noise(1 << 20), "not the same");
    }
}

#[test]
fn the_app_is_told_that_the_client_uses_https() {
    if !are_here(&["openssl", "curl", "python3"]) {
        return;
    }
    let (ca, echo) = (Ca::new(), Echo::start());
    let cert = ca.ecdsa(&["shop.test"]);
    let lbd = front_with(&tls(&[&cert], ""), &servers(&[&echo.addr]));
    let text = trusting(&lbd, &ca, &["--http1.1", URL], curl).text();
    assert!(text.contains("\nX-Forwarded-Proto: https\n"), "{text}");
    assert!(text.contains("\nHost: shop.test\n"), "{text}");
}

/// A listener without TLS that sends everybody to https.
fn redirecting() -> Lbd {
    File {
        rest: "[[routes]]\npath = \"/\"\nredirect = { to = \"https\" }",
        ..File::default()
    }
    .start()
}

#[test]
fn a_redirect_to_https_keeps_host_path_and_query() {
    if !are_here(&["curl"]) {
        return;
    }
    let plain = redirecting();
    let to = format!("::{}", plain.addr);
    let fetched = curl(&["--connect-to", &to, "http://shop.test/a%20b/?c=d&e"]);
    assert_eq!(fetched.status, 308);
    assert_eq!(
        fetched.field("Location"),
        Some("https://shop.test/a%20b/?c=d&e")
    );
}

#[test]
fn a_redirect_to_https_leads_there() {
    let Some(site) = Site::start("") else { return };
    let (plain, file) = (redirecting(), site.ca.file());
    let plain = format!("shop.test:80:{}", plain.addr);
    let secure = format!("shop.test:443:{}", site.lbd.addr);
    let to = ["--connect-to", &plain, "--connect-to", &secure];
    let args = [&to[..], &["--cacert", &file, "-L", "http://shop.test/"]];
    let fetched = curl(&args.concat());
    assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
    assert_eq!(fetched.text(), "hello");
}
