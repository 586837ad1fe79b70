//! Prometheus: its promtool reads what lbd tells, and it itself asks lbd for it.

mod alerts;
mod dashboard;
mod server;

use std::{collections::BTreeSet, fs};

use self::server::Prometheus;
use crate::harness::{Dir, File, Lbd, Process, until};
use crate::support::{Ca, Fetched, Nginx, Port, are_here, curl, program, tls, url};

const PLAIN: &str = "Accept: text/plain;version=0.0.4";
const OPEN: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// What curl is to send, and where.
const ODD: [(&[&str], &str); 6] = [
    (&["-X", "BREW"], "/"),
    (&["-H", "Host: evil.example"], "/"),
    (&["-H", "Host: evil\"} 1"], "/"),
    (&["-A", "evil\"}", "-H", "X-Request-Id: evil"], "/v7.b/"),
    (&["-g", "--path-as-is"], "/%22%7D%0Albd_evil/../x?a={b}"),
    (&["-I"], "/dark/nowhere"),
];

/// A pool where somebody answers although somebody is dead, one where nobody does, and a label that has to be escaped.
const FILE: &str = r#"
[admin]
bind = "127.0.0.1:0"
[[streams]]
bind = "127.0.0.2:0"
pool = "tcp"
[[routes]]
path = "/"
pool = "app"
[[routes]]
regex = '^/v[0-9]+\.("a"|b)/'
pool = "app"
[[routes]]
exact = "/busy"
respond = { status = 503, body = "busy" }
[[routes]]
path = "/dark/"
pool = "dark"
[pools.app]
servers = ["@APP@", "@DEAD@"]
[pools.tcp]
servers = ["@APP@"]
[pools.dark]
servers = ["@DEAD@"]
health = { check = "tcp", interval = "20ms", timeout = "2s" }
"#;

/// lbd with a port for Prometheus.
struct Site {
    lbd: Lbd,
    _apps: Nginx,
    _dead: Port,
    admin: String,
    stream: String,
}

impl Site {
    /// If what a test `needs` beside what each does is here. `more` is more of lb.toml.
    fn start(needs: &[&str], more: &str) -> Option<Self> {
        if !are_here(&[&["nginx", "curl"], needs].concat()) {
            return None;
        }
        let (apps, dead) = (Nginx::apps(&["a"]), Port::new());
        let rest = FILE
            .replace("@APP@", &apps.addr())
            .replace("@DEAD@", &dead.to_string());
        let rest = format!("{rest}\n{more}");
        let file = File {
            rest: &rest,
            ..File::default()
        };
        let lbd = file.start();
        let admin = word_after(&lbd, "admin on http://");
        let stream = format!("127.0.0.2:{}", word_after(&lbd, "on 127.0.0.2:"));
        Some(Self {
            lbd,
            _apps: apps,
            _dead: dead,
            admin,
            stream,
        })
    }

    /// Asks for everything there is, five times; `app` answers ten requests.
    fn is_used(&self) {
        let stream = format!("http://{}/", self.stream);
        for _ in 0..5 {
            let [app, regex, busy, dark] =
                ["/", "/v1.b/", "/busy", "/dark/"].map(|target| url(&self.lbd, target));
            let fetched = curl(&[&app, &regex, &busy, &dark, &stream]);
            assert_eq!(fetched.values, ["200", "200", "503", "502", "200"]);
        }
    }

    /// What a scraper gets that accepts this.
    fn metrics(&self, accept: &str) -> Fetched {
        let fetched = curl(&["-H", accept, &format!("http://{}/metrics", self.admin)]);
        assert_eq!(fetched.status, 200, "{}", fetched.text());
        fetched
    }
}

/// What stands behind these words in a line of the log.
fn word_after(lbd: &Lbd, words: &str) -> String {
    let line = lbd.process.err.wait_for(words);
    let (_, rest) = line.split_once(words).expect("it has them");
    let word = rest.split_whitespace().next();
    word.expect("a word behind them").to_owned()
}

/// The names and labels of all samples.
fn series(metrics: &str) -> Vec<&str> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').expect("a value").0)
        .collect()
}

/// Every word of `text` that begins as the names of lbd's metrics do.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("lbd_")).collect()
}

/// What the shipped file of this name has, in which every name of a metric is one that lbd tells.
fn mentions_what_there_is(file: &str) {
    let Some(site) = Site::start(&[], "") else {
        return;
    };
    let shipped = fs::read_to_string(file).expect("it is shipped");
    let metrics = site.metrics(PLAIN).text();
    let [shipped, told] = [&shipped, &metrics].map(|text| mentioned(text));
    assert!(!shipped.is_empty(), "{file}");
    let unknown: Vec<_> = shipped.difference(&told).collect();
    assert!(unknown.is_empty(), "{file} has {unknown:?}");
}

