//! Whether a pool had anybody to answer: so that it is said once, not for each request.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::succession::Succession;
use crate::telemetry::{EventKind, Events, Severity, time_of_day_in};

/// Whether a pool had anybody to answer.
#[derive(Debug)]
pub(super) struct Light {
    pool: String,
    /// Where it stands whether it is dark, over every reload.
    succession: Arc<Succession>,
    events: Events,
}

impl Light {
    pub(super) fn new(pool: &str, events: &Events, succession: &Arc<Succession>) -> Self {
        Self {
            pool: pool.to_owned(),
            succession: Arc::clone(succession),
            events: events.clone(),
        }
    }

    /// The name of the pool.
    pub(super) fn pool(&self) -> &str {
        &self.pool
    }

    /// Nobody could be chosen; somebody may be tried again after `retry_in`.
    pub(super) fn goes_out(&self, retry_in: Option<Duration>) {
        if !self.succession.is_dark.swap(true, Ordering::Relaxed) {
            let until = retry_in.map_or_else(String::new, |lasting| {
                format!(" until {}", time_of_day_in(lasting))
            });
            let text = format!(
                "pool {}: no live server{until}; what is for it is answered 502, or closed",
                self.pool
            );
            self.tell(Severity::Error, EventKind::PoolDark, text);
        }
    }

    /// A peer answered.
    pub(super) fn goes_on(&self) {
        let is_dark = &self.succession.is_dark;
        if is_dark.load(Ordering::Relaxed) && is_dark.swap(false, Ordering::Relaxed) {
            let text = format!("pool {}: has a live server again", self.pool);
            self.tell(Severity::Info, EventKind::PoolLit, text);
        }
    }

    fn tell(&self, severity: Severity, kind: EventKind, text: String) {
        let about = (Some(self.pool.as_str()), None);
        self.events.tell(severity, kind, about, text);
    }
}
