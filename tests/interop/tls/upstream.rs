//! nginx behind lbd, with TLS between them.

use std::fs;

use crate::harness::Lbd;
use crate::support::{
    Ca, Cert, Fetched, Nginx, Port, are_here, curl, front_with, noise, servers, url,
};

/// As app.test; says how it was reached.
const SERVER: &str = "
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen @PORT0@ ssl reuseport;
        @KEYS@
        root @DIR@/www;
        location = / { return 200 '$ssl_server_name $ssl_protocol $ssl_client_s_dn'; }
        location = /connection { return 200 '$connection\\n'; }
        location /put/ { dav_methods PUT; create_full_put_path on; client_max_body_size 8m; }
    }";

struct Site {
    nginx: Nginx,
    ca: Ca,
}

impl Site {
    /// nginx with this certificate, and with the further directives that `keys` gives.
    fn start(cert: impl Fn(&Ca) -> Cert, keys: impl Fn(&Ca) -> String) -> Option<Self> {
        if !are_here(&["nginx", "nginx:http_ssl_module", "curl", "openssl"]) {
            return None;
        }
        let ca = Ca::new();
        let keys = cert(&ca).for_nginx() + &keys(&ca);
        let nginx = Nginx::start(vec![Port::new()], &SERVER.replace("@KEYS@", &keys));
        fs::create_dir_all(nginx.dir.file("www")).expect("a directory of our own");
        Some(Self { nginx, ca })
    }

    fn app() -> Option<Self> {
        Self::start(|ca| ca.ecdsa(&["app.test"]), |_| String::new())
    }

    /// lbd in front of it, with these keys in the pool's `tls`.
    fn before(&self, keys: &str) -> Lbd {
        let pool = format!("{}\ntls = {{ {keys} }}", servers(&self.nginx.ports));
        front_with("", &pool)
    }

    /// What comes of GET / through such a lbd.
    fn ask(&self, keys: &str) -> Fetched {
        curl(&[&url(&self.before(keys), "/")])
    }

    /// The pool's keys with which it is trusted as app.test.
    fn trusted(&self) -> String {
        format!("ca = \"{}\", server_name = \"app.test\"", self.ca.file())
    }
}

#[test]
fn a_server_that_is_verified_is_asked_for_by_its_name() {
    let Some(site) = Site::app() else { return };
    let fetched = site.ask(&site.trusted());
    assert_eq!(fetched.status, 200, "{}", fetched.head);
    let text = fetched.text();
    assert!(text.starts_with("app.test TLSv1.3"), "{text}");
}

#[test]
fn a_server_of_tls_1_2_is_spoken_to() {
    let old = |_: &Ca| "ssl_protocols TLSv1.2;".to_owned();
    let Some(site) = Site::start(|ca| ca.rsa(&["app.test"]), old) else {
        return;
    };
    let fetched = site.ask(&site.trusted());
    assert_eq!(fetched.status, 200, "{}", fetched.head);
    assert!(fetched.text().contains(" TLSv1.2 "), "{}", fetched.text());
}

#[test]
fn a_server_without_a_name_is_verified_by_its_address() {
    let Some(site) = Site::start(|ca| ca.ecdsa(&["127.0.0.1"]), |_| String::new()) else {
        return;
    };
    let fetched = site.ask(&format!("ca = \"{}\"", site.ca.file()));
    assert_eq!(fetched.status, 200, "{}", fetched.head);
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let Some(site) = Site::app() else { return };
    let other = Ca::new();
    let fetched = site.ask(&format!(
        "ca = \"{}\", server_name = \"app.test\"",
        other.file()
    ));
    assert_eq!(fetched.status, 502, "{}", fetched.text());
}

#[test]
fn a_server_of_another_name_is_refused() {
    let Some(site) = Site::app() else { return };
    let fetched = site.ask(&format!(
        "ca = \"{}\", server_name = \"other.test\"",
        site.ca.file()
    ));
    assert_eq!(fetched.status, 502, "{}", fetched.text());
}

#[test]
fn a_server_that_need_not_be_verified_is_not() {
    let Some(site) = Site::app() else { return };
    let fetched = site.ask("verify = false, server_name = \"other.test\"");
    assert_eq!(fetched.status, 200, "{}", fetched.head);
    let text = fetched.text();
    assert!(text.starts_with("other.test "), "{text}");
}

#[test]
fn a_server_that_requires_a_certificate_is_shown_ours() {
    let strict = |ca: &Ca| {
        format!(
            "ssl_client_certificate {}; ssl_verify_client on;",
            ca.file()
        )
    };
    let Some(site) = Site::start(|ca| ca.ecdsa(&["app.test"]), strict) else {
        return;
    };
    let ours = site.ca.client("lbd");
    let fetched = site.ask(&format!("{}, {}", site.trusted(), ours.keys()));
    assert_eq!(fetched.status, 200, "{}", fetched.text());
    let text = fetched.text();
    assert!(text.ends_with(" CN=lbd"), "{text}");
    // nginx says so, not lbd.
    let without = site.ask(&site.trusted());
    assert_eq!(without.status, 400, "{}", without.text());
    assert!(without.text().contains("No required SSL certificate"));
}

#[test]
fn connections_are_kept() {
    let Some(site) = Site::app() else { return };
    let lbd = site.before(&site.trusted());
    let url = url(&lbd, "/connection");
    let text = curl(&[&url, &url, &url]).text();
    let numbers: Vec<_> = text.lines().collect();
    assert_eq!(numbers, [numbers[0]; 3], "nginx saw one connection");
}

#[test]
fn bodies_go_both_ways_byte_for_byte() {
    let Some(site) = Site::app() else { return };
    let lbd = site.before(&site.trusted());
    let upload = lbd.dir.file("upload");
    fs::write(&upload, noise(1 << 20)).expect("a file of our own");
    let (upload, url) = (upload.display().to_string(), url(&lbd, "/put/1m"));
    let put = curl(&["-T", &upload, &url]);
    assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
    let fetched = curl(&[&url]);
    assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
    assert!(fetched.body == noise(1 << 20), "not the same");
}
