//! Certificates that are renewed while lbd runs.

use std::fs;

use crate::harness::Lbd;
use crate::support::{Ca, Cert, are_here, greeter, reload, s_client, tls};

struct Site {
    lbd: Lbd,
    ca: Ca,
    /// The files that lb.toml names.
    cert: Cert,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["openssl"]) {
            return None;
        }
        let ca = Ca::new();
        let cert = ca.ecdsa(&["shop.test"]);
        let lbd = greeter(&tls(&[&cert], ""));
        Some(Self { lbd, ca, cert })
    }

    /// Every client is shown the certificate of this text.
    fn shows(&self, pem: &str) {
        for version in ["-tls1_2", "-tls1_3"] {
            let shake = s_client(&self.lbd, &[version, "-servername", "shop.test"]);
            assert!(shake.is_done, "{shake:?}");
            assert!(shake.is_shown(pem), "{shake:?}");
        }
    }

    /// A reload is refused, and what is said names `file`.
    fn refuses_reload(&self, file: &str) {
        let reloaded = reload(&self.lbd);
        assert_eq!(reloaded.code, Some(78), "{reloaded:?}");
        assert!(reloaded.err.contains(file), "{}", reloaded.err);
    }
}

#[test]
fn a_reload_serves_the_new_certificate() {
    let Some(site) = Site::start() else { return };
    let old = site.cert.pem();
    site.shows(&old);
    site.cert.become_like(&site.ca.rsa(&["shop.test"]));
    // Nothing happens by itself.
    site.shows(&old);
    let reloaded = reload(&site.lbd);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_ne!(site.cert.pem(), old);
    site.shows(&site.cert.pem());
}

#[test]
fn a_broken_certificate_changes_nothing() {
    let Some(site) = Site::start() else { return };
    let old = site.cert.pem();
    fs::write(&site.cert.cert, &old[..old.len() / 2]).expect("a file of our own");
    site.refuses_reload(&site.cert.cert);
    site.shows(&old);
}

#[test]
fn a_certificate_that_is_gone_changes_nothing() {
    let Some(site) = Site::start() else { return };
    let old = site.cert.pem();
    fs::remove_file(&site.cert.cert).expect("a file of our own");
    site.refuses_reload(&site.cert.cert);
    site.shows(&old);
}

#[test]
fn the_key_of_another_certificate_changes_nothing() {
    let Some(site) = Site::start() else { return };
    let other = site.ca.ecdsa(&["shop.test"]);
    fs::copy(&other.key, &site.cert.key).expect("files of our own");
    site.refuses_reload(&site.cert.key);
    site.shows(&site.cert.pem());
}

#[test]
fn a_mended_certificate_is_served_after_a_broken_one() {
    let Some(site) = Site::start() else { return };
    fs::write(&site.cert.cert, "nonsense").expect("a file of our own");
    site.refuses_reload(&site.cert.cert);
    site.cert.become_like(&site.ca.ecdsa(&["shop.test"]));
    let reloaded = reload(&site.lbd);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    site.shows(&site.cert.pem());
}
