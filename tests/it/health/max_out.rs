//! `max_out`: when too many servers are out, it is not they who are wrong.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use lbd::config::{self, SourceFile};
use lbd::upstream::{Failure, FailureKind, Lease, PickContext, Pool, Resolver};
use tokio::time::Instant;

use super::{AT_ONCE, App, becomes, checked};
use crate::support::proxy::Proxy;
use crate::support::wait;

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// As many apps.
async fn apps(count: usize) -> Vec<App> {
    let mut apps = Vec::new();
    for name in &NAMES[..count] {
        apps.push(App::start(name).await);
    }
    apps
}

/// lbd before them, of whom never more than this are out.
async fn before(apps: &[App], max_out: &str) -> Proxy {
    let apps: Vec<_> = apps.iter().collect();
    let keys = format!("max_out = \"{max_out}\"");
    Proxy::start(&checked(&apps, AT_ONCE, &keys)).await
}

/// Who answers.
async fn used(proxy: &Proxy) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut client = proxy.client().await;
    for _ in 0..50 {
        names.insert(client.get("/").await.text());
    }
    names
}

/// Those that fail checks, as an operator is told: all of them, and those that are used all the same.
fn out(proxy: &Proxy) -> (usize, usize) {
    let servers = proxy.pool().servers.into_iter();
    let reasons: Vec<_> = servers
        .filter(|server| server.state == "out")
        .filter_map(|server| server.reason)
        .collect();
    let spared = reasons
        .iter()
        .filter(|reason| reason.ends_with("; used all the same (max_out)"));
    (reasons.len(), spared.count())
}

#[tokio::test]
async fn half_of_ten_are_out_though_six_fail() {
    let apps = apps(10).await;
    for app in &apps[..6] {
        app.answers(503, "");
    }
    let proxy = before(&apps, "50%").await;
    assert_eq!(out(&proxy), (6, 1));
    let used = used(&proxy).await;
    assert_eq!(used.len(), 5, "{used:?}");
    for well in &NAMES[6..] {
        assert!(used.contains(*well), "{used:?}");
    }
}

#[tokio::test]
async fn those_that_failed_first_are_out() {
    let apps = apps(4).await;
    let proxy = before(&apps, "50%").await;
    for app in &apps[..3] {
        app.answers(503, "");
        becomes(&proxy, app.addr(), "out").await;
    }
    assert_eq!(out(&proxy), (3, 1));
    let names = used(&proxy).await;
    assert_eq!(names.into_iter().collect::<String>(), "cd");
    // One that is back makes room for one that fails.
    apps[0].answers(200, "");
    becomes(&proxy, apps[0].addr(), "up").await;
    let names = used(&proxy).await;
    assert_eq!(names.into_iter().collect::<String>(), "ad");
}

#[tokio::test]
async fn all_are_used_if_all_fail() {
    let apps = apps(10).await;
    for app in &apps {
        app.answers(503, "");
    }
    let proxy = before(&apps, "50%").await;
    assert_eq!(out(&proxy), (10, 10));
    assert_eq!(used(&proxy).await.len(), 10);
    // As soon as one is well there is somebody to rely on.
    apps[0].answers(200, "");
    becomes(&proxy, apps[0].addr(), "up").await;
    assert_eq!(used(&proxy).await.len(), 5);
}

#[tokio::test]
async fn the_number_is_rounded_down() {
    let apps = apps(3).await;
    for app in &apps[..2] {
        app.answers(503, "");
    }
    let proxy = before(&apps, "50%").await;
    assert_eq!(out(&proxy), (2, 1));
    assert_eq!(used(&proxy).await.len(), 2);
    let proxy = before(&apps, "100%").await;
    assert_eq!(used(&proxy).await.len(), 1);
}

