//! Which certificate a client is shown.

use crate::harness::Lbd;
use crate::support::{Ca, Cert, are_here, greeter, s_client, tls};

/// One for other names, one for a name, one for a wildcard; RSA and ECDSA for one name.
struct Site {
    lbd: Lbd,
    default: Cert,
    exact: Cert,
    wildcard: Cert,
    rsa: Cert,
    ecdsa: Cert,
    _ca: Ca,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["openssl"]) {
            return None;
        }
        let ca = Ca::new();
        let default = ca.ecdsa(&["default.test"]);
        let exact = ca.ecdsa(&["shop.test", "in.wild.test"]);
        let wildcard = ca.ecdsa(&["*.wild.test"]);
        let (rsa, ecdsa) = (ca.rsa(&["both.test"]), ca.ecdsa(&["both.test"]));
        let lbd = greeter(&tls(&[&default, &wildcard, &exact, &rsa, &ecdsa], ""));
        Some(Self {
            lbd,
            default,
            exact,
            wildcard,
            rsa,
            ecdsa,
            _ca: ca,
        })
    }

    /// `openssl s_client ARGS` is shown `cert`.
    fn shows(&self, args: &[&str], cert: &Cert) {
        let shake = s_client(&self.lbd, args);
        assert!(shake.is_shown(&cert.pem()), "{args:?}: {shake:?}");
    }
}

#[test]
fn the_certificate_of_that_name_is_shown() {
    let Some(site) = Site::start() else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        site.shows(&[version, "-servername", "shop.test"], &site.exact);
        site.shows(&[version, "-servername", "SHOP.test"], &site.exact);
    }
}

#[test]
fn a_wildcard_is_for_all_names_one_label_longer() {
    let Some(site) = Site::start() else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        site.shows(&[version, "-servername", "a.wild.test"], &site.wildcard);
    }
    site.shows(&["-servername", "a.b.wild.test"], &site.default);
    site.shows(&["-servername", "wild.test"], &site.default);
}

#[test]
fn the_exact_name_goes_before_the_wildcard() {
    let Some(site) = Site::start() else { return };
    site.shows(&["-servername", "in.wild.test"], &site.exact);
}

#[test]
fn the_first_is_for_other_names_and_for_clients_without_one() {
    let Some(site) = Site::start() else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        site.shows(&[version, "-servername", "other.test"], &site.default);
        site.shows(&[version, "-noservername"], &site.default);
    }
}

#[test]
fn a_client_that_knows_only_rsa_is_shown_the_rsa_one() {
    let Some(site) = Site::start() else { return };
    let name = ["-servername", "both.test"];
    let old = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
    let new = ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"];
    site.shows(&[&name[..], &old].concat(), &site.rsa);
    site.shows(&[&name[..], &new].concat(), &site.rsa);
}

#[test]
fn a_client_that_knows_only_ecdsa_is_shown_the_ecdsa_one() {
    let Some(site) = Site::start() else { return };
    let name = ["-servername", "both.test"];
    let old = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    let new = ["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"];
    site.shows(&[&name[..], &old].concat(), &site.ecdsa);
    site.shows(&[&name[..], &new].concat(), &site.ecdsa);
}
