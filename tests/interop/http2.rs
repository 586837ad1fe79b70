//! HTTP/2 with clients that others wrote: over TLS, and over clear text by prior knowledge.

mod tools;
mod upstream;

use std::{fs, path::PathBuf};

use crate::harness::{Dir, Lbd};
use crate::support::{
    Ca, Curl, Echo, Fetched, are_here, curl, front_with, noise, outcome, program, servers, tls,
    trusting, url,
};

const HOST: &str = "https://shop.test";

/// curl, lbd in both ways, and an app of HTTP/1.1.
struct Site {
    secure: Lbd,
    plain: Lbd,
    ca: Ca,
    dir: Dir,
    _echo: Echo,
}

impl Site {
    fn start() -> Option<Self> {
        if !are_here(&["openssl", "curl:HTTP2", "python3"]) {
            return None;
        }
        let (ca, echo) = (Ca::new(), Echo::start());
        let cert = ca.ecdsa(&["shop.test"]);
        let pool = servers(&[&echo.addr]);
        Some(Self {
            secure: front_with(&tls(&[&cert], ""), &pool),
            plain: front_with("h2c = true", &pool),
            ca,
            dir: Dir::new(),
            _echo: echo,
        })
    }

    /// `curl ARGS` for a target, over TLS and over clear text.
    fn fetch(&self, args: &[&str], target: &str) -> [Fetched; 2] {
        let url = url(&self.plain, target);
        let plain = ["--http2-prior-knowledge"];
        [
            self.fetch_all(args, &[target]),
            curl(&[&plain[..], args, &[&url]].concat()),
        ]
    }

    /// `curl ARGS` for each target, over TLS. Curl 7.88 cannot use a connection again by prior knowledge.
    fn fetch_all(&self, args: &[&str], targets: &[&str]) -> Fetched {
        let urls: Vec<_> = targets.iter().map(|t| format!("{HOST}{t}")).collect();
        let urls: Vec<_> = urls.iter().map(String::as_str).collect();
        let args = [&["--http2"], args, &urls].concat();
        trusting(&self.secure, &self.ca, &args, curl)
    }

    /// The same where all goes well and every answer is of HTTP/2.
    fn get(&self, args: &[&str], target: &str) -> [Fetched; 2] {
        let both = self.fetch(args, target);
        for fetched in &both {
            assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
            let mut lines = fetched.head.lines().filter(|l| l.starts_with("HTTP/"));
            assert!(lines.all(|l| l.starts_with("HTTP/2 ")), "{}", fetched.head);
        }
        both
    }

    /// A file with so many bytes.
    fn file(&self, length: usize) -> PathBuf {
        let path = self.dir.file("upload");
        fs::write(&path, noise(length)).expect("a file of our own");
        path
    }
}

/// `h2load ARGS` of so many requests (`-n`) sees an answer to each and none that is no 200.
fn loads(args: &[&str], url: &str) {
    let ended = outcome(program("h2load").args(args).arg(url));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let requests = args[0].trim_start_matches("-n");
    for said in [
        format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout"),
        format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx"),
    ] {
        assert!(ended.out.contains(&said), "{}", ended.out);
    }
}

#[test]
fn curl_says_that_it_got_http_2() {
    let Some(site) = Site::start() else { return };
    for fetched in site.get(&["-w", "%{http_version} %{response_code}\\n"], "/") {
        assert_eq!(fetched.values, ["2 200"]);
    }
}

#[test]
fn http_1_1_is_spoken_beside_it() {
    let Some(site) = Site::start() else { return };
    let args = ["--http1.1", "-w", "%{http_version} %{response_code}\\n"];
    for fetched in site.fetch(&args, "/") {
        assert_eq!(fetched.values, ["1.1 200"]);
    }
}

#[test]
fn a_megabyte_goes_up_and_comes_down_byte_for_byte() {
    let Some(site) = Site::start() else { return };
    for length in [0, 20 << 10, 1 << 20] {
        let data = format!("@{}", site.file(length).display());
        for fetched in site.get(&["--data-binary", &data], "/") {
            assert_eq!(fetched.field("Content-Length"), Some(&*length.to_string()));
            assert!(fetched.body == noise(length), "not the same");
        }
    }
}

