//! HAProxy in front of lbd, which says who the client is.

use super::{CLIENT, get};
use crate::harness::Lbd;
use crate::support::{
    Ca, Echo, Fetched, Haproxy, Nginx, Port, Stream, are_here, curl_in_vain, front_with, servers,
    url,
};

/// Of a listener, and of a stream.
const KEYS: &str = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";

/// An app, and lbd in front of it that wants a header.
struct Site {
    lbd: Lbd,
    _echo: Echo,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["haproxy", "curl", "python3"]) {
            return None;
        }
        let echo = Echo::start();
        let lbd = front_with(KEYS, &servers(&[&echo.addr]));
        Some(Self { lbd, _echo: echo })
    }

    /// HAProxy in front of lbd, with these words behind either address.
    fn behind(&self, bind: &str, server: &str) -> Haproxy {
        relay(bind, &format!("{} {server}", self.lbd.addr))
    }
}

fn relay(bind: &str, server: &str) -> Haproxy {
    Haproxy::start(bind, &format!("mode tcp\n    server lbd {server}"))
}

/// The app was told the client's address.
fn is_told(fetched: &Fetched) {
    let text = fetched.text();
    for name in ["X-Real-IP", "X-Forwarded-For"] {
        assert!(text.contains(&format!("\n{name}: {CLIENT}\n")), "{text}");
    }
}

#[test]
fn the_app_is_told_the_client_s_address() {
    let Some(site) = Site::start() else { return };
    for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
        let haproxy = site.behind("", how);
        is_told(&get(haproxy.port.addr(), &[], "http://shop.test/"));
    }
}

#[test]
fn a_header_with_every_extension_is_read() {
    let Some(site) = Site::start() else { return };
    if !are_here(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let (cert, alice) = (ca.ecdsa(&["shop.test"]), ca.client("alice"));
    let (pair, file) = (cert.in_one_file(), ca.file());
    let haproxy = site.behind(
        &format!("ssl crt {pair} ca-file {file} verify required alpn http/1.1"),
        "send-proxy-v2 proxy-v2-options \
         ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c",
    );
    let shown = ["--cert", &alice.cert, "--key", &alice.key];
    let args = [&shown[..], &["--cacert", &file, "--http1.1"]].concat();
    is_told(&get(haproxy.port.addr(), &args, "https://shop.test/"));
}

#[test]
fn who_comes_without_a_header_is_refused() {
    let Some(site) = Site::start() else { return };
    curl_in_vain(&[&url(&site.lbd, "/")]);
    site.lbd.process.err.wait_for("failure=");
}

#[test]
fn a_proxy_that_is_not_trusted_is_refused() {
    let Some(site) = Site::start() else { return };
    let haproxy = site.behind("", "send-proxy source 127.0.0.9");
    curl_in_vain(&[&format!("http://{}/", haproxy.port)]);
    site.lbd.process.err.wait_for("failure=");
}

#[test]
fn a_stream_says_on_what_it_was_told() {
    if !are_here(&["haproxy", "nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start(vec![Port::new()], super::NGINX);
    for (from, to) in [("send-proxy", "v2"), ("send-proxy-v2", "v1")] {
        let keys = format!("{KEYS}\nsend_proxy = \"{to}\"");
        let stream = Stream::start(&keys, &servers(&nginx.ports));
        let haproxy = relay("", &format!("{} {from}", stream.addr));
        let fetched = get(haproxy.port.addr(), &[], "http://shop.test/");
        assert_eq!(fetched.text(), fetched.values[0], "{from} {to}");
    }
}
