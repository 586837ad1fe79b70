//! A stream has no request: what its pool goes by is known without one. And all that use a pool are checked alike.

use super::{PLAIN, says};

/// A stream whose further keys begin on line 4.
const STREAM: &str = "[[streams]]\nbind = \"127.0.0.1:8101\"\npool = \"app\"\n";
/// Another one.
const OTHER: &str = "[[streams]]\nbind = \"127.0.0.1:8102\"\npool = \"app\"\n";

/// Just this is said of a stream with a pool with these keys.
fn says_of_pool(keys: &str, beginnings: &[&str]) {
    says_of("", keys, beginnings);
}

/// Just this is said of a stream that goes on like this, with a pool with these keys.
fn says_of(stream: &str, keys: &str, beginnings: &[&str]) {
    let pool = format!("[pools.app]\nservers = [{PLAIN}]\n{keys}\n");
    says(&format!("{STREAM}{stream}{pool}"), beginnings);
}

#[test]
fn nothing_is_said_of_what_a_connection_has() {
    for keys in [
        "balance = \"least_conn\"\nslow_start = \"30s\"",
        "balance = \"random\"",
        "balance = \"ewma\"",
        "balance = \"hash\"\nhash_key = \"$remote_addr$remote_port$server_port\"",
        "sticky = { learn = \"$remote_addr\" }",
        "sticky = { learn = \"$remote_addr/$server_port\", timeout = \"8h\" }",
    ] {
        says_of_pool(keys, &[]);
        says_of("protocol = \"udp\"\n", keys, &[]);
    }
}

#[test]
fn a_stream_has_nothing_of_a_request_to_hash() {
    for (key, variable) in [
        ("$uri", "$uri"),
        ("$remote_addr$http_host", "$http_host"),
        ("$http_x_user", "$http_x_user"),
        ("$cookie_user", "$cookie_user"),
    ] {
        let keys = format!("balance = \"hash\"\nhash_key = \"{key}\"");
        let text = format!("{STREAM}[pools.app]\nservers = [{PLAIN}]\n{keys}\n");
        let faults = super::faults(&text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].starts_with("3:8: error: pool `app` "),
            "{faults:?}"
        );
        assert!(faults[0].contains(&format!("`{variable}`")), "{faults:?}");
    }
}

#[test]
fn a_stream_has_nothing_of_a_request_to_learn_by() {
    for key in ["$cookie_user", "$remote_addr$host"] {
        let keys = format!("sticky = {{ learn = \"{key}\" }}");
        says_of_pool(&keys, &["3:8: error: pool `app` "]);
    }
}

#[test]
fn a_stream_has_no_cookies() {
    let fault = "3:8: error: pool `app` is sticky by a cookie";
    for sticky in ["cookie = \"lb\"", "learn = \"PHPSESSID\""] {
        let keys = format!("sticky = {{ {sticky} }}");
        says_of_pool(&keys, &[fault]);
        says_of("protocol = \"udp\"\n", &keys, &[fault]);
    }
    let text = format!(
        "{STREAM}[pools.app]\nservers = [{{ address = \"10.0.0.1:80\", route = \"n1\" }}]\n\
         sticky = {{ route = \"SID\" }}\n"
    );
    says(&text, &[fault]);
}

// === max_connections ===

#[test]
fn datagrams_come_over_no_connection() {
    says_of(
        "protocol = \"udp\"\nmax_connections = 10\n",
        "",
        &["5:19: error: `max_connections` is for connections"],
    );
    says_of(
        "max_connections = -1\n",
        "",
        &["4:19: error: `max_connections` is out of range"],
    );
}

// === the header that checks begin with ===

#[test]
fn checks_can_send_but_one_proxy_header() {
    let checked = "health = { check = \"tcp\" }";
    for (one, other) in [("v1", "v2"), ("v1", "off"), ("off", "v2")] {
        let streams = format!("send_proxy = \"{one}\"\n{OTHER}send_proxy = \"{other}\"\n");
        let fault = "9:8: error: pool `app` is sent different PROXY headers";
        says_of(&streams, checked, &[fault]);
        says_of(&streams, "", &[]);
        let said = "health = { check = \"tcp\", send_proxy = \"v1\" }";
        says_of(&streams, said, &[]);
    }
    let same = format!("send_proxy = \"v2\"\n{OTHER}send_proxy = \"v2\"\n");
    says_of(&same, checked, &[]);
}

#[test]
fn a_route_sends_none() {
    let route = "send_proxy = \"v1\"\n[[listeners]]\nbind = \"127.0.0.1:8100\"\n[[routes]]\npath = \"/\"\npool = \"app\"\n";
    let fault = "10:8: error: pool `app` is sent different PROXY headers";
    says_of(route, "health = { check = \"tcp\" }", &[fault]);
}
