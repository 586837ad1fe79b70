//! nginx, in the clear and inside TLS.

use std::fs;

use super::{AT_ONCE, becomes, said_of};
use crate::harness::Lbd;
use crate::support::{Ca, Nginx, Port, are_here, curl, front_with, servers, url};

/// A server that says what stands in a file of its own to those who ask how it is, and `name` to all else.
fn apps() -> Nginx {
    let server = |(name, i)| {
        format!(
            "server {{ listen @PORT{i}@ reuseport;
                location = /status {{ root @DIR@/{name}; }}
                location / {{ return 200 {name}; }} }}\n"
        )
    };
    let text: String = ["a", "b"].into_iter().zip(0..).map(server).collect();
    let nginx = Nginx::start(vec![Port::new(), Port::new()], &text);
    for name in ["a", "b"] {
        fs::create_dir_all(nginx.dir.file(name)).expect("a directory of our own");
        says(&nginx, name, "running");
    }
    nginx
}

/// The app of this name is in this state from now on.
fn says(nginx: &Nginx, name: &str, state: &str) {
    let text = format!("{{\"state\": \"{state}\"}}");
    let new = nginx.dir.write("new", &text);
    fs::rename(new, nginx.dir.file(name).join("status")).expect("files of our own");
}

/// Who answers six requests.
fn names(lbd: &Lbd) -> String {
    let url = url(lbd, "/");
    let fetched = curl(&[url.as_str(); 6]);
    assert_eq!(fetched.values, ["200"; 6], "{}", fetched.text());
    let mut names: Vec<_> = fetched.text().chars().collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().collect()
}

#[test]
fn a_server_that_says_it_is_paused_gets_nothing() {
    if !are_here(&["nginx", "curl"]) {
        return;
    }
    let nginx = apps();
    let health = format!(
        "health = {{ check = \"http\", path = \"/status\", \
         json_not = {{ \"/state\" = \"paused\" }}, {AT_ONCE} }}"
    );
    let lbd = front_with("", &format!("{}\n{health}", servers(&nginx.ports)));
    lbd.process.err.wait_for("control socket ");
    assert_eq!(names(&lbd), "ab");
    let server = nginx.addr();
    says(&nginx, "a", "paused");
    becomes(&lbd, &server, "out /state is \"paused\"");
    assert_eq!(names(&lbd), "b");
    says(&nginx, "a", "running");
    becomes(&lbd, &server, "up");
    assert_eq!(names(&lbd), "ab");
}

#[test]
fn a_server_that_is_killed_is_out_before_anybody_asks() {
    if !are_here(&["nginx", "curl"]) {
        return;
    }
    let (mut mortal, steady) = (Nginx::apps(&["m"]), Nginx::apps(&["s"]));
    let health = format!("health = {{ check = \"http\", {AT_ONCE} }}");
    let both = servers(&[mortal.addr(), steady.addr()]);
    let lbd = front_with("", &format!("{both}\n{health}"));
    lbd.process.err.wait_for("control socket ");
    assert_eq!(names(&lbd), "ms");
    mortal.kill();
    becomes(&lbd, &mortal.addr(), "out connection refused");
    assert_eq!(names(&lbd), "s");
    mortal.start_again();
    becomes(&lbd, &mortal.addr(), "up");
    assert_eq!(names(&lbd), "ms");
}

// === TLS ===

const SECURE: &str = "server { listen @PORT0@ ssl reuseport; @KEYS@ return 200 ok; }";

/// nginx as app.test, by a certificate of this authority.
fn secure(ca: &Ca) -> Nginx {
    let keys = ca.ecdsa(&["app.test"]).for_nginx();
    Nginx::start(vec![Port::new()], &SECURE.replace("@KEYS@", &keys))
}

/// What is said of it by such checks, which trust this authority's certificates for this name.
fn judged(nginx: &Nginx, check: &str, ca: &Ca, name: &str) -> String {
    let tls = format!(
        "tls = {{ ca = \"{}\", server_name = \"{name}\" }}",
        ca.file()
    );
    let health = format!("health = {{ check = \"{check}\", {AT_ONCE} }}");
    let pool = format!("{}\n{tls}\n{health}", servers(&nginx.ports));
    let lbd = front_with("", &pool);
    lbd.process.err.wait_for("control socket ");
    said_of(&lbd, &nginx.addr())
}

#[test]
fn a_server_inside_tls_is_asked_inside_tls() {
    if !are_here(&["nginx", "nginx:http_ssl_module", "openssl"]) {
        return;
    }
    let (ca, other) = (Ca::new(), Ca::new());
    let nginx = secure(&ca);
    for check in ["tls", "tcp", "http"] {
        assert_eq!(judged(&nginx, check, &ca, "app.test"), "up", "{check}");
        let said = judged(&nginx, check, &ca, "other.test");
        let reason = "out TLS: certificate is for another name";
        assert!(said.starts_with(reason), "{check}: {said}");
        let said = judged(&nginx, check, &other, "app.test");
        assert!(said.starts_with("out TLS: certificate "), "{check}: {said}");
    }
}

#[test]
fn a_server_without_tls_is_out_of_a_pool_with_tls() {
    if !are_here(&["nginx", "openssl"]) {
        return;
    }
    let (ca, nginx) = (Ca::new(), Nginx::apps(&["a"]));
    let said = judged(&nginx, "tls", &ca, "app.test");
    assert!(said.starts_with("out TLS: "), "{said}");
}