#[test]
fn an_upload_of_unknown_length_arrives_byte_for_byte() {
    let Some(site) = Site::start() else { return };
    for length in [0, 1 << 20] {
        let file = site.file(length);
        let url = url(&site.plain, "/");
        let args = ["--http2-prior-knowledge", "-T", "-", &url];
        let fetched = Curl::new(&args).reading(&file).run();
        assert_eq!((fetched.exit, fetched.status), (0, 200), "{}", fetched.head);
        assert!(fetched.body == noise(length), "not the same");
    }
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    let Some(site) = Site::start() else { return };
    let data = format!("@{}", site.file(1 << 20).display());
    for fetched in site.get(&["--limit-rate", "4m", "--data-binary", &data], "/") {
        assert!(fetched.body == noise(1 << 20), "not the same");
    }
}

#[test]
fn head_has_the_length_and_no_body() {
    let Some(site) = Site::start() else { return };
    for fetched in site.get(&["-I", "-w", "%{size_download}\\n"], "/") {
        assert_eq!(fetched.values, ["0"]);
        let length = fetched.field("Content-Length").expect("a length");
        assert!(length.parse::<u64>().is_ok_and(|length| length > 0));
    }
}

#[test]
fn a_post_that_waits_for_100_gets_it_and_arrives() {
    let Some(site) = Site::start() else { return };
    let data = format!("@{}", site.file(1 << 20).display());
    // curl would wait a minute for the 100, and --max-time ends it before.
    let args = ["--expect100-timeout", "60", "-H", "Expect: 100-continue"];
    for fetched in site.get(&[&args[..], &["--data-binary", &data]].concat(), "/") {
        assert!(fetched.head.starts_with("HTTP/2 100"), "{}", fetched.head);
        assert!(fetched.body == noise(1 << 20), "not the same");
    }
}

#[test]
fn early_hints_come_before_the_answer() {
    let Some(site) = Site::start() else { return };
    for fetched in site.get(&[], "/early") {
        assert!(fetched.head.starts_with("HTTP/2 103"), "{}", fetched.head);
        assert_eq!(fetched.field("Link"), Some("</a.css>; rel=preload"));
    }
}

#[test]
fn the_app_gets_method_path_host_and_fields() {
    let Some(site) = Site::start() else { return };
    let args = ["-H", "X-One: 1", "-H", "x-two: 2", "-H", "Host: a.test:81"];
    for (fetched, scheme) in site.get(&args, "/a%20b?c=d").iter().zip(["https", "http"]) {
        let text = fetched.text();
        let (line, fields) = text.split_once('\n').expect("a request line");
        assert_eq!(line, "GET /a%20b?c=d HTTP/1.1");
        let fields = format!("\n{fields}").to_lowercase();
        let proto = format!("x-forwarded-proto: {scheme}");
        for field in ["x-one: 1", "x-two: 2", "host: a.test:81", &proto] {
            assert_eq!(fields.matches(&format!("\n{field}\n")).count(), 1, "{text}");
        }
        assert!(!fields.contains("\n:"), "{text}");
    }
}

#[test]
fn the_client_gets_both_fields_of_one_name() {
    let Some(site) = Site::start() else { return };
    for fetched in site.get(&[], "/") {
        let head = fetched.head.to_lowercase();
        for cookie in ["set-cookie: a=1\r\n", "set-cookie: b=2\r\n"] {
            assert_eq!(head.matches(cookie).count(), 1, "{head}");
        }
    }
}

#[test]
fn cookies_that_come_apart_reach_the_app_as_one_field() {
    let Some(site) = Site::start() else { return };
    let args = ["-H", "Cookie: a=1", "-H", "Cookie: b=2"];
    for fetched in site.get(&args, "/") {
        let text = fetched.text().to_lowercase();
        assert!(text.contains("\ncookie: a=1; b=2\n"), "{text}");
        assert_eq!(text.matches("\ncookie:").count(), 1, "{text}");
    }
}

#[test]
fn the_client_keeps_its_connection() {
    let Some(site) = Site::start() else { return };
    let values = ["-w", "%{response_code} %{num_connects}\\n"];
    for args in [&[][..], &["-I"], &["-d", "hello"]] {
        let args = [args, &values].concat();
        let fetched = site.fetch_all(&args, &["/", "/early", "/"]);
        assert_eq!(fetched.values, ["200 1", "200 0", "200 0"]);
    }
}

#[test]
fn many_at_once_are_answered_each_with_its_own() {
    let Some(site) = Site::start() else { return };
    let targets: Vec<_> = (0..40).map(|i| format!("/{i}")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let fetched = site.fetch_all(&["-Z"], &targets);
    assert_eq!(fetched.values, ["200"; 40]);
    let text = fetched.text();
    let asked = text.lines().filter_map(|line| line.strip_prefix("GET "));
    let wanted: Vec<_> = targets.iter().map(|t| format!("{t} HTTP/1.1")).collect();
    assert_eq!(asked.collect::<Vec<_>>(), wanted);
}
