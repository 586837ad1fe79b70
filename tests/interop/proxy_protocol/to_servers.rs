//! Streams that say to their servers who the client is.

use super::{NGINX, get};
use crate::support::{Ca, Haproxy, Nginx, Port, Stream, are_here, servers, tls};

/// As [`NGINX`], and with the name that the client asked for.
const HAPROXY: &str = "mode http
    http-request return status 200 content-type text/plain lf-string \
    \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority]\"";

#[test]
fn nginx_is_told_both_ends() {
    if !are_here(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start(vec![Port::new()], NGINX);
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy = \"{version}\"");
        let stream = Stream::start(&keys, &servers(&nginx.ports));
        let fetched = get(stream.addr, &[], "http://shop.test/");
        assert_eq!(fetched.text(), fetched.values[0], "{version}");
    }
}

#[test]
fn haproxy_is_told_both_ends() {
    if !are_here(&["haproxy", "curl"]) {
        return;
    }
    let haproxy = Haproxy::start("accept-proxy", HAPROXY);
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy = \"{version}\"");
        let stream = Stream::start(&keys, &servers(&[&haproxy.port]));
        let fetched = get(stream.addr, &[], "http://shop.test/");
        assert_eq!(fetched.text().trim_end(), fetched.values[0], "{version}");
    }
}

#[test]
fn haproxy_is_told_the_name_that_a_client_of_tls_asked_for() {
    if !are_here(&["haproxy", "curl", "openssl"]) {
        return;
    }
    let (ca, haproxy) = (Ca::new(), Haproxy::start("accept-proxy", HAPROXY));
    let tls = tls(&[&ca.ecdsa(&["shop.test"])], "");
    let keys = format!("send_proxy = \"v2\"\n{tls}");
    let stream = Stream::start(&keys, &servers(&[&haproxy.port]));
    says_shop_test(&stream, &ca);
}

#[test]
fn haproxy_is_told_the_name_though_tls_passes_through() {
    if !are_here(&["haproxy", "curl", "openssl"]) {
        return;
    }
    let ca = Ca::new();
    let cert = ca.ecdsa(&["shop.test"]);
    let haproxy = Haproxy::start(
        &format!("accept-proxy ssl crt {}", cert.in_one_file()),
        HAPROXY,
    );
    let keys = "send_proxy = \"v2\"\nsni = { \"shop.test\" = \"app\" }";
    let stream = Stream::choosing(keys, &servers(&[&haproxy.port]));
    says_shop_test(&stream, &ca);
}

/// A client of this stream finds HAProxy, which knows both ends and the name.
fn says_shop_test(stream: &Stream, ca: &Ca) {
    let file = ca.file();
    let args = ["--http1.1", "--cacert", &file];
    let fetched = get(stream.addr, &args, "https://shop.test/");
    let expected = format!("{} shop.test", fetched.values[0]);
    assert_eq!(fetched.text(), expected);
}
