//! Clients that show certificates, and what the app is told of them.

use crate::harness::Lbd;
use crate::support::{
    Ca, Cert, Echo, are_here, curl, curl_in_vain, front_with, servers, tls, trusting,
};

const URL: &str = "https://shop.test/";
const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const SUBJECT: &str = "X-Client-Cert-Subject";
const FINGERPRINT: &str = "X-Client-Cert-Fingerprint";
const FORGED: [&str; 6] = [
    "-H",
    "X-Client-Cert-Subject: CN=root",
    "-H",
    "x-client-cert-fingerprint: 00",
    "-H",
    "X-Client-Cert-Subject: CN=root2",
];

struct Site {
    lbd: Lbd,
    ca: Ca,
    /// The authority of clients.
    clients: Ca,
    _echo: Echo,
}

impl Site {
    /// lbd as shop.test that treats clients so: "require", "optional", or "" for not asking them.
    fn start(auth: &str) -> Option<Self> {
        if !are_here(&["openssl", "curl", "python3"]) {
            return None;
        }
        let (ca, clients, echo) = (Ca::new(), Ca::new(), Echo::start());
        let keys = match auth {
            "" => String::new(),
            auth => format!(
                "client_ca = \"{}\", client_auth = \"{auth}\"",
                clients.file()
            ),
        };
        let cert = ca.ecdsa(&["shop.test"]);
        let lbd = front_with(&tls(&[&cert], &keys), &servers(&[&echo.addr]));
        Some(Self {
            lbd,
            ca,
            clients,
            _echo: echo,
        })
    }

    /// What the app is told of a client, with this certificate if there is one: the values of both fields.
    fn told(&self, args: &[&str], cert: Option<&Cert>) -> [Vec<String>; 2] {
        let args = [args, &shown(cert), &[URL]].concat();
        let fetched = trusting(&self.lbd, &self.ca, &args, curl);
        assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
        let text = fetched.text();
        let fields = || text.lines().filter_map(|line| line.split_once(": "));
        [SUBJECT, FINGERPRINT].map(|name| {
            fields()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
                .collect()
        })
    }

    fn refuses(&self, args: &[&str], cert: Option<&Cert>) {
        let args = [args, &shown(cert), &[URL]].concat();
        let said = trusting(&self.lbd, &self.ca, &args, curl_in_vain);
        // The alert, unless the end of the connection overtakes it.
        let is_refused = said.contains("alert") || said.contains("reset");
        assert!(is_refused, "{said}");
    }
}

fn shown(cert: Option<&Cert>) -> Vec<&str> {
    cert.into_iter()
        .flat_map(|cert| ["--cert", &cert.cert, "--key", &cert.key])
        .collect()
}

fn nothing() -> [Vec<String>; 2] {
    [vec![], vec![]]
}

fn of(subject: &str, cert: &Cert) -> [Vec<String>; 2] {
    [vec![subject.to_owned()], vec![cert.fingerprint()]]
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let Some(site) = Site::start("require") else {
        return;
    };
    for version in VERSIONS {
        site.refuses(&["--tls-max", version], None);
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    for auth in ["require", "optional"] {
        let Some(site) = Site::start(auth) else {
            return;
        };
        let stranger = Ca::new();
        for version in VERSIONS {
            site.refuses(&["--tls-max", version], Some(&stranger.client("alice")));
        }
    }
}

#[test]
fn the_app_is_told_subject_and_fingerprint() {
    for auth in ["require", "optional"] {
        let Some(site) = Site::start(auth) else {
            return;
        };
        let alice = site.clients.client("alice");
        for version in VERSIONS {
            let told = site.told(&["--tls-max", version], Some(&alice));
            assert_eq!(told, of("CN=alice", &alice));
        }
        let told = site.told(&["--http1.1"], Some(&alice));
        assert_eq!(told, of("CN=alice", &alice));
    }
}

#[test]
fn each_client_is_told_as_itself() {
    let Some(site) = Site::start("require") else {
        return;
    };
    for name in ["alice", "bob", "alice"] {
        let cert = site.clients.client(name);
        let told = site.told(&[], Some(&cert));
        assert_eq!(told, of(&format!("CN={name}"), &cert));
    }
}

#[test]
fn a_client_without_a_certificate_is_served_where_it_is_optional_and_nothing_is_told() {
    let Some(site) = Site::start("optional") else {
        return;
    };
    for version in VERSIONS {
        assert_eq!(site.told(&["--tls-max", version], None), nothing());
    }
}

#[test]
fn what_a_client_forges_is_replaced() {
    let Some(site) = Site::start("require") else {
        return;
    };
    let alice = site.clients.client("alice");
    for version in ["--http1.1", "--http2"] {
        let told = site.told(&[&FORGED[..], &[version]].concat(), Some(&alice));
        assert_eq!(told, of("CN=alice", &alice), "{version}");
    }
}

#[test]
fn what_a_client_without_a_certificate_forges_is_removed() {
    // Also where nobody is asked for one.
    for auth in ["optional", ""] {
        let Some(site) = Site::start(auth) else {
            return;
        };
        for version in ["--http1.1", "--http2"] {
            let told = site.told(&[&FORGED[..], &[version]].concat(), None);
            assert_eq!(told, nothing(), "{auth} {version}");
        }
    }
}
