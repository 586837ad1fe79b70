//! lbd asks servers by itself whether they are well, and whoever is not gets no request: no user has to find out.

mod ends;
mod failures;
mod good;
mod hanging;
mod max_out;
mod others;
mod patience;
mod proxy_header;
mod reload;
mod sent;
mod slow_start;

use std::net::SocketAddr;

use tokio::sync::watch;

use crate::support::backend::Backend;
use crate::support::behaviour::Behaviour;
use crate::support::client::Client;
use crate::support::peer::Request;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// Checks one after the other, with a patience that only a hang tries.
const OFTEN: &str = "interval = \"20ms\", timeout = \"2s\"";

/// The same, and each of them decides.
const AT_ONCE: &str = "interval = \"20ms\", timeout = \"2s\", rise = 1, fall = 1";

/// A server that says its name to users, and to checks, which ask for `/check`, what the test wants.
struct App {
    backend: Backend,
    name: &'static str,
    answer: Answer,
}

/// What checks are answered, to the byte.
#[derive(Clone)]
struct Answer(watch::Sender<String>);

impl App {
    /// It is well: checks are answered 200.
    async fn start(name: &'static str) -> Self {
        let answer = Answer(watch::Sender::new(response(200, "")));
        let behaviour = answer.or_name(name);
        Self {
            backend: Backend::start(behaviour).await,
            name,
            answer,
        }
    }

    /// From now on checks are answered this.
    fn answers(&self, status: u16, body: &str) {
        self.answer.0.send_replace(response(status, body));
    }

    /// Ends as a killed process does.
    async fn stop(&mut self) {
        self.backend.stop().await;
    }

    /// Starts again where it was.
    fn start_again(&mut self) {
        self.backend.start_as(self.answer.or_name(self.name));
    }

    fn addr(&self) -> SocketAddr {
        self.backend.addr()
    }

    /// How many checks came.
    fn checks(&self) -> usize {
        let seen = self.backend.seen();
        seen.iter().filter(|request| is_check(request)).count()
    }

    /// How many requests of users came.
    fn requests(&self) -> usize {
        self.backend.requests() - self.checks()
    }
}

impl Answer {
    fn or_name(&self, name: &'static str) -> Behaviour {
        let answer = self.clone();
        Behaviour::new(move |mut peer| {
            let answer = answer.clone();
            async move {
                loop {
                    let request = peer.request().await?;
                    let said = match is_check(&request) {
                        true => answer.0.borrow().clone(),
                        false => response(200, name),
                    };
                    peer.send(said).await?;
                }
            }
        })
    }
}

fn is_check(request: &Request) -> bool {
    request.target().starts_with("/check")
}

