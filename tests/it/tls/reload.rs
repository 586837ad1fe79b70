//! Certificates change with a reload: for new connections, at once, and only if they are good.

use std::fs;
use std::sync::Arc;

use lbd::config::{self, SourceFile};

use crate::support::certs::{Authority, Identity};
use crate::support::client::get;
use crate::support::proxy::{Proxy, file, says};
use crate::support::secure::{Secure, trusting};

use super::{NAME, front, tls};

/// A whole lb.toml with these certificates that says "x".
fn text(certificates: &[&Identity]) -> String {
    file("", &tls(certificates, ""), &says("path = \"/\"", "x"))
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let (authority, old) = front();
    let new = authority.server(&[NAME]);
    let mut proxy = Proxy::start_file(&text(&[&old])).await;
    let addr = proxy.addr();
    let config = || Arc::new(trusting(&authority));
    let mut open = Secure::connect(addr, NAME, &config()).await;
    assert_eq!(open.exchange(get("/")).await.text(), "x");
    assert_eq!(open.agreed.certificate, *old.certificate());

    let reloaded = proxy.try_reload(&text(&[&new])).await;
    reloaded.expect("a good file is taken");
    assert_eq!(proxy.addr(), addr);
    let mut later = Secure::connect(addr, NAME, &config()).await;
    assert_eq!(later.agreed.certificate, *new.certificate());
    for client in [&mut open, &mut later] {
        assert_eq!(client.exchange(get("/")).await.text(), "x");
    }
}

#[tokio::test]
async fn the_same_file_with_another_certificate_is_read_again() {
    let (authority, old) = front();
    let new = authority.server(&[NAME]);
    let text = text(&[&old]);
    let mut proxy = Proxy::start_file(&text).await;
    // What renewal does: other bytes under the same names.
    fs::copy(new.cert_file(), old.cert_file()).expect("our own file");
    fs::copy(new.key_file(), old.key_file()).expect("our own file");
    proxy.try_reload(&text).await.expect("a good file is taken");
    let config = Arc::new(trusting(&authority));
    let client = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(client.agreed.certificate, *new.certificate());
}

#[tokio::test]
async fn names_come_and_go() {
    let (authority, first) = front();
    let second = authority.server(&["second.example"]);
    let mut proxy = Proxy::start_file(&text(&[&first])).await;
    let config = Arc::new(trusting(&authority));
    let early = Secure::try_connect(proxy.addr(), "second.example", &config).await;
    assert!(early.is_err());
    let reloaded = proxy.try_reload(&text(&[&first, &second])).await;
    reloaded.expect("a good file is taken");
    let client = Secure::connect(proxy.addr(), "second.example", &config).await;
    assert_eq!(client.agreed.certificate, *second.certificate());
}

/// What lbd has to say of this lb.toml.
fn faults(text: &str) -> String {
    let loaded = config::load(&SourceFile::new("lb.toml", text));
    let Err(report) = loaded else {
        panic!("no fault in {text}")
    };
    report.to_string()
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_is_a_fault_that_names_its_file() {
    let (authority, good) = front();
    let (no_cert, no_key, other, gone) = (
        authority.server(&[NAME]),
        authority.server(&[NAME]),
        authority.server(&[NAME]),
        authority.server(&[NAME]),
    );
    fs::write(no_cert.cert_file(), "no certificate at all\n").expect("our own file");
    fs::write(no_key.key_file(), "no key at all\n").expect("our own file");
    fs::copy(good.key_file(), other.key_file()).expect("our own file");
    fs::remove_file(gone.cert_file()).expect("our own file");
    for (name, identity, file) in [
        ("no certificate", &no_cert, no_cert.cert_file()),
        ("no key", &no_key, no_key.key_file()),
        ("another's key", &other, other.cert_file()),
        ("no file", &gone, gone.cert_file()),
    ] {
        let faults = faults(&text(&[&good, identity]));
        assert!(faults.contains(&file), "{name}: {faults}");
    }
}

#[tokio::test]
async fn a_client_ca_that_cannot_be_read_is_a_fault_that_names_its_file() {
    let (_, identity) = front();
    let keys = "client_ca = \"/nowhere/clients.pem\", client_auth = \"require\"";
    let text = file("", &tls(&[&identity], keys), &says("path = \"/\"", "x"));
    let faults = faults(&text);
    assert!(faults.contains("/nowhere/clients.pem"), "{faults}");
}

#[tokio::test]
async fn clients_must_show_a_certificate_as_soon_as_the_file_says_so() {
    let (authority, identity) = front();
    let clients = Authority::new();
    let mut proxy = Proxy::start_file(&text(&[&identity])).await;
    let config = Arc::new(trusting(&authority));
    let mut open = Secure::connect(proxy.addr(), NAME, &config).await;
    assert_eq!(open.exchange(get("/")).await.text(), "x");
    let keys = format!("client_ca = \"{}\"", clients.path());
    let strict = file("", &tls(&[&identity], &keys), &says("path = \"/\"", "x"));
    let reloaded = proxy.try_reload(&strict).await;
    reloaded.expect("a good file is taken");
    // What it remembers of before must not let it in.
    let Ok(mut later) = Secure::try_connect(proxy.addr(), NAME, &config).await else {
        return;
    };
    let sent = later.try_send(get("/")).await;
    assert!(sent.is_err() || later.try_response("GET").await.is_err());
}
