//! A client that comes back goes on with its session.

use crate::harness::Lbd;
use crate::support::{Ca, Cert, are_here, greeter, reload, s_client_asks, tls};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];
const NAME: [&str; 2] = ["-servername", "shop.test"];

struct Site {
    lbd: Lbd,
    ca: Ca,
}

impl Site {
    /// lbd as shop.test, with the keys that `keys` gives for the file of the authority.
    fn start(keys: impl Fn(&str) -> String) -> Option<Self> {
        if !are_here(&["openssl"]) {
            return None;
        }
        let ca = Ca::new();
        let lbd = greeter(&tls(&[&ca.ecdsa(&["shop.test"])], &keys(&ca.file())));
        Some(Self { lbd, ca })
    }

    /// Whether a client, with that certificate if it has one, resumes its session after `between`.
    fn resumes(&self, version: &str, cert: Option<&Cert>, between: impl Fn(&Lbd)) -> bool {
        let file = self.lbd.dir.file(&format!("session{version}"));
        let session = file.display().to_string();
        let mut args = [&NAME[..], &[version]].concat();
        args.extend(cert.iter().flat_map(|c| ["-cert", &c.cert, "-key", &c.key]));
        let first = s_client_asks(&self.lbd, &[&args[..], &["-sess_out", &session]].concat());
        assert!(first.is_answered() && !first.is_resumed(), "{first:?}");
        between(&self.lbd);
        if !file.exists() {
            // It was given none.
            return false;
        }
        let second = s_client_asks(&self.lbd, &[&args[..], &["-sess_in", &session]].concat());
        assert!(second.is_answered(), "{second:?}");
        second.is_resumed()
    }
}

#[test]
fn a_session_is_resumed() {
    let Some(site) = Site::start(|_| String::new()) else {
        return;
    };
    for version in VERSIONS {
        assert!(site.resumes(version, None, |_| {}), "{version}");
    }
}

#[test]
fn a_session_is_resumed_after_a_reload() {
    let Some(site) = Site::start(|_| String::new()) else {
        return;
    };
    for version in VERSIONS {
        let resumes = site.resumes(version, None, |lbd| {
            let reloaded = reload(lbd);
            assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
        });
        assert!(resumes, "{version}");
    }
}

#[test]
fn a_session_is_not_resumed_where_every_client_must_show_a_certificate() {
    let require = |ca: &str| format!("client_ca = \"{ca}\", client_auth = \"require\"");
    let Some(site) = Site::start(require) else {
        return;
    };
    let alice = site.ca.client("alice");
    for version in VERSIONS {
        assert!(!site.resumes(version, Some(&alice), |_| {}), "{version}");
    }
}