/// Fails if a scraper would find a series twice, and keep one of the two.
fn each_is_told_once(metrics: &str) {
    let mut seen = BTreeSet::new();
    for series in series(metrics) {
        assert!(seen.insert(series), "{series} is told twice");
    }
}

// === the texts ===

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let Some(site) = Site::start(&["promtool"], "") else {
        return;
    };
    site.is_used();
    let dir = Dir::new();
    let file = dir.write("metrics", &site.metrics(PLAIN).text());
    let input = fs::File::open(file).expect("a file of our own");
    let mut promtool = program("promtool");
    promtool.args(["check", "metrics"]).stdin(input);
    let ended = Process::spawn(&mut promtool).finish();
    assert_eq!((&*ended.out, &*ended.err), ("", ""));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn who_reads_openmetrics_gets_it_with_its_end() {
    let Some(site) = Site::start(&[], "") else {
        return;
    };
    let open = site.metrics(OPEN);
    let media = open.field("Content-Type").expect("a media type");
    assert!(media.starts_with("application/openmetrics-text"), "{media}");
    assert!(open.text().ends_with("\n# EOF\n"), "{}", open.text());
    let plain = site.metrics(PLAIN);
    let media = plain.field("Content-Type").expect("a media type");
    assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    assert!(!plain.text().contains("# EOF"), "{}", plain.text());
    assert_eq!(series(&open.text()), series(&plain.text()));
}

#[test]
fn no_client_makes_a_series() {
    let Some(site) = Site::start(&[], "") else {
        return;
    };
    let before = site.metrics(PLAIN).text();
    for (args, target) in ODD {
        let url = url(&site.lbd, target);
        let fetched = curl(&[args, &[url.as_str()]].concat());
        assert_eq!(fetched.exit, 0, "{args:?}: {}", fetched.head);
    }
    site.is_used();
    let after = site.metrics(PLAIN).text();
    assert_eq!(series(&before), series(&after));
    each_is_told_once(&after);
}

/// As with DNS. Neither has a name of its own.
#[test]
fn streams_of_tcp_and_udp_at_one_address_are_told_apart() {
    let more = "[[streams]]\nbind = \"127.0.0.2:0\"\nprotocol = \"udp\"\npool = \"tcp\"\n";
    let Some(site) = Site::start(&[], more) else {
        return;
    };
    each_is_told_once(&site.metrics(PLAIN).text());
}

#[test]
fn a_certificate_of_two_listeners_is_told_once() {
    if !are_here(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let tls = tls(&[&ca.ecdsa(&["app.test"])], "");
    let more = ["127.0.0.3", "127.0.0.4"].map(|host| secure_listener(host, &tls));
    let Some(site) = Site::start(&[], &more.concat()) else {
        return;
    };
    let metrics = site.metrics(PLAIN).text();
    each_is_told_once(&metrics);
    assert_eq!(metrics.matches("\nlbd_certificate_not_after").count(), 1);
}

/// A listener in lb.toml, with `tls`.
fn secure_listener(host: &str, tls: &str) -> String {
    format!("[[listeners]]\nbind = \"{host}:0\"\n{tls}\n")
}

// === Prometheus itself ===

#[test]
fn prometheus_counts_the_requests_that_were_sent() {
    let Some(site) = Site::start(&["prometheus"], "") else {
        return;
    };
    let prometheus = Prometheus::start(&site.admin);
    prometheus.until_lbd_is_up();
    site.is_used();
    let counts = |query: &str, count: f64| {
        until(&format!("{query} is {count}"), || {
            let answers = prometheus.ask(query);
            answers.contains(&count).then_some(())
        });
    };
    counts("sum(lbd_server_requests_total{pool='app'})", 10.0);
    counts(
        "lbd_listener_requests_total{listener='public',code='2xx'}",
        10.0,
    );
    counts(
        "lbd_listener_requests_total{listener='public',code='5xx'}",
        10.0,
    );
    counts("lbd_route_requests_total{route='= /busy',code='5xx'}", 5.0);
    counts(
        "lbd_route_request_duration_seconds_count{route=~'~.*'}",
        5.0,
    );
    counts("lbd_pool_dark_requests_total{pool='dark'}", 5.0);
    counts("lbd_pool_requests_total{pool='tcp'}", 5.0);
}
