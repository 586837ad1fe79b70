//! Handshakes that fail: the operator reads of each once, with its reason, and the client is told what TLS lets it hear.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    harness::{Dir, Lbd},
    support::{Client, Pair, Secure},
};

/// What lbd has said of failed handshakes by its end.
fn told(site: Secure) -> Vec<String> {
    told_by(site.lbd)
}

fn told_by(mut lbd: Lbd) -> Vec<String> {
    let ended = lbd.stop();
    assert_eq!(ended.code, Some(0));
    let lines = ended.err.lines().filter(|line| line.contains("handshake"));
    lines.map(str::to_owned).collect()
}

#[test]
fn plain_http_is_sent_to_https_and_told_of_once() {
    let pair = Pair::new();
    let site = Secure::start(&pair);
    let mut client = Client::connect(site.lbd.addr);
    client.send("GET", "/");
    let answer = client.receive().expect("a whole answer");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https"), "{}", answer.body);
    client.is_closed();
    site.shows(&pair);
    let told = told(site);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("client=127.0.0.1:"), "{told:?}");
    assert!(told[0].contains("failure=\"no TLS: "), "{told:?}");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_told_of_once() {
    let pair = Pair::new();
    let site = Secure::start(&pair);
    site.does_not_show(&Pair::new());
    site.shows(&pair);
    let told = told(site);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("failure=\"the other side said "),
        "{told:?}"
    );
}

#[test]
fn handshakes_that_succeed_are_nothing_to_tell_of() {
    let pair = Pair::new();
    let site = Secure::start(&pair);
    for _ in 0..3 {
        site.shows(&pair);
    }
    assert_eq!(told(site), Vec::<String>::new());
}

#[test]
fn a_client_behind_a_proxy_is_named_by_a_listener_and_a_stream_alike() {
    let pair = Pair::new();
    let files = Dir::new();
    pair.write(&files, "server");
    let keys = format!(
        "bind = \"127.0.0.1:0\"\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n\
         tls = {{ certificates = [{{ cert = \"{}\", key = \"{}\" }}] }}",
        files.file("server.pem").display(),
        files.file("server.key").display()
    );
    for table in [
        format!("[[listeners]]\n{keys}\n[[routes]]\npath = \"/\"\npool = \"app\""),
        format!("[[streams]]\n{keys}\npool = \"app\""),
    ] {
        let pool = "[pools.app]\nservers = [\"127.0.0.1:9\"]";
        let lbd = Lbd::start(&format!("control = \"off\"\n{table}\n{pool}\n"), &[]);
        let mut client = TcpStream::connect(lbd.addr).expect("lbd listens");
        let said = client.write_all(b"PROXY TCP4 203.0.113.9 127.0.0.1 40001 443\r\nno TLS\r\n");
        said.expect("lbd reads");
        // Whatever it is told, and however it ends.
        let _ = client.read_to_end(&mut Vec::new());
        let told = told_by(lbd);
        assert_eq!(told.len(), 1, "{table}: {told:?}");
        assert!(told[0].contains("TLS handshake failed"), "{told:?}");
        assert!(told[0].contains("client=203.0.113.9:40001"), "{told:?}");
    }
}
