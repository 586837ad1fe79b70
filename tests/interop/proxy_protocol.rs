//! PROXY headers: what nginx and HAProxy read of lbd's, and what lbd reads of HAProxy's.

mod from_haproxy;
mod to_servers;

use std::net::SocketAddr;

use crate::support::{Fetched, curl};

/// The clients' address, which nobody else here has.
const CLIENT: &str = "127.0.0.7";

/// nginx that answers both ends of the client's connection, as the header names them.
const NGINX: &str = "server {
    listen @PORT0@ proxy_protocol reuseport;
    return 200 '$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port';
}";

/// What curl gets as a client of `addr` at [`CLIENT`]; the only value is both ends of its connection.
fn get(addr: SocketAddr, args: &[&str], url: &str) -> Fetched {
    let to = format!("::{addr}");
    let both = "%{local_ip}:%{local_port} %{remote_ip}:%{remote_port}\\n";
    let own = ["--interface", CLIENT, "--connect-to", &to, "-w", both];
    let fetched = curl(&[&own, args, &[url]].concat());
    assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
    assert!(fetched.values[0].starts_with(CLIENT), "{fetched:?}");
    fetched
}
