//! `[notify]`: whoever is to know of it is told what happens, in its own words.

mod formats;
mod receiver;

use std::{fs, net::TcpListener};

use rustix::process::Signal;
use serde_json::Value;

use self::receiver::{Post, Receiver, url as url_of};
use crate::harness::{Dir, File, Lbd, until};
use crate::support::{Nginx, Port, are_here, curl, reload, servers, url};

/// Whoever has it can write into a chat: it stands in no log.
const KEY: &str = "SECRETKEY";

/// lbd before a server that answers and others that are dead.
struct Site {
    lbd: Lbd,
    _apps: Nginx,
    dead: Vec<Port>,
}

impl Site {
    /// So many are dead, and have been found to be. These are the keys of `[notify]`.
    fn start(dead: usize, notify: &str) -> Option<Self> {
        if !are_here(&["nginx", "curl"]) {
            return None;
        }
        let apps = Nginx::apps(&["a"]);
        let dead: Vec<_> = (0..dead).map(|_| Port::new()).collect();
        let addrs = dead.iter().map(ToString::to_string);
        let addrs: Vec<_> = [apps.addr()].into_iter().chain(addrs).collect();
        let pool = format!("{}\nmax_fails = 1\nfail_timeout = \"1h\"", servers(&addrs));
        let site = Self {
            lbd: lbd_with(notify, &pool),
            _apps: apps,
            dead,
        };
        until("those that are dead are out", || {
            site.answers();
            let outs = site
                .lbd
                .process
                .err
                .text()
                .matches(" is out until ")
                .count();
            (outs == site.dead.len()).then_some(())
        });
        Some(site)
    }

    /// Somebody asks, and is answered by the one who is not dead.
    fn answers(&self) {
        let fetched = curl(&[&url(&self.lbd, "/")]);
        assert_eq!((fetched.status, &*fetched.text()), (200, "a"));
    }
}

/// lbd with these keys of `[notify]`, whose only pool, `app`, has those.
fn lbd_with(notify: &str, pool: &str) -> Lbd {
    let rest = format!(
        "[notify]\n{notify}\n[[routes]]\npath = \"/\"\npool = \"app\"\n[pools.app]\n{pool}\n"
    );
    let file = File {
        rest: &rest,
        ..File::default()
    };
    file.start()
}

/// The keys of `[notify]` with one webhook, which has this URL and these keys.
fn webhook(delay: &str, url: &str, keys: &str) -> String {
    format!("delay = \"{delay}\"\nwebhooks = [{{ url = \"{url}\", {keys} }}]")
}

/// What a receiver is told when a server goes out, where its webhook has these keys.
fn told(keys: &str) -> Option<(Site, Post)> {
    let receiver = Receiver::start(&[200]);
    let site = Site::start(1, &webhook("100ms", &receiver.url(), keys))?;
    let post = receiver.wait_for(1).swap_remove(0);
    assert!(post.head.starts_with("POST "), "{}", post.head);
    Some((site, post))
}