fn response(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said So\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Two apps that are well.
async fn two() -> [App; 2] {
    [App::start("a").await, App::start("b").await]
}

/// The text for a pool of these apps, with these further keys of `health` and of the pool.
fn checked(apps: &[&App], health: &str, keys: &str) -> String {
    let servers: Vec<_> = apps.iter().map(|app| app.backend.server()).collect();
    let health = format!("health = {{ check = \"http\", path = \"/check\", {health} }}");
    app(&servers, &format!("{health}\n{keys}"))
}

/// lbd before these apps, whose checks have these keys.
async fn before(apps: &[&App], health: &str) -> Proxy {
    Proxy::start(&checked(apps, health, "")).await
}

/// Waits until `server` is in this state.
async fn becomes(proxy: &Proxy, server: SocketAddr, state: &str) {
    let what = format!("{server} is {state}");
    wait::until(&what, || proxy.server(server).state == state).await;
}

/// Waits until `server` is out; gives the reason.
async fn goes_out(proxy: &Proxy, server: SocketAddr) -> String {
    becomes(proxy, server, "out").await;
    proxy.server(server).reason.expect("a reason")
}

/// The next six requests are answered by this one.
async fn all_by(addr: SocketAddr, name: &str) {
    let mut client = Client::connect(addr).await;
    for _ in 0..6 {
        assert_eq!(client.get("/").await.text(), name);
    }
}

/// Both have their turn among the next requests.
async fn by_both(proxy: &Proxy) {
    let mut client = proxy.client().await;
    let mut names = String::new();
    for _ in 0..4 {
        names += &client.get("/").await.text();
    }
    assert!(names.contains('a') && names.contains('b'), "{names}");
}

#[tokio::test]
async fn servers_that_are_well_share_the_requests() {
    let [a, b] = two().await;
    let proxy = before(&[&a, &b], OFTEN).await;
    by_both(&proxy).await;
    assert!(a.checks() > 0 && b.checks() > 0);
}

#[tokio::test]
async fn they_are_checked_again_and_again() {
    let [a, b] = two().await;
    let _proxy = before(&[&a, &b], OFTEN).await;
    wait::until("ten checks of each", || {
        a.checks() >= 10 && b.checks() >= 10
    })
    .await;
    assert_eq!((a.requests(), b.requests()), (0, 0));
}

#[tokio::test]
async fn a_server_that_says_it_is_paused_gets_nothing_until_it_says_otherwise() {
    let [a, b] = two().await;
    for app in [&a, &b] {
        app.answers(200, r#"{"state": "running"}"#);
    }
    let health = format!("json_not = {{ \"/state\" = \"paused\" }}, {OFTEN}");
    let proxy = before(&[&a, &b], &health).await;
    by_both(&proxy).await;
    a.answers(200, r#"{"state": "paused", "reason": "backup"}"#);
    let reason = goes_out(&proxy, a.addr()).await;
    assert_eq!(reason, r#"/state is "paused", reason "backup""#);
    let served = a.requests();
    all_by(proxy.addr(), "b").await;
    assert_eq!(a.requests(), served);
    a.answers(200, r#"{"state": "running"}"#);
    becomes(&proxy, a.addr(), "up").await;
    by_both(&proxy).await;
}

#[tokio::test]
async fn a_server_that_fails_its_first_check_is_out_at_once() {
    let [a, b] = two().await;
    a.answers(503, "");
    let proxy = before(&[&a, &b], OFTEN).await;
    assert_eq!(proxy.server(a.addr()).state, "out");
    all_by(proxy.addr(), "b").await;
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_gets_no_request_to_find_out() {
    let [mut a, b] = two().await;
    a.stop().await;
    let proxy = before(&[&a, &b], OFTEN).await;
    assert_eq!(goes_out(&proxy, a.addr()).await, "connection refused");
    all_by(proxy.addr(), "b").await;
    a.start_again();
    becomes(&proxy, a.addr(), "up").await;
    by_both(&proxy).await;
}

#[tokio::test]
async fn the_only_server_is_out_too_if_checks_say_so() {
    let a = App::start("a").await;
    let proxy = before(&[&a], AT_ONCE).await;
    all_by(proxy.addr(), "a").await;
    a.answers(503, "");
    goes_out(&proxy, a.addr()).await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.field("retry-after"), Some("1"));
    a.answers(200, "");
    becomes(&proxy, a.addr(), "up").await;
    all_by(proxy.addr(), "a").await;
}

#[tokio::test]
async fn a_server_that_is_down_is_not_checked() {
    let [a, b] = two().await;
    let servers = [a.backend.server_with("down = true"), b.backend.server()];
    let health = format!("health = {{ check = \"http\", path = \"/check\", {OFTEN} }}");
    let _proxy = Proxy::start(&app(&servers, &health)).await;
    wait::until("some checks of b", || b.checks() >= 5).await;
    assert_eq!(a.backend.connections(), 0);
}

#[tokio::test]
async fn a_server_that_drains_is_checked() {
    let [a, b] = two().await;
    let servers = [a.backend.server_with("drain = true"), b.backend.server()];
    let health = format!("health = {{ check = \"http\", path = \"/check\", {AT_ONCE} }}");
    let proxy = Proxy::start(&app(&servers, &health)).await;
    assert_eq!(proxy.server(a.addr()).state, "drain");
    a.answers(503, "");
    goes_out(&proxy, a.addr()).await;
}
