//! What one tunnel or stream was, kept until its end: the least that its access line needs.

use std::net::IpAddr;

use tokio::time::Instant;

use super::access_record::{AccessRecord, Attempt, LineFormat};

/// An [`AccessRecord`] that owns what it says, in one piece of memory.
#[derive(Debug)]
pub struct HeldRecord {
    /// How its line will look.
    pub format: LineFormat,
    started: Instant,
    /// When the last attempt began, if it lasts as long as the tunnel.
    attempt_started: Option<Instant>,
    client: IpAddr,
    version: &'static str,
    status: u16,
    /// The texts one behind the other, and where each ends; `None` for one that is absent.
    text: Box<[u8]>,
    ends: [Option<u32>; TEXTS],
    attempts: Box<[Attempt]>,
}

/// Method, target, referer, user agent, host, request id, trace and pool.
const TEXTS: usize = 8;

impl HeldRecord {
    /// What `record` says of something that began at `started` and whose last attempt is under way since
    /// `attempt_started`, if it is.
    pub fn new(
        format: LineFormat,
        record: &AccessRecord<'_>,
        started: Instant,
        attempt_started: Option<Instant>,
    ) -> Self {
        let texts: [Option<&[u8]>; TEXTS] = [
            Some(record.method),
            Some(record.target),
            record.referer,
            record.user_agent,
            record.host,
            Some(record.request_id),
            record.trace,
            record.pool.map(str::as_bytes),
        ];
        let mut text = Vec::with_capacity(texts.iter().flatten().map(|text| text.len()).sum());
        let ends = texts.map(|part| {
            text.extend_from_slice(part?);
            u32::try_from(text.len()).ok()
        });
        Self {
            format,
            started,
            attempt_started,
            client: record.client,
            version: record.version,
            status: record.status,
            text: text.into(),
            ends,
            attempts: record.attempts.into(),
        }
    }

    /// What is to be said at `now`, when `bytes` have gone to the client and `received` have come from it.
    pub fn end(&mut self, bytes: u64, received: u64, now: Instant) -> AccessRecord<'_> {
        if let (Some(started), Some(last)) = (self.attempt_started, self.attempts.last_mut()) {
            last.total = now.duration_since(started);
        }
        let mut start = 0;
        let parts = self.ends.map(|end| {
            let end = end? as usize;
            let part = self.text.get(start..end);
            start = end;
            part
        });
        let [
            method,
            target,
            referer,
            user_agent,
            host,
            request_id,
            trace,
            pool,
        ] = parts;
        AccessRecord {
            client: self.client,
            method: method.unwrap_or_default(),
            target: target.unwrap_or_default(),
            version: self.version,
            status: self.status,
            bytes,
            received: Some(received),
            referer,
            user_agent,
            host,
            request_id: request_id.unwrap_or_default(),
            trace,
            duration: now.duration_since(self.started),
            pool: pool.and_then(|pool| std::str::from_utf8(pool).ok()),
            attempts: &self.attempts,
        }
    }
}
