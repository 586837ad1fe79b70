//! The same pool behind nginx and behind lbd: the same requests go to the same servers.

use std::process::Stdio;

use crate::harness::{Dir, Process};
use crate::support::{Nginx, Port, are_here, front, program};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A pool, as nginx and as lbd have it.
struct Pool<'p> {
    /// Of `upstream`.
    nginx: &'p str,
    /// Of `[pools.app]`.
    lbd: &'p str,
    /// For each server, nginx's parameters and lbd's.
    servers: &'p [(&'p str, &'p str)],
    /// One that is killed before the first request.
    dead: Option<usize>,
}

/// Who answers a request from each of `clients`, behind nginx and behind lbd.
fn ask_both(pool: &Pool<'_>, clients: &[String]) -> Option<[String; 2]> {
    if !are_here(&["nginx", "curl", "nginx:http_realip_module"]) {
        return None;
    }
    let mut apps: Vec<_> = NAMES[..pool.servers.len()]
        .iter()
        .map(|name| Nginx::apps(&[name]))
        .collect();
    let all = || apps.iter().map(Nginx::addr).zip(pool.servers);
    let servers: String = all()
        .map(|(addr, (nginx, _))| format!("server {addr} {nginx}; "))
        .collect();
    let nginx = Nginx::start(
        vec![Port::new()],
        &format!(
            "upstream app {{ {} {servers} }}
            server {{
                listen @PORT0@ reuseport;
                set_real_ip_from 127.0.0.1;
                real_ip_header X-Forwarded-For;
                location / {{ proxy_pass http://app; }}
            }}",
            pool.nginx
        ),
    );
    let servers: Vec<_> = all()
        .map(|(addr, (_, lbd))| format!("{{ address = \"{addr}\", {lbd} }}"))
        .collect();
    let lbd = front(&servers, pool.lbd);
    if let Some(dead) = pool.dead {
        apps[dead].kill();
    }
    Some([nginx.addr(), lbd.addr.to_string()].map(|proxy| ask(&proxy, clients)))
}

/// The names that `proxy` gets for requests from `clients`, one after the other over one connection.
fn ask(proxy: &str, clients: &[String]) -> String {
    let request = |client: &String| {
        format!("url = \"http://{proxy}/\"\nheader = \"X-Forwarded-For: {client}\"\n")
    };
    let requests: Vec<_> = clients.iter().map(request).collect();
    let dir = Dir::new();
    let script = dir.write("requests", &requests.join("next\n"));
    let mut curl = program("curl");
    curl.args(["-q", "-sS", "--max-time", "12", "-K"])
        .arg(script);
    let ended = Process::spawn(curl.stdin(Stdio::null())).finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

/// Both give requests from `clients` to the same servers.
fn agree(pool: &Pool<'_>, clients: &[String]) {
    if let Some([nginx, lbd]) = ask_both(pool, clients) {
        assert_eq!(nginx.len(), clients.len(), "nginx failed: {nginx}");
        assert_eq!(lbd, nginx, "the second is nginx's");
    }
}

/// The same client, so often.
fn one(requests: usize) -> Vec<String> {
    vec!["192.0.2.1".to_owned(); requests]
}

/// A client in each of many networks.
fn many() -> Vec<String> {
    let network = |i: u32| {
        let [a, b, c, d] = i.wrapping_mul(2_654_435_761).to_be_bytes();
        format!("{}.{b}.{c}.{d}", 1 + a % 126)
    };
    (1..=120).map(network).collect()
}

/// For pools whose servers are all `weight`.
const EQUAL: (&str, &str) = ("", "weight = 1");

const ROUND_ROBIN: Pool<'_> = Pool {
    nginx: "",
    lbd: "",
    servers: &[],
    dead: None,
};

const IP_HASH: Pool<'_> = Pool {
    nginx: "ip_hash;",
    lbd: "balance = \"ip_hash\"",
    servers: &[],
    dead: None,
};

const FIVE: (&str, &str) = ("weight=5", "weight = 5");
const TWO: (&str, &str) = ("weight=2", "weight = 2");
const DOWN: (&str, &str) = ("weight=2 down", "weight = 2, down = true");
const BACKUP: (&str, &str) = ("backup", "backup = true");
const PATIENT: (&str, &str) = ("max_fails=3 weight=3", "max_fails = 3, weight = 3");

#[test]
fn round_robin_with_weights_5_1_1() {
    let servers = &[FIVE, EQUAL, EQUAL];
    agree(
        &Pool {
            servers,
            ..ROUND_ROBIN
        },
        &one(21),
    );
}

#[test]
fn round_robin_with_weights_2_1() {
    let servers = &[TWO, EQUAL];
    agree(
        &Pool {
            servers,
            ..ROUND_ROBIN
        },
        &one(12),
    );
}

#[test]
fn round_robin_with_many_clients() {
    let servers = &[EQUAL, TWO, FIVE, EQUAL];
    agree(
        &Pool {
            servers,
            ..ROUND_ROBIN
        },
        &many(),
    );
}

#[test]
fn round_robin_with_a_server_that_is_down() {
    let servers = &[TWO, DOWN, EQUAL];
    agree(
        &Pool {
            servers,
            ..ROUND_ROBIN
        },
        &one(12),
    );
}

#[test]
fn round_robin_with_a_backup() {
    let servers = &[TWO, EQUAL, BACKUP];
    agree(
        &Pool {
            servers,
            ..ROUND_ROBIN
        },
        &one(12),
    );
}

#[test]
fn round_robin_with_a_dead_server() {
    let servers = &[TWO, FIVE, EQUAL];
    let dead = Some(1);
    agree(
        &Pool {
            servers,
            dead,
            ..ROUND_ROBIN
        },
        &one(24),
    );
}

#[test]
fn round_robin_with_a_dead_server_that_may_fail_thrice() {
    let servers = &[TWO, PATIENT, EQUAL];
    let dead = Some(1);
    agree(
        &Pool {
            servers,
            dead,
            ..ROUND_ROBIN
        },
        &one(24),
    );
}

#[test]
fn a_backup_for_a_pool_whose_only_server_is_dead() {
    let servers = &[EQUAL, BACKUP];
    let dead = Some(0);
    agree(
        &Pool {
            servers,
            dead,
            ..ROUND_ROBIN
        },
        &one(6),
    );
}

#[test]
fn ip_hash_with_equal_servers() {
    let servers = &[EQUAL, EQUAL];
    agree(&Pool { servers, ..IP_HASH }, &many());
}

#[test]
fn ip_hash_with_weights() {
    let servers = &[FIVE, EQUAL, TWO];
    agree(&Pool { servers, ..IP_HASH }, &many());
}

#[test]
fn ip_hash_with_ipv6_clients() {
    let servers = &[EQUAL, TWO, EQUAL];
    let clients: Vec<_> = (1..=60u32)
        .map(|i| {
            format!(
                "2001:db8:{:x}::{:x}",
                i * 1021 % 65_536,
                i * 40_503 % 65_536
            )
        })
        .collect();
    agree(&Pool { servers, ..IP_HASH }, &clients);
}

#[test]
fn ip_hash_with_a_server_that_is_down() {
    let servers = &[EQUAL, DOWN, TWO, EQUAL];
    agree(&Pool { servers, ..IP_HASH }, &many());
}

#[test]
fn ip_hash_with_a_dead_server() {
    let servers = &[EQUAL, TWO, EQUAL];
    let dead = Some(1);
    agree(
        &Pool {
            servers,
            dead,
            ..IP_HASH
        },
        &many(),
    );
}
