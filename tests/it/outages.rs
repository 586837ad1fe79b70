//! Servers that are out: how many may be, who stands in for them, and for how long.

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, closes_before_answer, ok};
use crate::support::proxy::{Proxy, app};
use crate::support::raw::Response;
use crate::support::wait;

/// Who fails once is out for longer than a test.
const ONCE: &str = "max_fails = 1\nfail_timeout = \"1h\"";

/// Two servers that break every request off, a backup, and lbd before them with these keys of the pool.
async fn breaking(keys: &str) -> ([Backend; 2], Backend, Proxy) {
    let primaries = [
        Backend::start(closes_before_answer()).await,
        Backend::start(closes_before_answer()).await,
    ];
    let backup = Backend::start(ok("backup")).await;
    let servers = [
        primaries[0].server(),
        primaries[1].server(),
        backup.server_with("backup = true"),
    ];
    let proxy = Proxy::start(&app(&servers, keys)).await;
    (primaries, backup, proxy)
}

/// Who answers so many requests with this method, none of which fails.
async fn all_by_backup(proxy: &Proxy, method: &str) {
    for _ in 0..6 {
        let answer = proxy.request(method, "/", &[], b"").await;
        assert_eq!(said(&answer), (200, "backup".to_owned()), "{method}");
    }
}

fn said(answer: &Response) -> (u16, String) {
    (answer.status, answer.text())
}

/// The state of each of these, and the reason.
fn states(proxy: &Proxy, servers: &[Backend]) -> Vec<(String, String)> {
    let state = |backend: &Backend| {
        let server = proxy.server(backend.addr());
        (server.state, server.reason.unwrap_or_default())
    };
    servers.iter().map(state).collect()
}

// === max_out and backups ===

#[tokio::test]
async fn when_all_primaries_are_out_the_backup_answers_whatever_max_out_says() {
    let (primaries, backup, proxy) = breaking(&format!("{ONCE}\nmax_out = \"50%\"")).await;
    // It may be repeated, and so takes both out.
    assert_eq!(said(&proxy.get("/").await), (200, "backup".to_owned()));
    for (state, reason) in states(&proxy, &primaries) {
        assert_eq!(state, "out", "{reason}");
        assert!(!reason.contains("used all the same"), "{reason}");
    }
    // These may not be.
    for method in ["POST", "GET", "PATCH"] {
        all_by_backup(&proxy, method).await;
    }
    assert_eq!(primaries.map(|server| server.requests()), [1, 1]);
    assert_eq!(backup.requests(), 19);
}

#[tokio::test]
async fn so_it_does_when_checks_have_taken_them_out() {
    let primaries = [Backend::refuses(), Backend::refuses()];
    let (backup, good) = (Backend::start(ok("backup")).await, "check = \"tcp\"");
    let servers = [
        primaries[0].server(),
        primaries[1].server(),
        backup.server_with("backup = true"),
    ];
    let keys = format!("health = {{ {good}, interval = \"20ms\" }}\nmax_out = \"50%\"");
    let mut proxy = Proxy::start(&app(&servers, &keys)).await;
    for method in ["GET", "POST"] {
        all_by_backup(&proxy, method).await;
    }
    proxy.reload(&app(&servers, &keys)).await;
    all_by_backup(&proxy, "POST").await;
    for (state, reason) in states(&proxy, &primaries) {
        assert_eq!((&*state, &*reason), ("out", "connection refused"));
    }
}

#[tokio::test]
async fn without_a_backup_that_is_well_primaries_are_used_all_the_same() {
    let (primaries, mut backup, proxy) = breaking(&format!("{ONCE}\nmax_out = \"50%\"")).await;
    backup.stop().await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.status, 502);
    }
    let asked = primaries.map(|server| server.requests());
    assert!(asked.iter().all(|requests| *requests > 1), "{asked:?}");
}

// === a part of few ===

#[tokio::test]
async fn of_three_servers_one_may_be_out_though_it_is_more_than_max_out() {
    let servers = [
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("b")).await,
        Backend::start(ok("c")).await,
    ];
    let keys = format!("{ONCE}\nmax_out = \"30%\"");
    let texts = servers.each_ref().map(Backend::server);
    let proxy = Proxy::start(&app(&texts, &keys)).await;
    let mut names = String::new();
    for _ in 0..12 {
        names += &proxy.get("/").await.text();
    }
    assert_eq!(servers[0].requests(), 1, "{names}");
    let (state, reason) = states(&proxy, &servers).remove(0);
    assert_eq!((&*state, &*reason), ("out", "closed before answering"));
}

#[tokio::test]
async fn and_only_one() {
    let servers = [
        Backend::start(closes_before_answer()).await,
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("c")).await,
    ];
    let keys = format!("{ONCE}\nmax_out = \"30%\"");
    let texts = servers.each_ref().map(Backend::server);
    let proxy = Proxy::start(&app(&texts, &keys)).await;
    for _ in 0..12 {
        assert_eq!(proxy.get("/").await.text(), "c");
    }
    let mut asked = servers.map(|server| server.requests());
    asked.sort_unstable();
    assert_eq!(asked[0], 1, "{asked:?}");
    assert!(asked[1] > 1, "{asked:?}");
}

// === checks and fail_timeout ===

/// Passes checks, which ask for this, and breaks off all else.
const CHECK: &str = "/check";

fn well_by_its_own_account() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        while peer.request().await?.target() == CHECK {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
        }
        Ok(())
    })
}

/// How many checks came, and how many requests of users.
fn came(backend: &Backend) -> (usize, usize) {
    let seen = backend.seen();
    let checks = seen.iter().filter(|seen| seen.target() == CHECK).count();
    (checks, seen.len() - checks)
}

/// Such a server, another that works, and lbd that checks them, and takes one that fails out for so long.
async fn checked(fail_timeout: &str) -> (Backend, Backend, Proxy) {
    let (a, b) = (
        Backend::start(well_by_its_own_account()).await,
        Backend::start(ok("b")).await,
    );
    let keys = format!(
        "health = {{ check = \"http\", path = \"{CHECK}\", interval = \"20ms\", rise = 1 }}\n\
         max_fails = 1\nfail_timeout = \"{fail_timeout}\""
    );
    let proxy = Proxy::start(&app(&[a.server(), b.server()], &keys)).await;
    // One of the two meets it.
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    (a, b, proxy)
}

#[tokio::test]
async fn good_checks_do_not_bring_a_server_back_before_fail_timeout() {
    let (a, _b, proxy) = checked("1h").await;
    let (checks, _) = came(&a);
    for more in 1..=4 {
        wait::until("it is checked", || came(&a).0 >= checks + more).await;
        assert_eq!(proxy.server(a.addr()).state, "out");
        assert_eq!(proxy.get("/").await.text(), "b");
    }
    assert_eq!(came(&a).1, 1);
}

#[tokio::test]
async fn after_fail_timeout_a_good_check_is_enough() {
    let (a, _b, proxy) = checked("300ms").await;
    wait::until("it is up", || proxy.server(a.addr()).state == "up").await;
    wait::until_async("it is asked again", async || {
        proxy.get("/").await.text() == "b" && came(&a).1 == 2
    })
    .await;
}
