//! A connection, and maybe a few bytes there and back.

use regex::bytes::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::Probe;

/// As much is read at most of what a server says.
const MOST: usize = 16 << 10;

/// Connects, sends `send`, and waits until what comes back matches `expect`.
pub(super) async fn check(
    probe: &Probe<'_>,
    send: &[u8],
    expect: Option<&Regex>,
) -> Result<(), String> {
    let mut io = probe.connect(false).await?;
    let broke = |error: std::io::Error| format!("broke off: {error}");
    io.write_all(send).await.map_err(broke)?;
    let Some(expect) = expect else {
        return Ok(());
    };
    let mut heard = Vec::new();
    while heard.len() < MOST {
        if io.read_buf(&mut heard).await.map_err(broke)? == 0 {
            break;
        }
        if expect.is_match(&heard) {
            return Ok(());
        }
        probe.is_at(unlike(&heard, expect));
    }
    Err(unlike(&heard, expect))
}

fn unlike(heard: &[u8], expect: &Regex) -> String {
    format!("said {}, which does not match {expect}", shown(heard))
}

/// The beginning of `bytes`, for a log.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let start = &bytes[..bytes.len().min(SHOWN)];
    let dots = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}{dots}\"", start.escape_ascii())
}
