//! One line of the access log, in both formats, for a request that two servers were tried for.

use std::{net::IpAddr, sync::Arc, time::Duration};

use divan::{Bencher, black_box};
use lbd::telemetry::{AccessRecord, Attempt, AttemptResult, Clock, LineFormat};

fn attempt(server: &str, result: AttemptResult) -> Attempt {
    Attempt {
        server: Arc::from(server),
        result,
        connect: Some(Duration::from_micros(80)),
        header: Some(Duration::from_micros(1_900)),
        total: Duration::from_micros(2_400),
    }
}

fn bench(bencher: Bencher<'_, '_>, format: LineFormat) {
    let attempts = [
        attempt(
            "172.31.12.135:8101",
            AttemptResult::Failed("connection refused"),
        ),
        attempt("172.31.12.228:8101", AttemptResult::Status(200)),
    ];
    let record = AccessRecord {
        client: IpAddr::from([10, 0, 0, 9]),
        method: b"GET",
        target: b"/app/list?page=2&sort=name",
        version: "HTTP/1.1",
        status: 200,
        bytes: 18_432,
        received: None,
        referer: Some(b"http://hq.company.com:8100/app/"),
        user_agent: Some(
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36",
        ),
        host: Some(b"hq.company.com:8100"),
        trace: None,
        request_id: b"0123456789abcdef0123456789abcdef",
        duration: Duration::from_micros(2_600),
        pool: Some("app_a"),
        attempts: &attempts,
    };
    let (clock, mut out) = (Clock::new(), Vec::with_capacity(4096));
    bencher.bench_local(|| {
        out.clear();
        format.write(&mut out, black_box(&record), &clock);
        out.len()
    });
}

#[divan::bench]
fn combined(bencher: Bencher<'_, '_>) {
    bench(bencher, LineFormat::Combined);
}

#[divan::bench]
fn json(bencher: Bencher<'_, '_>) {
    bench(bencher, LineFormat::Json);
}
