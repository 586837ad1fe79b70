//! Reading heads, and writing what the peer and the client get of them: as a bench's client sends
//! them, as a browser does, and with the edits of a route.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use divan::{Bencher, black_box};
use lbd::{
    http::{Context, Parts, Site, SiteSource, bench::Heads, bench::reads_request},
    net::Shared,
    telemetry::{AccessLog, AccessSink, AccessWriter, Events},
    upstream::{Pool, Resolver},
};

use crate::loaded;

const SHORT: &str = "GET /a HTTP/1.1\r\nHost: 127.0.0.1:8100\r\n\r\n";
const BROWSER: &str = "GET /app/list?page=2&sort=name HTTP/1.1\r\n\
    Host: hq.company.com:8100\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Referer: http://hq.company.com:8100/app/\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n\
    Cookie: JSESSIONID=5A4F1D3C9E8B7A60; theme=dark; lang=zh\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Fri, 20 Nov 2026 10:13:00 GMT\r\n\
    Content-Type: text/html\r\n\
    Content-Length: 100\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-store\r\n\r\n";
const EDITS: &str = "request_headers = { set = { X-App = \"a\", X-Port = \"$server_port\" }, remove = [\"X-Debug\"] }\n\
    response_headers = { set = { X-Frame-Options = \"DENY\" }, remove = [\"Server\"] }\n";

const REQUESTS: [&str; 2] = ["short", "browser"];

fn request(name: &str) -> &'static [u8] {
    if name == "short" { SHORT } else { BROWSER }.as_bytes()
}

/// Nobody follows a configuration here.
#[derive(Debug)]
struct Nothing;

impl SiteSource for Nothing {
    fn site(&self, _: SocketAddr) -> Option<Arc<Site>> {
        None
    }

    fn follow(&self, _: SocketAddr, _: &mut Arc<Site>) -> bool {
        false
    }

    fn let_go(&self) {}
}

/// Benches `write` on a request and the response to it, on a route with `keys`.
fn bench(
    bencher: Bencher<'_, '_>,
    name: &str,
    keys: &str,
    write: impl Fn(&Heads<'_>, &mut Vec<u8>),
) {
    let config = loaded(&format!(
        "[[listeners]]\nbind = \"127.0.0.1:8100\"\n\
         [[routes]]\npath = \"/\"\npool = \"p\"\n{keys}\
         [pools.p]\nservers = [\"10.0.0.1:80\"]\n"
    ));
    let pool = Pool::new(
        config.pools[0].clone(),
        &Resolver::default(),
        &Events::default(),
        None,
    );
    let pool = Arc::new(pool.expect("a pool without TLS"));
    let pools = HashMap::from([("p".to_owned(), pool)]);
    let parts = Parts {
        routes: &config.routes,
        stats: &[],
        pools: &pools,
        access: None,
        tracer: None,
    };
    let site = Site::new(&config.listeners[0], &parts, None).expect("a site without TLS");
    let log = AccessLog::start(AccessSink::off()).expect("a thread can be started");
    let shared = Shared::new(AccessWriter::new(log), Default::default());
    let context = Context::new(Box::new(Nothing), shared);
    let heads = Heads::read(&context, &site, request(name), RESPONSE.as_bytes());
    let heads = heads.expect("they are good");
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        write(black_box(&heads), &mut out);
        out.len()
    });
}

#[divan::bench(args = REQUESTS)]
fn read_request(bencher: Bencher<'_, '_>, name: &str) {
    assert!(reads_request(request(name)));
    bencher.bench_local(|| reads_request(black_box(request(name))));
}

#[divan::bench(args = REQUESTS)]
fn write_for_peer(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, "", |heads, out| heads.write_for_peer(out));
}

#[divan::bench(args = REQUESTS)]
fn write_for_peer_with_edits(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, EDITS, |heads, out| heads.write_for_peer(out));
}

#[divan::bench]
fn write_for_client(bencher: Bencher<'_, '_>) {
    bench(bencher, "short", "", |heads, out| {
        heads.write_for_client(out)
    });
}

#[divan::bench]
fn write_for_client_with_edits(bencher: Bencher<'_, '_>) {
    bench(bencher, "short", EDITS, |heads, out| {
        heads.write_for_client(out)
    });
}
