//! What was tried for one request, connection or session, server by server.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::access_record::{Attempt, AttemptResult};

/// Attempts in their order, the last of which may be under way.
#[derive(Debug, Default)]
pub struct Attempts {
    /// One for nearly all requests, and then without memory of its own.
    list: SmallVec<[Attempt; 1]>,
    /// When the one that is under way began.
    started: Option<Instant>,
}

impl Attempts {
    /// One at `server` begins.
    pub fn begin(&mut self, server: &Arc<str>, now: Instant) {
        self.started = Some(now);
        self.list.push(Attempt {
            server: Arc::clone(server),
            result: AttemptResult::Abandoned,
            connect: None,
            header: None,
            total: Duration::ZERO,
        });
    }

    /// The connection for it stands.
    pub fn connected(&mut self, now: Instant) {
        let elapsed = self.elapsed(now);
        if let Some(attempt) = self.list.last_mut() {
            attempt.connect = elapsed;
        }
    }

    /// It gave the head of a response.
    pub fn answered(&mut self, now: Instant) {
        let elapsed = self.elapsed(now);
        if let Some(attempt) = self.list.last_mut() {
            attempt.header = elapsed;
        }
    }

    /// It came to this.
    pub fn gave(&mut self, result: AttemptResult) {
        if let Some(attempt) = self.list.last_mut() {
            attempt.result = result;
        }
    }

    /// It is over, if it was under way; `failure` says why it came to nothing.
    pub fn end(&mut self, failure: Option<&'static str>, now: Instant) {
        let elapsed = self.elapsed(now);
        self.started = None;
        if let (Some(elapsed), Some(attempt)) = (elapsed, self.list.last_mut()) {
            attempt.total = elapsed;
            if let Some(reason) = failure {
                attempt.result = AttemptResult::Failed(reason);
            }
        }
    }

    /// All of them.
    pub fn list(&self) -> &[Attempt] {
        &self.list
    }

    /// When the one that is under way began.
    pub fn started(&self) -> Option<Instant> {
        self.started
    }

    fn elapsed(&self, now: Instant) -> Option<Duration> {
        self.started.map(|started| now.duration_since(started))
    }
}
