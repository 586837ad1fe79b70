//! Handshakes that fail: the operator reads of each once, with its reason, and the client is told what TLS lets it hear.

use crate::support::{Client, Pair, Secure};

/// What lbd has said of failed handshakes by its end.
fn told(mut site: Secure) -> Vec<String> {
    let ended = site.lbd.stop();
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
