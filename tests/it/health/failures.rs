//! Servers that fail for users: where checks are, it is they who say when a server is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::{AT_ONCE, all_by, becomes, by_both, is_check, response};
use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, ok};
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

/// A server `a` that answers checks as it should, and users only while it works.
struct Moody {
    backend: Backend,
    works: Arc<AtomicBool>,
}

impl Moody {
    async fn start() -> Self {
        let works = Arc::new(AtomicBool::new(false));
        let is_working = Arc::clone(&works);
        let behaviour = Behaviour::new(move |mut peer| {
            let is_working = Arc::clone(&is_working);
            async move {
                loop {
                    let request = peer.request().await?;
                    if !is_check(&request) && !is_working.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    peer.send(response(200, "a")).await?;
                }
            }
        });
        Self {
            backend: Backend::start(behaviour).await,
            works,
        }
    }

    fn works(&self) {
        self.works.store(true, Ordering::Relaxed);
    }

    fn checks(&self) -> usize {
        let seen = self.backend.seen();
        seen.iter().filter(|request| is_check(request)).count()
    }

    /// How many requests of users came.
    fn requests(&self) -> usize {
        self.backend.requests() - self.checks()
    }
}

/// The text for it and a server that says "b", with these further keys of `health` and of the pool.
fn both(a: &Moody, b: &Backend, health: &str, keys: &str) -> String {
    let servers = [a.backend.server(), b.server()];
    let health = format!("health = {{ check = \"http\", path = \"/check\", {health} }}");
    app(&servers, &format!("{health}\n{keys}"))
}

/// The two, and lbd before them.
async fn before(health: &str, keys: &str) -> (Moody, Backend, Proxy) {
    let (a, b) = (Moody::start().await, Backend::start(ok("b")).await);
    let proxy = Proxy::start(&both(&a, &b, health, keys)).await;
    (a, b, proxy)
}

const FOR_EVER: &str = "max_fails = 1\nfail_timeout = \"1h\"";
/// Longer than it takes to mend the server.
const FOR_A_WHILE: &str = "max_fails = 1\nfail_timeout = \"500ms\"";
const NOT_FOR_LONG: &str = "max_fails = 1\nfail_timeout = \"50ms\"";

/// Good checks do not bring a server back in the time of a test.
const PATIENT: &str = "interval = \"20ms\", timeout = \"2s\", rise = 1000";

/// One of the two requests meets a first.
async fn fails_once(proxy: &Proxy) {
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
}

#[tokio::test]
async fn a_server_that_failed_for_users_is_out_though_checks_are_good() {
    let (a, _b, proxy) = before(PATIENT, FOR_EVER).await;
    all_by(proxy.addr(), "b").await;
    assert_eq!(a.requests(), 1);
    let server = proxy.server(a.backend.addr());
    assert_eq!(
        (server.state.as_str(), server.reason.as_deref()),
        ("out", Some("closed before answering"))
    );
    assert_eq!(server.probe_in_seconds, None, "no request probes it");
}

#[tokio::test]
async fn it_comes_back_by_checks_and_no_user_has_to_find_out() {
    let often = "interval = \"20ms\", timeout = \"2s\", rise = 3";
    let (a, _b, proxy) = before(often, FOR_A_WHILE).await;
    fails_once(&proxy).await;
    a.works();
    becomes(&proxy, a.backend.addr(), "up").await;
    assert_eq!(a.requests(), 1);
    by_both(&proxy).await;
}

#[tokio::test]
async fn no_request_probes_it_after_fail_timeout() {
    let (a, _b, proxy) = before(PATIENT, NOT_FOR_LONG).await;
    all_by(proxy.addr(), "b").await;
    let checks = a.checks();
    // Each at least 100 ms after the one before.
    wait::until("fail_timeout has passed", || a.checks() > checks + 2).await;
    all_by(proxy.addr(), "b").await;
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn it_is_checked_at_once_and_at_the_fast_pace() {
    let seldom = "interval = \"1h\", fast = \"20ms\", timeout = \"2s\", rise = 3";
    let (a, _b, proxy) = before(seldom, FOR_A_WHILE).await;
    fails_once(&proxy).await;
    a.works();
    becomes(&proxy, a.backend.addr(), "up").await;
    by_both(&proxy).await;
}

#[tokio::test]
async fn many_failures_do_not_make_many_checks() {
    let seldom = "interval = \"1h\", fast = \"20ms\", timeout = \"2s\"";
    let (a, _b, proxy) = before(seldom, "max_fails = 0").await;
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    assert!(a.requests() > 10, "{}", a.requests());
    let most = began.elapsed().as_millis() as usize / 100 + 2;
    assert!(a.checks() <= most, "{} checks, not {most}", a.checks());
}

#[tokio::test]
async fn a_reload_has_it_checked_and_used_again() {
    let (a, b, mut proxy) = before(PATIENT, FOR_EVER).await;
    all_by(proxy.addr(), "b").await;
    a.works();
    proxy.reload(&both(&a, &b, PATIENT, FOR_EVER)).await;
    // One good check is enough.
    becomes(&proxy, a.backend.addr(), "up").await;
    by_both(&proxy).await;
}

#[tokio::test]
async fn the_only_server_is_not_out_by_what_requests_say() {
    let a = Moody::start().await;
    let health = format!("health = {{ check = \"http\", path = \"/check\", {AT_ONCE} }}");
    let keys = format!("{health}\n{FOR_EVER}");
    let proxy = Proxy::start(&app(&[a.backend.server()], &keys)).await;
    for requests in 1..=4 {
        assert_eq!(proxy.get("/").await.status, 502);
        assert_eq!(a.requests(), requests);
    }
}