/// The events that are told in JSON.
fn events(body: &Value) -> &[Value] {
    body["events"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether this is all that is told in JSON: that the dead server of `site` is out.
fn says_that_it_is_out(body: &Value, site: &Site) {
    let [event] = events(body) else {
        panic!("one event: {body}");
    };
    let server = site.dead[0].to_string();
    assert_eq!(event["kind"], "server_out");
    assert_eq!(event["severity"], "warning");
    assert_eq!(event["pool"], "app");
    assert_eq!(event["subject"], server);
    assert!(event["id"].is_u64(), "{event}");
    let at = event["at"].as_str().expect("a time");
    assert!(at.ends_with('Z'), "{at}");
    let text = event["text"].as_str().expect("a text");
    let start = format!("pool app: server {server} is out until ");
    assert!(text.starts_with(&start), "{text}");
}

// === what is told ===

#[test]
fn what_happens_is_told_as_json() {
    let Some((site, post)) = told("format = \"json\"") else {
        return;
    };
    let body = post.json();
    says_that_it_is_out(&body, &site);
    let host = body["lbd"]["host"].as_str().expect("a name");
    assert!(!host.is_empty());
    assert_eq!(body["lbd"]["version"], env!("CARGO_PKG_VERSION"));
    let head = post.head.to_ascii_lowercase();
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{head}"
    );
    assert!(post.target.ends_with(KEY), "{}", post.target);
}

#[test]
fn a_command_is_told_on_its_standard_input() {
    let dir = Dir::new();
    let script = dir.write("alert", "cat > \"$1.new\" && mv \"$1.new\" \"$1\"\n");
    let said = dir.file("said");
    let command = format!(
        "[\"/bin/sh\", \"{}\", \"{}\"]",
        script.display(),
        said.display()
    );
    let keys = format!("delay = \"100ms\"\ncommand = {command}");
    let Some(site) = Site::start(1, &keys) else {
        return;
    };
    let text = until("the command is told", || fs::read_to_string(&said).ok());
    let body: Value = serde_json::from_str(&text).expect("JSON");
    says_that_it_is_out(&body, &site);
}

#[test]
fn what_happens_together_is_told_together() {
    let receiver = Receiver::start(&[200]);
    let keys = webhook("2s", &receiver.url(), "format = \"json\"");
    let Some(site) = Site::start(2, &keys) else {
        return;
    };
    let body = receiver.wait_for(1)[0].json();
    let mut told: Vec<_> = events(&body)
        .iter()
        .filter_map(|event| event["subject"].as_str())
        .collect();
    told.sort_unstable();
    let mut out: Vec<_> = site.dead.iter().map(ToString::to_string).collect();
    out.sort_unstable();
    assert_eq!(told, out, "{body}");
}

#[test]
fn what_is_over_before_anybody_is_told_is_not_told() {
    if !are_here(&["nginx"]) {
        return;
    }
    let (receiver, mut nginx) = (Receiver::start(&[200]), Nginx::apps(&["a"]));
    let check = "{ check = \"tcp\", interval = \"20ms\", timeout = \"2s\", rise = 1, fall = 1 }";
    let pool = format!("{}\nhealth = {check}", servers(&[nginx.addr()]));
    // Far longer than it takes until it is back.
    let lbd = lbd_with(&webhook("5s", &receiver.url(), "format = \"json\""), &pool);
    lbd.process.err.wait_for("is well, by its first check");
    nginx.kill();
    lbd.process.err.wait_for(" is out: ");
    nginx.start_again();
    lbd.process.err.wait_for(" is back after ");
    // What happens then is told.
    let file = fs::read_to_string(lbd.dir.file("lb.toml")).expect("a file of our own");
    lbd.dir.write("lb.toml", &format!("{file}\n[nonsense]\n"));
    lbd.process.signal(Signal::HUP);
    let all = until("a later event is told", || {
        let posts = receiver.posts();
        let all: String = posts.into_iter().map(|post| post.body).collect();
        all.contains("\"reload_failed\"").then_some(all)
    });
    assert!(!all.contains("\"server_out\""), "{all}");
    assert!(!all.contains(" is back after "), "{all}");
}

// === who does not listen ===

#[test]
fn who_fails_is_told_again() {
    let receiver = Receiver::start(&[500, 503, 200]);
    let keys = webhook("100ms", &receiver.url(), "format = \"json\"");
    let Some(site) = Site::start(1, &keys) else {
        return;
    };
    for post in receiver.wait_for(3) {
        says_that_it_is_out(&post.json(), &site);
    }
}

#[test]
fn that_nobody_could_be_told_is_one_line_without_the_key() {
    let receiver = Receiver::start(&[500]);
    let keys = webhook("100ms", &receiver.url(), "format = \"slack\"");
    let Some(mut site) = Site::start(1, &keys) else {
        return;
    };
    receiver.wait_for(3);
    let name = format!("http://{}", receiver.addr);
    site.lbd.process.err.wait_for(&name);
    let ended = site.lbd.stop();
    assert_eq!(ended.err.matches(&name).count(), 1, "{}", ended.err);
    assert!(!ended.err.contains(KEY), "{}", ended.err);
    assert!(!ended.out.contains(KEY), "{}", ended.out);
}

/// Somebody who takes connections and never says anything, and lbd that tells him something right now.
fn telling_nobody() -> Option<(TcpListener, Site)> {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    silent.set_nonblocking(true).expect("a socket of our own");
    let addr = silent.local_addr().expect("a bound socket");
    let site = Site::start(1, &webhook("100ms", &url_of(addr), "format = \"json\""))?;
    Some((silent, site))
}

#[test]
fn requests_and_reloads_do_not_wait_for_a_receiver_that_does_not_answer() {
    let Some((silent, site)) = telling_nobody() else {
        return;
    };
    let _told = until("lbd tells it", || silent.accept().ok());
    for _ in 0..10 {
        site.answers();
    }
    let reloaded = reload(&site.lbd);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    site.answers();
}

#[test]
fn lbd_ends_while_a_receiver_does_not_answer() {
    let Some((silent, mut site)) = telling_nobody() else {
        return;
    };
    let _told = until("lbd tells it", || silent.accept().ok());
    assert_eq!(site.lbd.stop().code, Some(0));
}
