//! Choosing a peer and giving it back: in pools of few and of many, by one worker and by two at once.

use std::{fmt::Write as _, net::IpAddr};

use divan::Bencher;
use lbd::upstream::{PickContext, Pool, Resolver};
use tokio::time::Instant;

use crate::loaded;

const COUNTS: [usize; 3] = [2, 100, 1_000];
const WORKERS: [usize; 2] = [1, 2];

/// A pool of `count` servers with these keys.
fn pool(count: usize, keys: &str) -> Pool {
    let mut servers = String::new();
    for index in 0..count {
        let (high, low) = (index / 250, index % 250 + 1);
        let _ = write!(servers, "\"10.0.{high}.{low}:80\", ");
    }
    let config = loaded(&format!(
        "[[listeners]]\nbind = \"127.0.0.1:8100\"\n\
         [[routes]]\npath = \"/\"\npool = \"p\"\n\
         [pools.p]\nservers = [{servers}]\n{keys}"
    ));
    let pool = Pool::new(
        config.pools[0].clone(),
        &Resolver::default(),
        &lbd::telemetry::Events::default(),
        None,
    );
    let pool = pool.expect("a pool without TLS");
    pool.begin();
    pool
}

fn picks(bencher: Bencher<'_, '_>, pool: &Pool) {
    let now = Instant::now();
    let pick = || {
        let context = PickContext {
            now,
            client: IpAddr::from([192, 168, 7, 9]),
            hash_key: b"user-4711",
            session: None,
            tried: &[],
            avoided: &[],
        };
        drop(pool.pick(&context).expect("all are alive"));
    };
    // The first turn looks at every server.
    pick();
    bencher.bench(pick);
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn round_robin(bencher: Bencher<'_, '_>, count: usize) {
    picks(bencher, &pool(count, ""));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn ip_hash(bencher: Bencher<'_, '_>, count: usize) {
    picks(bencher, &pool(count, "balance = \"ip_hash\""));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn hash(bencher: Bencher<'_, '_>, count: usize) {
    let keys = "balance = \"hash\"\nhash_key = \"$cookie_user\"";
    picks(bencher, &pool(count, keys));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn consistent_hash(bencher: Bencher<'_, '_>, count: usize) {
    let keys = "balance = \"hash\"\nhash_key = \"$cookie_user\"\nconsistent = true";
    picks(bencher, &pool(count, keys));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn least_conn(bencher: Bencher<'_, '_>, count: usize) {
    picks(bencher, &pool(count, "balance = \"least_conn\""));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn random(bencher: Bencher<'_, '_>, count: usize) {
    picks(bencher, &pool(count, "balance = \"random\""));
}

#[divan::bench(args = COUNTS, threads = WORKERS)]
fn ewma(bencher: Bencher<'_, '_>, count: usize) {
    picks(bencher, &pool(count, "balance = \"ewma\""));
}
