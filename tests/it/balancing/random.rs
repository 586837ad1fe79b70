//! By lot, of two: the one with less to do, or the one that answers sooner.

use crate::support::backend::Backend;
use crate::support::behaviour::{Gate, closes_before_answer, gated, ok};
use crate::support::client::get;
use crate::support::proxy::{Proxy, app};
use crate::support::wait;

use super::{sequence, three};

/// Both methods.
const BOTH: [&str; 2] = ["balance = \"random\"", "balance = \"ewma\""];

#[tokio::test]
async fn every_server_is_drawn_and_a_dead_one_once() {
    for method in BOTH {
        let [a, b, c] = three().await;
        let dead = Backend::start(closes_before_answer()).await;
        let servers = [a.server(), b.server(), dead.server(), c.server()];
        let keys = format!("{method}\nfail_timeout = \"60s\"");
        let proxy = Proxy::start(&app(&servers, &keys)).await;
        let names = sequence(&proxy, 120).await;
        assert_eq!(names.len(), 120, "each was answered: {names}");
        for name in ["a", "b", "c"] {
            assert!(names.contains(name), "{method}: {names}");
        }
        assert_eq!(dead.requests(), 1, "{method}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_never_drawn() {
    for method in BOTH {
        let [a, b, c] = three().await;
        let servers = [a.server(), b.server_with("down = true"), c.server()];
        let proxy = Proxy::start(&app(&servers, method)).await;
        sequence(&proxy, 60).await;
        assert_eq!(b.connections(), 0, "{method}");
    }
}

#[tokio::test]
async fn a_backup_is_drawn_only_while_no_other_server_can_serve() {
    for method in BOTH {
        let [mut a, b, _] = three().await;
        let servers = [a.server(), b.server_with("backup = true")];
        let proxy = Proxy::start(&app(&servers, method)).await;
        assert_eq!(sequence(&proxy, 5).await, "aaaaa", "{method}");
        a.stop().await;
        assert_eq!(sequence(&proxy, 5).await, "bbbbb", "{method}");
    }
}

#[tokio::test]
async fn heavy_servers_are_drawn_more_often() {
    let [a, b, _] = three().await;
    let servers = [a.server_with("weight = 9"), b.server()];
    let proxy = Proxy::start(&app(&servers, "balance = \"random\"")).await;
    let names = sequence(&proxy, 300).await;
    let heavy = names.chars().filter(|name| *name == 'a').count();
    // 270 are expected, give or take 5.
    assert!((230..=297).contains(&heavy), "{heavy}");
}

#[tokio::test]
async fn of_two_the_one_that_holds_a_request_is_passed_over() {
    for method in BOTH {
        let gate = Gate::closed();
        let (slow, free) = (
            Backend::start(gated(&gate, "s")).await,
            Backend::start(ok("f")).await,
        );
        let mut proxy = Proxy::start(&app(&[slow.server()], method)).await;
        let mut held = proxy.raw().await;
        held.send(get("/")).await;
        wait::until("the slow server has it", || slow.requests() == 1).await;
        let both = app(&[slow.server(), free.server()], method);
        proxy.reload(&both).await;
        assert_eq!(sequence(&proxy, 20).await, "f".repeat(20), "{method}");
        gate.open();
        assert_eq!(held.response().await.text(), "s");
    }
}

// === ewma ===

#[tokio::test]
async fn each_server_is_tried_before_any_is_preferred() {
    let [a, b, _] = three().await;
    let proxy = Proxy::start(&app(&[a.server(), b.server()], BOTH[1])).await;
    sequence(&proxy, 2).await;
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn to_fail_fast_is_not_to_be_fast() {
    let (failing, good) = (
        Backend::start(closes_before_answer()).await,
        Backend::start(ok("g")).await,
    );
    // It is never taken out.
    let servers = [failing.server_with("max_fails = 0"), good.server()];
    let proxy = Proxy::start(&app(&servers, BOTH[1])).await;
    assert_eq!(sequence(&proxy, 30).await, "g".repeat(30));
    assert_eq!(failing.requests(), 1);
}
