//! HTTP/2 to servers that others wrote: nginx and nghttpd, over TLS and over clear text.

use std::fs;

use super::loads;
use crate::harness::Lbd;
use crate::support::{
    Ca, Curl, Fetched, Nghttpd, Nginx, Port, are_here, curl, front_with, noise, servers, url,
};

/// The one port is of TLS, the other is not.
const SERVER: &str = "
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen @PORT0@ ssl http2 reuseport;
        listen @PORT1@ http2 reuseport;
        @KEYS@
        root @DIR@/www;
        location = / { return 200 '$server_protocol $scheme $http_host $http_cookie'; }
        location = /connection { return 200 '$connection\\n'; }
        location /put/ { dav_methods PUT; create_full_put_path on; client_max_body_size 8m; }
    }";

struct Site {
    _nginx: Nginx,
    /// In front of nginx, with TLS and without.
    both: [Lbd; 2],
    _ca: Ca,
}

impl Site {
    /// nginx with these directives too.
    fn start(directives: &str) -> Option<Self> {
        let modules = ["nginx:http_ssl_module", "nginx:http_v2_module"];
        if !are_here(&["nginx", modules[0], modules[1], "openssl", "curl:HTTP2"]) {
            return None;
        }
        let ca = Ca::new();
        let keys = ca.ecdsa(&["app.test"]).for_nginx() + directives;
        let ports = vec![Port::new(), Port::new()];
        let nginx = Nginx::start(ports, &SERVER.replace("@KEYS@", &keys));
        fs::create_dir_all(nginx.dir.file("www")).expect("a directory of our own");
        let secure = secure(&nginx.ports[0], &ca);
        let plain = servers(&nginx.ports[1..]) + "\nprotocol = \"h2c\"";
        let both = [secure, plain].map(|pool| front_with("h2c = true", &pool));
        Some(Self {
            _nginx: nginx,
            both,
            _ca: ca,
        })
    }
}

/// A pool of one server as app.test, which `ca` vouches for.
fn secure(port: &Port, ca: &Ca) -> String {
    let servers = servers(&[port]);
    let ca = ca.file();
    format!("{servers}\nprotocol = \"h2\"\ntls = {{ ca = \"{ca}\", server_name = \"app.test\" }}")
}

/// `curl ARGS` for a target, which is to go well.
fn get(lbd: &Lbd, args: &[&str], target: &str) -> Fetched {
    let fetched = curl(&[args, &[&url(lbd, target)]].concat());
    assert_eq!(fetched.exit, 0, "{}", fetched.head);
    fetched
}

#[test]
fn nginx_is_spoken_to_in_http_2_whatever_the_client_speaks() {
    let Some(site) = Site::start("") else { return };
    for (lbd, scheme) in site.both.iter().zip(["https", "http"]) {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let fetched = get(lbd, &[version, "-H", "Host: shop.test"], "/");
            assert_eq!(fetched.status, 200, "{}", fetched.head);
            assert_eq!(fetched.text(), format!("HTTP/2.0 {scheme} shop.test "));
        }
    }
}

#[test]
fn cookies_arrive_whole() {
    let Some(site) = Site::start("") else { return };
    for lbd in &site.both {
        let text = get(lbd, &["-H", "Cookie: a=1; b=2", "-H", "Cookie: c=3"], "/").text();
        assert!(text.ends_with(" a=1; b=2; c=3"), "{text}");
    }
}

#[test]
fn bodies_go_both_ways_byte_for_byte() {
    let Some(site) = Site::start("") else { return };
    for (i, lbd) in site.both.iter().enumerate() {
        let upload = lbd.dir.file("upload");
        fs::write(&upload, noise(1 << 20)).expect("a file of our own");
        let upload = upload.display().to_string();
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let put = get(
                lbd,
                &[version, "-T", &upload],
                &format!("/put/{i}{version}"),
            );
            assert_eq!(put.status, 201, "{}", put.head);
            let fetched = get(lbd, &[version], &format!("/put/{i}{version}"));
            assert_eq!(fetched.status, 200, "{}", fetched.head);
            assert_eq!(fetched.field("Content-Length"), Some("1048576"));
            assert!(fetched.body == noise(1 << 20), "not the same");
        }
    }
}

