//! What is for connections, and what for datagrams.

use super::{APP, TLS, check_stream};
use crate::support::check;

#[test]
fn what_is_for_connections_is_a_fault_beside_udp() {
    for (keys, part, key) in [
        (&format!("pool = \"app\"\n{TLS}")[..], "{ certi", "tls"),
        (
            "pool = \"app\"\nsend_proxy = \"v2\"",
            "\"v2\"",
            "send_proxy",
        ),
        ("sni = { \"*\" = \"app\" }", "{ \"*\"", "sni"),
    ] {
        let checked = check_stream(&format!("protocol = \"udp\"\n{keys}"));
        checked.tells_of(part, "error", &format!("`{key}`"));
        checked.is_faulty();
    }
    let keys = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let checked = check_stream(&format!("protocol = \"udp\"\npool = \"app\"\n{keys}"));
    checked.tells_of("true", "error", "`proxy_protocol`");
    assert_eq!(checked.said.code, Some(78), "{:?}", checked.said);
}

#[test]
fn what_is_for_datagrams_is_a_fault_beside_tcp() {
    for protocol in ["", "protocol = \"tcp\"\n"] {
        for key in ["responses", "max_sessions"] {
            let checked = check_stream(&format!("{protocol}pool = \"app\"\n{key} = 77"));
            checked.tells_of("77", "error", &format!("`{key}`"));
            checked.is_faulty();
        }
    }
}

#[test]
fn a_pool_with_tls_is_a_fault_beside_udp() {
    let stream = "[[streams]]\nbind = \"127.0.0.1:6183\"\npool = \"app\"\n";
    let rest = format!("{APP}tls = {{ ca = \"a.pem\" }}\n");
    let checked = check(&format!("{stream}protocol = \"udp\"\n{rest}"));
    checked.tells_of("\"app\"", "error", "`tls`");
    checked.is_faulty();
    check(&format!("{stream}{rest}")).is("good");
}

#[test]
fn a_pool_with_tls_is_a_fault_beside_sni() {
    let stream = "[[streams]]\nbind = \"127.0.0.1:6183\"\nsni = { \"*\" = \"app\" }\n";
    let checked = check(&format!("{stream}{APP}tls = {{ ca = \"a.pem\" }}\n"));
    checked.tells_of("\"app\"", "error", "`tls`");
    checked.is_faulty();
}

#[test]
fn timeouts_of_connections_are_faults_beside_udp() {
    for key in ["connect", "header"] {
        let keys = format!("pool = \"app\"\ntimeouts = {{ {key} = \"7s\", idle = \"5s\" }}");
        let checked = check_stream(&format!("protocol = \"udp\"\n{keys}"));
        checked.tells_of("\"7s\"", "error", &format!("`{key}`"));
        checked.is_faulty();
        check_stream(&keys).is("good");
    }
}

#[test]
fn tcp_user_timeout_is_for_connections() {
    let keys = "pool = \"app\"\ntcp_user_timeout = \"2m\"";
    check_stream(keys).is("good");
    let checked = check_stream(&format!("protocol = \"udp\"\n{keys}"));
    checked.tells_of("\"2m\"", "error", "`tcp_user_timeout`");
    checked.is_faulty();
}
