//! Clients stay bound whatever their servers say of lbd's cookie, and though there is no room for a moment.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lbd::config::{self, SourceFile};
use lbd::upstream::{Lease, PickContext, Pool, Resolver};
use tokio::time::Instant;

use crate::support::backend::Backend;
use crate::support::behaviour::raw;
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Response;

const BY_COOKIE: &str = "sticky = { cookie = \"lb\" }";

/// A 200 with this body that sets these cookies.
fn sets(cookies: &[&str], body: &str) -> String {
    let lines: String = cookies
        .iter()
        .map(|cookie| format!("Set-Cookie: {cookie}\r\n"))
        .collect();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}

/// What servers say that know lbd's cookie by name: they take it away, give another, and set some of their own.
const MEDDLING: [&str; 6] = [
    "lb=; Path=/; Max-Age=0",
    "theme=dark; Path=/",
    "lb=evil",
    "lbx=1; Secure",
    " lb =x; Path=/",
    "lb",
];

/// Those that are no business of lbd's.
const OTHERS: [&str; 2] = ["theme=dark; Path=/", "lbx=1; Secure"];

/// Two servers that meddle, and say a and b, and lbd before them.
async fn meddling() -> ([Backend; 2], Proxy) {
    let servers = [
        Backend::start(raw(sets(&MEDDLING, "a"))).await,
        Backend::start(raw(sets(&MEDDLING, "b"))).await,
    ];
    let pool = app(&servers.each_ref().map(Backend::server), BY_COOKIE);
    let proxy = Proxy::start(&pool).await;
    (servers, proxy)
}

/// The answer to a client with these cookies.
async fn ask(proxy: &Proxy, cookies: &str) -> Response {
    let mut client = proxy.client().await.allowing("set-cookie");
    client
        .request("GET", "/", &[("Cookie", cookies)], b"")
        .await
}

/// Who answers a client without a cookie, and the one of lbd's that it gets, which is the only one of that name.
async fn bound(proxy: &Proxy) -> (String, String) {
    let answer = ask(proxy, "x=1").await;
    let cookies = answer.fields.all("set-cookie");
    let own: Vec<_> = cookies.iter().filter(|c| c.starts_with("lb=")).collect();
    let [own] = own[..] else {
        panic!("not one of lbd's in {cookies:?}");
    };
    let pair = own.split(';').next().unwrap_or_default();
    assert_eq!(pair.len(), "lb=".len() + 32, "{own}");
    (answer.text(), pair.to_owned())
}

// === servers that set lbd's cookie ===

#[tokio::test]
async fn a_new_client_gets_lbd_s_cookie_and_no_other_of_its_name() {
    let (_servers, proxy) = meddling().await;
    for _ in 0..2 {
        let answer = ask(&proxy, "x=1").await;
        let cookies = answer.fields.all("set-cookie");
        let (own, others): (Vec<_>, Vec<_>) =
            cookies.into_iter().partition(|c| c.starts_with("lb="));
        assert_eq!(others, OTHERS);
        assert_eq!(own.len(), 1, "{own:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_bound_hears_nothing_of_it_and_stays() {
    let (_servers, proxy) = meddling().await;
    for _ in 0..2 {
        let (name, cookie) = bound(&proxy).await;
        for _ in 0..3 {
            let answer = ask(&proxy, &cookie).await;
            assert_eq!(answer.text(), name);
            assert_eq!(answer.fields.all("set-cookie"), OTHERS);
        }
    }
}

#[tokio::test]
async fn a_pool_without_that_cookie_lets_it_pass() {
    let a = Backend::start(raw(sets(&["lb=1", "theme=dark"], "a"))).await;
    let proxy = Proxy::start(&app(&[a.server()], "")).await;
    let answer = ask(&proxy, "x=1").await;
    assert_eq!(answer.fields.all("set-cookie"), ["lb=1", "theme=dark"]);
}

// === servers that are full ===

/// A pool that binds clients, whose first server has room for one request.
fn narrow() -> Pool {
    let text = "[[listeners]]\nbind = \"127.0.0.1:8100\"\n[[routes]]\npath = \"/\"\npool = \"p\"\n[pools.p]\n\
         servers = [{ address = \"10.0.0.1:80\", max_conns = 1 }, \"10.0.0.2:80\"]\n";
    let loaded = config::load(&SourceFile::new("lb.toml", format!("{text}{BY_COOKIE}\n")));
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
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

/// Whoever gets a request of a client that shows this value of its cookie.
fn pick(pool: &Pool, session: Option<&[u8]>) -> Lease {
    let picked = pool.pick(&PickContext {
        now: Instant::now(),
        client: IpAddr::from([192, 168, 7, 9]),
        hash_key: b"",
        session,
        tried: &[],
        avoided: &[],
    });
    picked.expect("somebody has room")
}

#[test]
fn of_many_requests_at_once_none_loses_its_binding_for_lack_of_room() {
    const THREADS: usize = 4;
    const EACH: usize = 20_000;
    let pool = narrow();
    let first = pick(&pool, None);
    let (own, cookie) = (first.peer().address(), first.cookie(false));
    let cookie = cookie.expect("a new client is bound");
    let value = cookie.strip_prefix(b"lb=").expect("its name");
    let value = value.split(|byte| *byte == b';').next().unwrap_or_default();
    drop(first);
    let by_own = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    // At least one of the two finds no room.
                    let leases = [pick(&pool, Some(value)), pick(&pool, Some(value))];
                    let are_told = leases.each_ref().map(|lease| lease.cookie(false).is_some());
                    assert_eq!(are_told, [false; 2], "somebody is bound anew");
                    let own = leases.iter().filter(|lease| lease.peer().address() == own);
                    by_own.fetch_add(own.count(), Ordering::Relaxed);
                }
            });
        }
    });
    let by_own = by_own.into_inner();
    assert!((1..=THREADS * EACH).contains(&by_own), "{by_own}");
}
