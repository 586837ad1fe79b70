//! Finding the route: for the last of few and of many prefixes, for hosts, and in vain.

use divan::{Bencher, black_box};
use lbd::{
    config::{HostMatch, PathMatch},
    http::bench::{Found, Router},
};

const COUNTS: [usize; 3] = [10, 1_000, 10_000];

fn prefix(path: String) -> PathMatch {
    PathMatch::Prefix {
        path,
        is_final: false,
    }
}

/// `/app_0/part/`, `/app_1/part/` and so on, for every host.
fn by_path(count: usize) -> Router<usize> {
    let mut router = Router::new();
    for index in 0..count {
        router.add(&prefix(format!("/app_{index}/part/")), [].iter(), &index);
    }
    router
}

#[divan::bench(args = COUNTS)]
fn the_last_path(bencher: Bencher<'_, '_>, count: usize) {
    let router = by_path(count);
    let path = format!("/app_{}/part/of/it", count - 1);
    assert_eq!(
        router.find(b"h", path.as_bytes()),
        Some(Found::Route(&(count - 1)))
    );
    bencher.bench_local(|| router.find(b"h", black_box(path.as_bytes())).is_some());
}

#[divan::bench(args = COUNTS)]
fn no_path(bencher: Bencher<'_, '_>, count: usize) {
    let router = by_path(count);
    assert_eq!(router.find(b"h", b"/app/part/of/it"), None);
    bencher.bench_local(|| router.find(b"h", black_box(b"/app/part/of/it")).is_some());
}

#[divan::bench(args = COUNTS)]
fn the_last_host(bencher: Bencher<'_, '_>, count: usize) {
    let mut router = Router::new();
    for index in 0..count {
        let host = HostMatch::Exact(format!("app-{index}.example.com"));
        router.add(&prefix("/".to_owned()), [host].iter(), &index);
    }
    let host = format!("app-{}.example.com", count - 1);
    assert_eq!(
        router.find(host.as_bytes(), b"/"),
        Some(Found::Route(&(count - 1)))
    );
    bencher.bench_local(|| router.find(black_box(host.as_bytes()), b"/").is_some());
}
