//! curl gets what nginx has, through lbd.

use std::fs;

use crate::harness::Lbd;
use crate::support::{Fetched, Nginx, Port, are_here, curl, front, noise, url};

/// Files, the same of unknown length, and who asks.
const SERVER: &str = "
    server {
        listen @PORT0@ reuseport;
        root @DIR@/www;
        location /unknown/ {
            alias @DIR@/www/;
            sub_filter_types *;
            sub_filter absent-from-noise present;
        }
        location /connection { return 200 '$connection\\n'; }
        location /host { return 200 $http_host; }
    }";

struct Site {
    lbd: Lbd,
    nginx: Nginx,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["nginx", "curl"]) {
            return None;
        }
        let nginx = Nginx::start(vec![Port::new()], SERVER);
        let www = nginx.dir.file("www");
        fs::create_dir_all(www.join("sub")).expect("a directory of our own");
        fs::write(www.join("20k"), noise(20 << 10)).expect("a file of our own");
        fs::write(www.join("1m"), noise(1 << 20)).expect("a file of our own");
        fs::write(www.join("sub/index.html"), "index").expect("a file of our own");
        let lbd = front(&[format!("\"{}\"", nginx.addr())], "");
        Some(Self { lbd, nginx })
    }

    /// `curl ARGS URL`, which is to go well.
    fn get(&self, args: &[&str], target: &str) -> Fetched {
        let url = url(&self.lbd, target);
        let fetched = curl(&[args, &[&url]].concat());
        assert_eq!(fetched.exit, 0, "{}", fetched.head);
        fetched
    }
}

#[test]
fn bodies_come_byte_for_byte() {
    let Some(site) = Site::start() else { return };
    for (target, length) in [("/20k", 20 << 10), ("/1m", 1 << 20)] {
        let fetched = site.get(&[], target);
        assert_eq!(fetched.status, 200);
        assert_eq!(fetched.field("Content-Length"), Some(&*length.to_string()));
        assert!(fetched.body == noise(length), "{target} is not the same");
    }
}

#[test]
fn bodies_of_unknown_length_come_byte_for_byte() {
    let Some(site) = Site::start() else { return };
    for (target, length) in [("/unknown/20k", 20 << 10), ("/unknown/1m", 1 << 20)] {
        let fetched = site.get(&[], target);
        assert_eq!(fetched.field("Transfer-Encoding"), Some("chunked"));
        assert!(fetched.body == noise(length), "{target} is not the same");
    }
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&["--limit-rate", "4m"], "/1m");
    assert!(fetched.body == noise(1 << 20));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let Some(site) = Site::start() else { return };
    let url = url(&site.lbd, "/connection");
    let fetched = curl(&["-w", "%{num_connects}\n", &url, &url, &url]);
    assert_eq!(fetched.values, ["1", "0", "0"], "curl made one connection");
    let text = fetched.text();
    let numbers: Vec<_> = text.lines().collect();
    assert_eq!(numbers, [numbers[0]; 3], "nginx saw one connection");
}

#[test]
fn head_has_the_length_and_no_body() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(
        &["-I", "-w", "%{response_code}\\n%{size_download}\\n"],
        "/1m",
    );
    assert_eq!(fetched.values, ["200", "0"]);
    assert_eq!(fetched.field("Content-Length"), Some("1048576"));
}

#[test]
fn head_leaves_the_connection_in_order() {
    let Some(site) = Site::start() else { return };
    let url = url(&site.lbd, "/20k");
    let fetched = curl(&["-I", "-w", "%{num_connects}\\n", &url, &url]);
    assert_eq!(
        (fetched.exit, fetched.values),
        (0, vec!["1".to_owned(), "0".to_owned()])
    );
}

#[test]
fn a_range_comes_as_206() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&["-r", "1000-1999"], "/20k");
    assert_eq!(fetched.status, 206);
    assert_eq!(
        fetched.field("Content-Range"),
        Some("bytes 1000-1999/20480")
    );
    assert!(fetched.body == noise(20 << 10)[1000..2000]);
}

#[test]
fn several_ranges_come_as_multipart() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&["-r", "0-9,1000-1009"], "/20k");
    assert_eq!(fetched.status, 206);
    let kind = fetched.field("Content-Type").unwrap_or_default();
    assert!(
        kind.starts_with("multipart/byteranges; boundary="),
        "{kind}"
    );
    let wanted = &noise(20 << 10)[1000..1010];
    assert!(fetched.body.windows(10).any(|part| part == wanted));
}

#[test]
fn a_range_beyond_the_end_is_416() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&["-r", "99999-"], "/20k");
    assert_eq!(fetched.status, 416);
    assert_eq!(fetched.field("Content-Range"), Some("bytes */20480"));
}

#[test]
fn what_the_client_has_is_304_and_the_connection_goes_on() {
    let Some(site) = Site::start() else { return };
    let first = site.get(&[], "/20k");
    let tag = first.field("ETag").expect("nginx tags its files");
    let condition = format!("If-None-Match: {tag}");
    let url = url(&site.lbd, "/20k");
    let values = "%{response_code} %{num_connects} %{size_download}\\n";
    let fetched = curl(&["-w", values, "-H", &condition, &url, &url]);
    assert_eq!(fetched.exit, 0, "{fetched:?}");
    assert_eq!(fetched.values, ["304 1 0", "304 0 0"]);
}

#[test]
fn an_http_1_0_client_gets_all_of_it() {
    let Some(site) = Site::start() else { return };
    for target in ["/20k", "/1m", "/unknown/20k", "/unknown/1m"] {
        let fetched = site.get(&["-0"], target);
        let length = if target.ends_with("20k") {
            20 << 10
        } else {
            1 << 20
        };
        assert_eq!(fetched.field("Transfer-Encoding"), None, "{target}");
        assert!(fetched.body == noise(length), "{target} is not the same");
    }
}

#[test]
fn a_redirect_of_nginx_leads_back_to_lbd() {
    let Some(site) = Site::start() else { return };
    let values = "%{response_code}\\n%{num_redirects}\\n%{url_effective}\\n";
    let fetched = site.get(&["-L", "-w", values], "/sub");
    assert_eq!(fetched.text(), "index");
    assert_eq!(fetched.values, ["200", "1", &url(&site.lbd, "/sub/")]);
}

#[test]
fn nginx_sees_the_host_that_the_client_named() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&["-H", "Host: shop.example:8100"], "/host");
    assert_eq!(fetched.text(), "shop.example:8100");
}

#[test]
fn a_missing_file_is_nginx_s_404() {
    let Some(site) = Site::start() else { return };
    let fetched = site.get(&[], "/absent");
    assert_eq!(fetched.status, 404);
    assert!(
        fetched.text().contains("<center>nginx"),
        "{}",
        fetched.text()
    );
    drop(site.nginx);
}
