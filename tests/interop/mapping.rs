//! Ten thousand keys behind nginx and behind lbd: each goes to the same server, whatever the servers weigh, and though
//! one of them is down or dead.

use std::{
    collections::BTreeSet,
    io::{Error, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::harness::wait::DEADLINE;
use crate::support::{Nginx, Port, are_here, front_with};

const KEYS: u32 = 10_000;

/// At a time; each has an equal part of the keys.
const CONNECTIONS: u32 = 8;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const WEIGHTS: [u32; 5] = [1, 2, 3, 1, 4];

/// The server that gets no request. Without it none of the keys, nor of the clients, is left to round robin, whose turns
/// would depend on which connection is faster.
const ABSENT: usize = 2;
const PRESENT: [&str; 4] = ["a", "b", "d", "e"];

#[derive(Clone, Copy, Eq, PartialEq)]
enum Absence {
    /// Both files say so.
    Down,
    /// Nobody listens there, which each request finds out anew.
    Dead,
}

/// How a server is chosen, as `upstream` and as `[pools.app]` say it.
struct Method {
    nginx: &'static str,
    lbd: &'static str,
}

const IP_HASH: Method = Method {
    nginx: "ip_hash;",
    lbd: "balance = \"ip_hash\"",
};

const HASH: Method = Method {
    nginx: "hash $arg_k;",
    lbd: "balance = \"hash\"\nhash_key = \"$arg_k\"",
};

const CONSISTENT: Method = Method {
    nginx: "hash $arg_k consistent;",
    lbd: "balance = \"hash\"\nhash_key = \"$arg_k\"\nconsistent = true",
};

/// Both give each key to the same server.
async fn agree(method: &Method, absence: Absence) {
    if !are_here(&["nginx", "nginx:http_realip_module"]) {
        return;
    }
    let (apps, nobody) = (Nginx::apps(&NAMES), Port::new());
    let mut ports: Vec<_> = apps.ports.iter().collect();
    if absence == Absence::Dead {
        ports[ABSENT] = &nobody;
    }
    let is_down = |place| place == ABSENT && absence == Absence::Down;
    let servers = || ports.iter().zip(WEIGHTS).enumerate();
    let nginx: String = servers()
        .map(|(place, (port, weight))| {
            let down = if is_down(place) { " down" } else { "" };
            format!("server {port} weight={weight} max_fails=0{down}; ")
        })
        .collect();
    let lbd: Vec<_> = servers()
        .map(|(place, (port, weight))| {
            let down = is_down(place);
            format!("{{ address = \"{port}\", weight = {weight}, down = {down} }}")
        })
        .collect();
    let nginx = Nginx::start(
        vec![Port::new()],
        &format!(
            "error_log stderr crit;
            upstream app {{ {} {nginx} keepalive 16; }}
            server {{
                listen @PORT0@ reuseport;
                set_real_ip_from 127.0.0.1;
                real_ip_header X-Forwarded-For;
                proxy_http_version 1.1;
                proxy_set_header Connection \"\";
                location / {{ proxy_pass http://app; }}
            }}",
            method.nginx
        ),
    );
    let lbd = front_with(
        "trusted_proxies = [\"127.0.0.1\"]",
        &format!(
            "servers = [{}]\n{}\nmax_fails = 0",
            lbd.join(", "),
            method.lbd
        ),
    );
    compare(&ask(lbd.addr).await, &ask(nginx.ports[0].addr()).await);
}

fn compare(lbd: &[String], nginx: &[String]) {
    let by_nginx: BTreeSet<_> = nginx.iter().map(String::as_str).collect();
    assert_eq!(by_nginx, PRESENT.into(), "nginx failed");
    let differences: Vec<_> = (0..KEYS)
        .zip(lbd.iter().zip(nginx))
        .filter(|(_, (lbd, nginx))| lbd != nginx)
        .map(|(n, (lbd, nginx))| format!("{} {}: {lbd}, {nginx}", key(n), client(n)))
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {KEYS} differ; the second is nginx's: {:#?}",
        differences.len(),
        &differences[..differences.len().min(5)]
    );
}

fn key(n: u32) -> String {
    format!("{n}-{:x}", n.wrapping_mul(2_654_435_761))
}

/// Each is in a network of its own.
fn client(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0100_0001 + n * 821 * 256)
}

/// The name that `proxy` gets for each of the keys.
async fn ask(proxy: SocketAddr) -> Vec<String> {
    let part = KEYS / CONNECTIONS;
    let parts: Vec<_> = (0..CONNECTIONS)
        .map(|i| tokio::spawn(ask_for(proxy, i * part..(i + 1) * part)))
        .collect();
    let mut names = Vec::new();
    for part in parts {
        names.extend(part.await.expect("all are answered"));
    }
    names
}

/// One after the other over one connection.
async fn ask_for(proxy: SocketAddr, keys: Range<u32>) -> Vec<String> {
    let connection = TcpStream::connect(proxy).await.expect("the proxy listens");
    let mut connection = BufReader::new(connection);
    let mut names = Vec::new();
    for n in keys {
        let request = format!(
            "GET /?k={} HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: {}\r\n\r\n",
            key(n),
            client(n)
        );
        let answered = timeout(DEADLINE, exchange(&mut connection, &request)).await;
        let name = answered.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        names.push(name.unwrap_or_else(|error| panic!("{request:?}: {error}")));
    }
    names
}

/// The body of the answer, or the status line if that is not 200.
async fn exchange(connection: &mut BufReader<TcpStream>, request: &str) -> Result<String, Error> {
    connection.write_all(request.as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        .find_map(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.expect("an answer with Content-Length")];
    connection.read_exact(&mut body).await?;
    let status = head.lines().next().unwrap_or_default();
    Ok(if status.starts_with("HTTP/1.1 200 ") {
        String::from_utf8_lossy(&body).into_owned()
    } else {
        status.to_owned()
    })
}

#[tokio::test]
async fn ip_hash_with_a_server_that_is_down() {
    agree(&IP_HASH, Absence::Down).await;
}

#[tokio::test]
async fn ip_hash_with_a_dead_server() {
    agree(&IP_HASH, Absence::Dead).await;
}

#[tokio::test]
async fn hash_with_a_server_that_is_down() {
    agree(&HASH, Absence::Down).await;
}

#[tokio::test]
async fn hash_with_a_dead_server() {
    agree(&HASH, Absence::Dead).await;
}

#[tokio::test]
async fn consistent_hash_with_a_server_that_is_down() {
    agree(&CONSISTENT, Absence::Down).await;
}

#[tokio::test]
async fn consistent_hash_with_a_dead_server() {
    agree(&CONSISTENT, Absence::Dead).await;
}
