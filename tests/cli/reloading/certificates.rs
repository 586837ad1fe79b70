//! Certificates that are renewed: at once if they are good, and if not, the old ones go on.

use std::fs;

use crate::support::{Pair, Secure};

/// A reload is refused because of the certificate, and the old one is still shown.
fn is_refused(site: &Secure, old: &Pair, reason: &str) {
    let reloaded = site.reload();
    assert_eq!(reloaded.code, Some(78), "{reason}: {reloaded:?}");
    let said = &reloaded.err;
    let file = site.cert().display().to_string();
    for part in [file.as_str(), reason, "reload failed, nothing is changed"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    site.shows(old);
}

#[test]
fn a_renewed_certificate_is_shown_when_the_command_ends() {
    let (old, new) = (Pair::new(), Pair::new());
    let site = Secure::start(&old);
    site.renew(&new);
    site.shows(&old);
    let reloaded = site.reload();
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    site.shows(&new);
    site.does_not_show(&old);
}

#[test]
fn a_broken_certificate_is_refused_and_the_old_one_goes_on() {
    let old = Pair::new();
    let site = Secure::start(&old);
    fs::write(site.cert(), "nonsense").expect("our own file");
    is_refused(&site, &old, "names a file without a certificate");
    fs::remove_file(site.cert()).expect("our own file");
    is_refused(&site, &old, "cannot be read");
}

#[test]
fn half_a_renewal_is_refused_and_the_old_one_goes_on() {
    let (old, new) = (Pair::new(), Pair::new());
    let site = Secure::start(&old);
    let key = fs::read(site.key()).expect("our own file");
    site.renew(&new);
    fs::write(site.key(), key).expect("our own file");
    is_refused(&site, &old, "does not match the certificate");
    // Then the other half comes.
    site.renew(&new);
    let reloaded = site.reload();
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    site.shows(&new);
}

#[test]
fn a_new_certificate_that_has_expired_is_refused_and_the_old_one_goes_on() {
    let old = Pair::new();
    let site = Secure::start(&old);
    site.renew(&Pair::expired());
    is_refused(&site, &old, "has expired on 2020-01-01");
}

#[test]
fn a_certificate_that_has_expired_in_use_holds_up_no_reload() {
    let site = Secure::start(&Pair::expired());
    let reloaded = site.reload();
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert!(reloaded.out.contains("has expired on"), "{}", reloaded.out);
}
