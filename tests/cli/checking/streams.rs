//! Streams and the PROXY protocol in the file: what fits together, and where it says so if not.

mod names;
mod protocols;

use crate::support::{Checked, HELLO, check};

/// A pool that every file here has.
const APP: &str = "[pools.app]\nservers = [\"127.0.0.1:8101\"]\n";

/// A stream that ends TLS.
const TLS: &str = "tls = { certificates = [{ cert = \"a.pem\", key = \"a.key\" }] }";

/// Checks a file with one stream of these keys, and pool `app`.
fn check_stream(keys: &str) -> Checked {
    check(&format!(
        "[[streams]]\nbind = \"127.0.0.1:6183\"\n{keys}\n{APP}"
    ))
}

impl Checked {
    /// Whatever was said has this in it.
    fn says(&self, part: &str) {
        let said = &self.said.err;
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }

    /// It cannot be used, for one reason.
    fn is_faulty(&self) {
        assert_eq!(self.said.code, Some(78), "{:?}", self.said);
        self.says("lb.toml: 1 error");
    }
}

/// Everything that can be said at once.
const WHOLE: &str = "close_spread = \"20s\"
[[listeners]]
bind = \"127.0.0.1:8100\"
proxy_protocol = true
trusted_proxies = [\"127.0.0.0/8\"]
[[routes]]
path = \"/\"
pool = \"web\"
timeouts = { tunnel = \"2h\" }
[[streams]]
name = \"mqtt\"
bind = [\"127.0.0.1:1883\", \"127.0.0.2:1883\"]
pool = \"app\"
send_proxy = \"v2\"
proxy_protocol = true
trusted_proxies = [\"10.0.0.0/8\", \"10.1.2.3\"]
timeouts = { connect = \"5s\", idle = \"30m\", header = \"10s\" }
tls = { certificates = [{ cert = \"a.pem\", key = \"a.key\" }], alpn = [\"mqtt\"], client_ca = \"a.pem\" }
[[streams]]
bind = \"127.0.0.1:8443\"
sni = { \"mqtt.x.com\" = \"app\", \"*.y.com\" = \"web\", \"*.z.y.com\" = \"app\", \"*\" = \"web\" }
send_proxy = \"off\"
[[streams]]
bind = \"127.0.0.1:8100\"
protocol = \"udp\"
pool = \"dns\"
responses = 1
max_sessions = 100
timeouts = { idle = \"5s\" }
[pools.web]
servers = [\"127.0.0.1:8102\"]
timeouts = { tunnel = \"1h\" }
[pools.dns]
servers = [\"127.0.0.1:5353\"]
";

#[test]
fn everything_that_fits_together_is_good() {
    let checked = check(&format!("{WHOLE}{APP}"));
    checked.is("good");
    assert_eq!(checked.said.err, "");
}

// === pools ===

#[test]
fn a_pool_that_is_not_there_is_told_with_what_was_meant() {
    for keys in [
        "pool = \"ap\"",
        "sni = { \"x.com\" = \"ap\", \"y.com\" = \"app\" }",
        "protocol = \"udp\"\npool = \"ap\"",
    ] {
        let checked = check(&format!(
            "[[streams]]\nbind = \"127.0.0.1:6183\"\n{keys}\n\
             [[streams]]\nbind = \"127.0.0.1:6184\"\npool = \"app\"\n{APP}"
        ));
        checked.tells_of("\"ap\"", "error", "no pool `ap`");
        checked.says("did you mean `app`?");
        checked.is_faulty();
    }
}

#[test]
fn a_stream_has_an_address_and_either_one_pool_or_several_by_name() {
    let checked = check_stream("pool = \"app\"\nsni = { \"x.com\" = \"app\" }");
    checked.tells_of("{ \"x.com\"", "error", "`pool`");
    checked.is_faulty();
    let checked = check("[[streams]]\nbind = \"127.0.0.1:6183\"\n");
    checked.says("`pool`");
    checked.is_faulty();
    let checked = check(&format!("[[streams]]\npool = \"app\"\n{APP}"));
    checked.says("`bind`");
    checked.is_faulty();
}

#[test]
fn a_pool_of_http_2_behind_a_stream_is_a_fault() {
    for keys in [
        "protocol = \"h2c\"",
        "protocol = \"h2\"\ntls = { ca = \"a.pem\" }",
    ] {
        let stream = "[[streams]]\nbind = \"127.0.0.1:6183\"\npool = \"app\"\n";
        let checked = check(&format!("{stream}{APP}{keys}\n"));
        checked.tells_of("\"app\"", "error", "HTTP/2");
        checked.is_faulty();
    }
}

#[test]
fn a_pool_that_nobody_uses_is_a_warning_still() {
    let unused = "[pools.unused]\nservers = [\"127.0.0.1:8102\"]\n";
    let checked = check_stream(&format!("pool = \"app\"\n{unused}"));
    checked.is("good, with 1 warning");
    checked.tells_of("unused]", "warning", "`unused`");
}

// === words ===

#[test]
fn words_that_mean_nothing_are_told_with_what_was_meant() {
    for (keys, part, help) in [
        ("send_proxy = \"v3\"", "\"v3\"", "did you mean"),
        ("send_proxy = \"yes please\"", "\"yes please\"", "\"v2\""),
        ("protocol = \"udpp\"", "\"udpp\"", "did you mean \"udp\"?"),
    ] {
        let checked = check_stream(&format!("pool = \"app\"\n{keys}"));
        checked.tells_of(part, "error", "unknown value");
        checked.says(help);
        checked.is_faulty();
    }
}

// === PROXY headers ===

#[test]
fn a_header_that_anybody_may_send_is_a_fault() {
    let key = "proxy_protocol = true\n";
    let listener = format!("[[listeners]]\nbind = \"127.0.0.1:8100\"\n{key}{HELLO}");
    let stream = "[[streams]]\nbind = \"127.0.0.1:6183\"\npool = \"app\"\n";
    for text in [listener, format!("{stream}{key}{APP}")] {
        let checked = check(&text);
        checked.tells_of("true", "error", "`trusted_proxies`");
        checked.is_faulty();
        let trusting = text.replace("true", "true\ntrusted_proxies = [\"10.0.0.0/8\"]");
        check(&trusting).is("good");
        check(&text.replace("true", "false")).is("good");
    }
}

#[test]
fn trusted_proxies_without_a_header_are_a_warning() {
    for key in ["", "proxy_protocol = false\n"] {
        let keys = format!("pool = \"app\"\n{key}trusted_proxies = [\"10.0.0.0/8\"]");
        let checked = check_stream(&keys);
        checked.tells_of("[\"10.0.0.0/8\"]", "warning", "`trusted_proxies`");
        checked.is("good, with 1 warning");
    }
}

// === addresses ===

#[test]
fn an_address_belongs_to_one_listener_or_stream() {
    let listener = "[[listeners]]\nbind = \"127.0.0.1:8100\"\n";
    let stream = "[[streams]]\nbind = \"127.0.0.1:8100\"\npool = \"app\"\n";
    let several = "[\"127.0.0.1:8101\", \"127.0.0.1:8100\"]";
    let again = stream.replace("\"127.0.0.1:8100\"", several);
    let datagrams = format!("{again}protocol = \"udp\"\n");
    let other = stream.replace("[[streams]]", "[[streams]]\nprotocol = \"udp\"");
    for (first, second) in [
        (listener, again.as_str()),
        (stream, again.as_str()),
        (other.as_str(), datagrams.as_str()),
    ] {
        let checked = check(&format!("{first}{second}{APP}"));
        checked.tells_of("\"127.0.0.1:8100\"]", "error", "127.0.0.1:8100");
        checked.is_faulty();
    }
}

#[test]
fn tcp_and_udp_may_share_a_port() {
    let listener = format!("[[listeners]]\nbind = \"127.0.0.1:8100\"\n{HELLO}");
    let tcp = "[[streams]]\nbind = \"127.0.0.1:8100\"\npool = \"app\"\n";
    let udp = format!("{tcp}protocol = \"udp\"\n");
    for first in [listener.as_str(), tcp] {
        check(&format!("{first}{udp}{APP}")).is("good");
    }
}

// === the end ===

#[test]
fn a_spread_that_is_cut_short_is_a_warning() {
    let rest = format!("[[streams]]\nbind = \"127.0.0.1:6183\"\npool = \"app\"\n{APP}");
    let checked = check(&format!("close_spread = \"31s\"\n{rest}"));
    checked.is("good, with 1 warning");
    checked.tells_of("\"31s\"", "warning", "`shutdown_timeout`");
    let longer = "close_spread = \"31s\"\nshutdown_timeout = \"31s\"\n";
    check(&format!("{longer}{rest}")).is("good");
}