#[tokio::test]
async fn without_it_all_may_be_out() {
    let apps = apps(2).await;
    for app in &apps {
        app.answers(503, "");
    }
    let refs: Vec<_> = apps.iter().collect();
    let proxy = Proxy::start(&checked(&refs, AT_ONCE, "")).await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn the_only_server_is_used_whatever_checks_say() {
    let apps = apps(1).await;
    apps[0].answers(503, "");
    let proxy = before(&apps, "50%").await;
    assert_eq!(used(&proxy).await.len(), 1);
    wait::until("some checks", || apps[0].checks() >= 3).await;
    assert_eq!(out(&proxy), (1, 1));
}

#[tokio::test]
async fn it_holds_over_a_reload() {
    let apps = apps(4).await;
    for app in &apps[..3] {
        app.answers(503, "");
    }
    let refs: Vec<_> = apps.iter().collect();
    let text = checked(&refs, AT_ONCE, "max_out = \"50%\"");
    let mut proxy = Proxy::start(&text).await;
    let before = used(&proxy).await;
    assert_eq!(before.len(), 2);
    proxy.reload(&text).await;
    assert_eq!(used(&proxy).await, before);
    proxy.reload(&checked(&refs, AT_ONCE, "")).await;
    assert_eq!(used(&proxy).await.len(), 1);
    proxy
        .reload(&checked(&refs, AT_ONCE, "max_out = \"25%\""))
        .await;
    assert_eq!(used(&proxy).await.len(), 3);
}

// === a hundred servers ===

/// A hundred servers, none of which is there.
fn hundred(max_out: &str) -> Pool {
    let servers: Vec<_> = (1..=100).map(|i| format!("\"10.0.0.{i}:80\"")).collect();
    let text = format!(
        "[[listeners]]\nbind = \"127.0.0.1:8100\"\n[[routes]]\npath = \"/\"\npool = \"p\"\n\
         [pools.p]\nservers = [{}]\nmax_fails = 1\nfail_timeout = \"1h\"\nmax_out = \"{max_out}\"\n",
        servers.join(", ")
    );
    let loaded = match config::load(&SourceFile::new("lb.toml", text)) {
        Ok(loaded) => loaded,
        Err(report) => panic!("{report}"),
    };
    let pool = Pool::new(
        loaded.config.pools[0].clone(),
        &Resolver::default(),
        &lbd::telemetry::Events::default(),
        None,
    );
    let pool = pool.expect("a pool without TLS");
    pool.begin();
    pool
}

fn pick(pool: &Pool, now: Instant) -> Lease {
    let picked = pool.pick(&PickContext {
        now,
        client: IpAddr::from([192, 168, 7, 9]),
        hash_key: b"",
        session: None,
        tried: &[],
        avoided: &[],
    });
    picked.expect("somebody is used")
}

/// Those that get requests, after all of the first `failing` have failed one.
fn left(pool: &Pool, failing: u8) -> BTreeSet<SocketAddr> {
    const REQUESTS: usize = 5_000;
    let now = Instant::now();
    let died = Failure {
        kind: FailureKind::Error,
        sent: true,
        reason: "closed before answering",
    };
    let mut failed = BTreeSet::new();
    let requests = (0..REQUESTS).map(|_| pick(pool, now));
    for mut lease in requests {
        let addr = lease.peer().address();
        match addr.ip() {
            IpAddr::V4(ip) if ip.octets()[3] <= failing => {
                lease.failed(now, &died);
                failed.insert(addr);
            }
            _ => lease.succeeded(now),
        }
    }
    assert_eq!(failed.len(), usize::from(failing), "each had a request");
    let requests = (0..REQUESTS).map(|_| pick(pool, now));
    requests.map(|lease| lease.peer().address()).collect()
}

#[test]
fn half_of_a_hundred_are_out_though_sixty_fail() {
    assert_eq!(left(&hundred("50%"), 60).len(), 50);
}

#[test]
fn less_than_half_are_all_out() {
    assert_eq!(left(&hundred("50%"), 49).len(), 51);
}

#[test]
fn of_a_hundred_that_fail_all_are_used() {
    assert_eq!(left(&hundred("50%"), 100).len(), 100);
}

#[test]
fn one_per_cent_of_a_hundred_is_one() {
    assert_eq!(left(&hundred("1%"), 60).len(), 99);
}
