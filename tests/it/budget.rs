//! `retry.budget`: when many requests fail, trying each of them again is what finishes off the servers that are left.

use tokio::task::JoinSet;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, answers, closes_before_answer, ok};
use crate::support::client::Client;
use crate::support::proxy::{Proxy, app};

/// A server with this behaviour, one that works, and lbd before them, which asks each of them in turn first.
async fn before(failing: Behaviour, keys: &str) -> (Backend, Backend, Proxy) {
    let (failing, good) = (
        Backend::start(failing).await,
        Backend::start(ok("good")).await,
    );
    let servers = [failing.server(), good.server()];
    let proxy = Proxy::start(&app(&servers, keys)).await;
    (failing, good, proxy)
}

/// The statuses of so many GETs in a row.
async fn statuses(client: &mut Client, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(client.get("/").await.status);
    }
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}

const A_FIFTH: &str = "max_fails = 0\nretry = { budget = \"20%\" }";

#[tokio::test]
async fn of_few_requests_five_may_always_be_tried_again() {
    let (failing, good, proxy) = before(closes_before_answer(), A_FIFTH).await;
    let mut client = proxy.client().await;
    let first = statuses(&mut client, 10).await;
    assert_eq!(count(&first, 200), 10, "{first:?}");
    // Half of them began at the server that fails.
    assert_eq!((failing.requests(), good.requests()), (5, 10));
    let next = statuses(&mut client, 10).await;
    assert_eq!((count(&next, 200), count(&next, 502)), (5, 5), "{next:?}");
    assert_eq!((failing.requests(), good.requests()), (10, 15));
}

#[tokio::test]
async fn beyond_the_budget_failures_reach_clients() {
    const REQUESTS: usize = 200;
    let (failing, good, proxy) = before(closes_before_answer(), A_FIFTH).await;
    let statuses = statuses(&mut proxy.client().await, REQUESTS).await;
    let (served, failed) = (count(&statuses, 200), count(&statuses, 502));
    assert_eq!(served + failed, REQUESTS, "{statuses:?}");
    let retries = failing.requests() - failed;
    assert!((20..=45).contains(&retries), "{retries} retries");
    assert_eq!(failing.requests() + good.requests(), REQUESTS + retries);
    let firsts = REQUESTS / 2;
    assert_eq!(failing.requests(), firsts, "each has its turn all the same");
}

#[tokio::test]
async fn without_a_budget_all_are_answered() {
    let (failing, good, proxy) = before(closes_before_answer(), "max_fails = 0").await;
    let statuses = statuses(&mut proxy.client().await, 60).await;
    assert_eq!(count(&statuses, 200), 60, "{statuses:?}");
    assert_eq!((failing.requests(), good.requests()), (30, 60));
}

#[tokio::test]
async fn a_whole_budget_is_no_limit() {
    let keys = "max_fails = 0\nretry = { budget = \"100%\" }";
    let (_failing, _good, proxy) = before(closes_before_answer(), keys).await;
    let statuses = statuses(&mut proxy.client().await, 60).await;
    assert_eq!(count(&statuses, 200), 60, "{statuses:?}");
}

#[tokio::test]
async fn a_server_that_is_out_costs_nothing() {
    let keys = "max_fails = 3\nfail_timeout = \"60s\"\nretry = { budget = \"5%\" }";
    let (failing, _good, proxy) = before(closes_before_answer(), keys).await;
    let statuses = statuses(&mut proxy.client().await, 60).await;
    assert_eq!(count(&statuses, 200), 60, "{statuses:?}");
    assert_eq!(failing.requests(), 3);
}

#[tokio::test]
async fn connections_that_are_refused_count_too() {
    let (dead, good) = (Backend::refuses(), Backend::start(ok("good")).await);
    let servers = [dead.server(), good.server()];
    let proxy = Proxy::start(&app(&servers, A_FIFTH)).await;
    let mut client = proxy.client().await;
    assert_eq!(count(&statuses(&mut client, 10).await, 200), 10);
    assert_eq!(count(&statuses(&mut client, 10).await, 502), 5);
}

#[tokio::test]
async fn an_answer_that_may_not_be_improved_on_passes_through() {
    let keys = "max_fails = 0\nretry = { on = [\"http_503\"], memory = \"0s\", budget = \"20%\" }";
    let (_failing, good, proxy) = before(answers(503, "my own page"), keys).await;
    let mut client = proxy.client().await;
    assert_eq!(count(&statuses(&mut client, 10).await, 200), 10);
    let mut pages = Vec::new();
    for _ in 0..10 {
        pages.push(client.get("/").await.text());
    }
    let own = pages.iter().filter(|page| *page == "my own page").count();
    assert_eq!((own, good.requests()), (5, 15), "{pages:?}");
}

#[tokio::test]
async fn requests_that_fail_for_good_spend_nothing() {
    let (failing, good, proxy) = before(closes_before_answer(), A_FIFTH).await;
    let mut client = proxy.client().await;
    // What was sent of them may have been done.
    for _ in 0..10 {
        client.request("POST", "/", &[], b"x").await;
    }
    assert_eq!((failing.requests(), good.requests()), (5, 5));
    let gets = statuses(&mut client, 10).await;
    assert_eq!(count(&gets, 200), 10, "{gets:?}");
}

#[tokio::test]
async fn a_request_that_waits_in_line_is_one_request() {
    const CLIENTS: usize = 20;
    const EACH: usize = 20;
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("good")).await,
    );
    let servers = [&failing, &good].map(|server| server.server_with("max_conns = 1"));
    let keys = format!("queue = {{ size = 100, timeout = \"60s\" }}\n{A_FIFTH}");
    let proxy = Proxy::start(&app(&servers, &keys)).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = proxy.client().await;
        clients.spawn(async move { statuses(&mut client, EACH).await });
    }
    let statuses = clients.join_all().await.concat();
    let failed = CLIENTS * EACH - count(&statuses, 200);
    let retries = failing.requests() - failed;
    assert!(retries <= 90, "{retries} of 400 were tried again");
}
