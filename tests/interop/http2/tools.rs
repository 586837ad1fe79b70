//! nghttp2's own clients.

use crate::harness::Lbd;
use crate::support::{
    Ca, Echo, Nghttpd, Nginx, Port, are_here, front_with, outcome, program, servers, tls, url,
};

use super::loads;

const FROM_NGINX: &str = "
    server { listen @PORT0@ reuseport; location / { return 200 hello; } }";

/// What `nghttp -nv ARGS URL` says: every frame.
fn frames(lbd: &Lbd, args: &[&str], target: &str) -> String {
    let mut nghttp = program("nghttp");
    nghttp.args(["-nv", "--timeout=12"]).args(args);
    let ended = outcome(nghttp.arg(url(lbd, target)));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

/// Where `said` has `part`.
fn place(said: &str, part: &str) -> usize {
    said.find(part)
        .unwrap_or_else(|| panic!("no {part:?} in {said}"))
}

#[test]
fn h2load_over_clear_text_gets_every_answer() {
    if !are_here(&["nginx", "h2load"]) {
        return;
    }
    let nginx = Nginx::start(vec![Port::new()], FROM_NGINX);
    let lbd = front_with("h2c = true", &servers(&nginx.ports));
    loads(&["-n2000", "-c10", "-m20"], &url(&lbd, "/"));
}

#[test]
fn h2load_over_tls_gets_every_answer() {
    if !are_here(&["nginx", "h2load", "openssl"]) {
        return;
    }
    let nginx = Nginx::start(vec![Port::new()], FROM_NGINX);
    let ca = Ca::new();
    let lbd = front_with(
        &tls(&[&ca.ecdsa(&["shop.test"])], ""),
        &servers(&nginx.ports),
    );
    let url = url(&lbd, "/").replace("http:", "https:");
    loads(&["-n2000", "-c10", "-m20"], &url);
}

#[test]
fn clients_are_told_how_many_streams_they_may_open() {
    if !are_here(&["python3", "nghttp"]) {
        return;
    }
    let echo = Echo::start();
    let lbd = front_with("h2c = true\nmax_streams = 7", &servers(&[&echo.addr]));
    let said = frames(&lbd, &[], "/");
    place(&said, "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):7]");
}

#[test]
fn early_hints_are_a_head_of_their_own() {
    if !are_here(&["python3", "nghttp"]) {
        return;
    }
    let echo = Echo::start();
    let lbd = front_with("h2c = true", &servers(&[&echo.addr]));
    let said = frames(&lbd, &[], "/early");
    let hints = place(&said, ":status: 103");
    assert!(
        hints < place(&said, "link: </a.css>; rel=preload"),
        "{said}"
    );
    assert!(hints < place(&said, ":status: 200"), "{said}");
}

#[test]
fn trailers_go_both_ways() {
    if !are_here(&["nghttp", "nghttpd"]) {
        return;
    }
    let nghttpd = Nghttpd::start(&["--trailer", "x-down: 42"], None);
    let pool = servers(&[&nghttpd.port]) + "\nprotocol = \"h2c\"";
    let lbd = front_with("h2c = true", &pool);
    let file = lbd.dir.write("upload", "hello").display().to_string();
    let said = frames(&lbd, &["-d", &file, "--trailer", "x-up: 7"], "/");
    let data = place(&said, "recv DATA frame");
    assert!(data < place(&said, ") x-down: 42"), "{said}");
    nghttpd.process.out.wait_for(") x-up: 7");
}
