//! The access log as a test reads it.

use super::proxy::{Proxy, file};
use super::temp::TempFile;
use super::wait;

/// lbd with these streams and pools that logs to a file of ours, with further keys for `[log]`.
pub(crate) async fn logging(keys: &str, rest: &str) -> (TempFile, Proxy) {
    logging_at("", keys, rest).await
}

/// The same with keys for its listener.
pub(crate) async fn logging_at(listener: &str, keys: &str, rest: &str) -> (TempFile, Proxy) {
    let log = TempFile::new("log");
    let keys = format!("access = \"{}\"\n{keys}", log.path());
    let proxy = Proxy::start_file(&file(&keys, listener, rest)).await;
    (log, proxy)
}

/// The lines, as soon as there are `count`; more fail the test.
pub(crate) async fn lines(log: &TempFile, count: usize) -> Vec<String> {
    wait::until("the lines are written", || log.lines().len() >= count).await;
    let lines = log.lines();
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

/// The only line, as soon as it is there.
pub(crate) async fn line(log: &TempFile) -> String {
    lines(log, 1).await.remove(0)
}