#[test]
fn an_upload_of_unknown_length_arrives_byte_for_byte() {
    let Some(site) = Site::start("") else { return };
    for (lbd, target) in site.both.iter().zip(["/put/secure", "/put/plain"]) {
        let upload = lbd.dir.file("upload");
        fs::write(&upload, noise(1 << 20)).expect("a file of our own");
        let url = url(lbd, target);
        let put = Curl::new(&["-H", "Expect:", "-T", "-", &url])
            .reading(&upload)
            .run();
        assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
        let fetched = get(lbd, &[], target);
        assert!(fetched.body == noise(1 << 20), "not the same");
    }
}

#[test]
fn head_and_404_are_passed_on() {
    let Some(site) = Site::start("") else { return };
    for lbd in &site.both {
        let head = get(lbd, &["-I", "-H", "Host: a"], "/");
        assert_eq!(head.status, 200, "{}", head.head);
        assert!(head.field("Content-Length").is_some(), "{}", head.head);
        let absent = get(lbd, &[], "/absent");
        assert_eq!(absent.status, 404, "{}", absent.head);
        assert!(absent.text().contains("<center>nginx"));
    }
}

#[test]
fn one_connection_is_used_again() {
    let Some(site) = Site::start("") else { return };
    for lbd in &site.both {
        let url = url(lbd, "/connection");
        let text = curl(&[&url, &url, &url]).text();
        let numbers: Vec<_> = text.lines().collect();
        assert_eq!(numbers, [numbers[0]; 3], "nginx saw one connection");
    }
}

#[test]
fn a_server_that_closes_after_some_requests_is_not_noticed() {
    let Some(site) = Site::start("keepalive_requests 5;") else {
        return;
    };
    for lbd in &site.both {
        let url = url(lbd, "/");
        let fetched = curl(&[url.as_str(); 40]);
        assert_eq!(fetched.values, ["200"; 40], "{}", fetched.text());
    }
}

#[test]
fn requests_that_a_closing_server_has_not_taken_are_sent_again() {
    if !are_here(&["h2load"]) {
        return;
    }
    let Some(site) = Site::start("keepalive_requests 100;") else {
        return;
    };
    for lbd in &site.both {
        loads(&["-n1000", "-c4", "-m10"], &url(lbd, "/"));
    }
}

/// A file of nghttpd's, and an upload that it sends back.
fn echoes(nghttpd: &Nghttpd, pool: &str) {
    let (www, lbd) = (&nghttpd.dir, front_with("h2c = true", pool));
    fs::write(www.file("1m"), noise(1 << 20)).expect("a file of our own");
    let data = format!("@{}", www.file("1m").display());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for args in [
            &[version][..],
            &[version, "-H", "Expect:", "--data-binary", &data],
        ] {
            let fetched = get(&lbd, args, "/1m");
            assert_eq!(fetched.status, 200, "{}", fetched.head);
            assert!(fetched.body == noise(1 << 20), "not the same");
        }
    }
    let waiting = ["--expect100-timeout", "60", "-H", "Expect: 100-continue"];
    let fetched = get(
        &lbd,
        &[&waiting[..], &["--data-binary", &data]].concat(),
        "/1m",
    );
    assert!(
        fetched.head.starts_with("HTTP/1.1 100 "),
        "{}",
        fetched.head
    );
    assert!(fetched.body == noise(1 << 20), "not the same");
    assert_eq!(get(&lbd, &[], "/absent").status, 404);
}

#[test]
fn nghttpd_answers_over_clear_text() {
    if !are_here(&["nghttpd", "curl:HTTP2"]) {
        return;
    }
    let nghttpd = Nghttpd::start(&[], None);
    let pool = servers(&[&nghttpd.port]) + "\nprotocol = \"h2c\"";
    echoes(&nghttpd, &pool);
}

#[test]
fn nghttpd_answers_over_tls() {
    if !are_here(&["nghttpd", "openssl", "curl:HTTP2"]) {
        return;
    }
    let ca = Ca::new();
    let nghttpd = Nghttpd::start(&[], Some(&ca.ecdsa(&["app.test"])));
    echoes(&nghttpd, &secure(&nghttpd.port, &ca));
}

#[test]
fn a_server_that_allows_two_streams_answers_all() {
    if !are_here(&["nghttpd", "h2load"]) {
        return;
    }
    let nghttpd = Nghttpd::start(&["--max-concurrent-streams=2"], None);
    fs::write(nghttpd.dir.file("small"), "hello").expect("a file of our own");
    let pool = servers(&[&nghttpd.port]) + "\nprotocol = \"h2c\"";
    let lbd = front_with("h2c = true", &pool);
    loads(&["-n400", "-c4", "-m10"], &url(&lbd, "/small"));
}
