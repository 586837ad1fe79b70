//! curl gives nginx what it has, through lbd.

use std::{fs, path::PathBuf};

use crate::harness::{Dir, Lbd};
use crate::support::{Curl, Fetched, Nginx, Port, are_here, curl, front, noise, url};

/// PUT stores a file. POST stores its body and names the file in a field. /small takes 10 KB.
const SERVER: &str = "
    client_max_body_size 64m;
    server {
        listen @PORT0@ reuseport;
        root @DIR@/www;
        dav_methods PUT;
        location = /post {
            client_body_in_file_only on;
            add_header X-Body-File $request_body_file;
            proxy_pass http://@PORT0@/ok;
        }
        location = /ok { return 200 ok; }
        location /small/ { client_max_body_size 10k; }
    }";

struct Store {
    lbd: Lbd,
    nginx: Nginx,
    dir: Dir,
}

impl Store {
    fn start() -> Option<Self> {
        if !are_here(&["nginx", "curl"]) {
            return None;
        }
        let nginx = Nginx::start(vec![Port::new()], SERVER);
        fs::create_dir_all(nginx.dir.file("www/small")).expect("a directory of our own");
        let lbd = front(&[format!("\"{}\"", nginx.addr())], "");
        let dir = Dir::new();
        Some(Self { lbd, nginx, dir })
    }

    fn file(&self, length: usize) -> PathBuf {
        let path = self.dir.file("upload");
        fs::write(&path, noise(length)).expect("a file of our own");
        path
    }

    /// `curl ARGS -T FILE URL` with so many bytes; `-` for a file says that it comes by standard input.
    fn put(&self, args: &[&str], length: usize, target: &str, by_input: bool) -> Fetched {
        let file = self.file(length);
        let name = if by_input {
            "-".to_owned()
        } else {
            file.display().to_string()
        };
        let url = url(&self.lbd, target);
        let curl = Curl::new(&[args, &["-T", &name, &url]].concat());
        if by_input {
            curl.reading(&file).run()
        } else {
            curl.run()
        }
    }

    fn has(&self, name: &str, length: usize) -> bool {
        let stored = fs::read(self.nginx.dir.file("www").join(name));
        stored.expect("nginx has stored it") == noise(length)
    }
}

#[test]
fn an_upload_of_known_length_arrives_byte_for_byte() {
    let Some(store) = Store::start() else { return };
    for length in [20 << 10, 1 << 20] {
        let name = length.to_string();
        let put = store.put(&["-H", "Expect:"], length, &format!("/{name}"), false);
        assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
        assert!(store.has(&name, length), "{length} bytes are not the same");
    }
}

#[test]
fn a_chunked_upload_arrives_byte_for_byte() {
    let Some(store) = Store::start() else { return };
    for length in [0, 20 << 10, 1 << 20] {
        let name = length.to_string();
        let put = store.put(&["-H", "Expect:"], length, &format!("/{name}"), true);
        assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
        assert!(store.has(&name, length), "{length} bytes are not the same");
    }
}

#[test]
fn a_chunked_upload_that_waits_for_100_arrives() {
    let Some(store) = Store::start() else { return };
    let put = store.put(&["-H", "Expect: 100-continue"], 1 << 20, "/x", true);
    assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
    assert!(
        put.head.starts_with("HTTP/1.1 100 Continue\r\n"),
        "{}",
        put.head
    );
    assert!(store.has("x", 1 << 20));
}

#[test]
fn a_large_post_that_waits_for_100_arrives() {
    let Some(store) = Store::start() else { return };
    let data = format!("@{}", store.file(5 << 20).display());
    let url = url(&store.lbd, "/post");
    // curl would wait a minute for the 100, and --max-time ends it before.
    let args = ["--expect100-timeout", "60", "-H", "Expect: 100-continue"];
    let posted = curl(&[&args[..], &["--data-binary", &data, &url]].concat());
    assert_eq!((posted.exit, posted.status), (0, 200), "{}", posted.head);
    assert!(
        posted.head.starts_with("HTTP/1.1 100 Continue\r\n"),
        "{}",
        posted.head
    );
    assert_eq!(posted.text(), "ok");
    let stored = posted.field("X-Body-File").expect("nginx names the file");
    assert!(fs::read(stored).expect("nginx has stored it") == noise(5 << 20));
}

#[test]
fn an_upload_of_http_1_0_arrives() {
    let Some(store) = Store::start() else { return };
    let put = store.put(&["-0"], 1 << 20, "/x", false);
    assert_eq!((put.exit, put.status), (0, 201), "{}", put.head);
    assert!(store.has("x", 1 << 20));
}

/// nginx's 413 reaches curl, which is uploading 20 MB.
fn is_refused(args: &[&str], by_input: bool) {
    let Some(store) = Store::start() else { return };
    for _ in 0..5 {
        let put = store.put(args, 20 << 20, "/small/x", by_input);
        assert_eq!((put.exit, put.status), (0, 413), "{}", put.head);
        assert!(put.text().contains("<center>nginx"), "{}", put.text());
    }
    let small = store.put(args, 5000, "/small/x", by_input);
    assert_eq!((small.exit, small.status), (0, 201), "{}", small.head);
}

#[test]
fn a_413_reaches_a_client_that_uploads() {
    is_refused(&["-H", "Expect:"], false);
}

#[test]
fn a_413_reaches_a_client_that_uploads_in_chunks() {
    is_refused(&["-H", "Expect:"], true);
}

#[test]
fn a_413_reaches_a_client_that_waits_for_100() {
    is_refused(
        &["--expect100-timeout", "60", "-H", "Expect: 100-continue"],
        false,
    );
}
