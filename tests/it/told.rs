//! What operators are told of what happens, over reloads, too: what was told to begin is told to end.

use lbd::telemetry::EventKind;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::proxy::{Proxy, app};

/// What of these kinds was told, in its order.
fn told(proxy: &Proxy, kinds: &[EventKind]) -> Vec<EventKind> {
    let (events, _) = proxy.events().since(0, usize::MAX);
    let all = events.into_iter().map(|event| event.kind);
    all.filter(|kind| kinds.contains(kind)).collect()
}

const LIGHT: [EventKind; 2] = [EventKind::PoolDark, EventKind::PoolLit];
const OUT: [EventKind; 2] = [EventKind::ServerOut, EventKind::ServerBack];

/// lbd before two servers that are not there, both of which it has found out.
async fn in_the_dark() -> (Backend, Backend, Proxy) {
    let (a, b) = (Backend::refuses(), Backend::refuses());
    let proxy = Proxy::start(&both(&a, &b, "")).await;
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.status, 502);
    }
    (a, b, proxy)
}

fn both(a: &Backend, b: &Backend, keys: &str) -> String {
    let keys = format!("max_fails = 1\nfail_timeout = \"1h\"\n{keys}");
    app(&[a.server(), b.server()], &keys)
}

#[tokio::test]
async fn a_reload_that_finds_everything_mended_ends_what_was_told() {
    let (mut a, b, mut proxy) = in_the_dark().await;
    assert_eq!(told(&proxy, &LIGHT), [EventKind::PoolDark]);
    assert_eq!(told(&proxy, &OUT), [EventKind::ServerOut; 2]);
    a.start_as(ok("a"));
    proxy.reload(&both(&a, &b, "")).await;
    // Once, however many requests come.
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.text(), "a");
    }
    assert_eq!(told(&proxy, &LIGHT), LIGHT);
    let back = told(&proxy, &[EventKind::ServerBack]);
    assert_eq!(back.len(), 2);
}

#[tokio::test]
async fn a_reload_that_changes_nothing_does_not_tell_twice_that_a_pool_is_dark() {
    let (a, b, mut proxy) = in_the_dark().await;
    proxy.reload(&both(&a, &b, "max_out = \"99%\"")).await;
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.status, 502);
    }
    assert_eq!(told(&proxy, &LIGHT), [EventKind::PoolDark]);
}
