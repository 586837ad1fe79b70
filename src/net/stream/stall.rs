//! Noticing that the other side takes nothing.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{super::timer::Timer, Stream};

/// How long the other side has taken nothing.
pub(super) struct Stall {
    patience: Duration,
    pub(super) deadline: Option<Instant>,
    sent: u64,
}

impl Stall {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            deadline: None,
            sent: 0,
        }
    }

    /// Ready once that has been too long. Records that leave one by one are progress, too.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        timer: &Timer,
    ) -> Poll<()> {
        let sent = stream.sent_inside_tls();
        if std::mem::replace(&mut self.sent, sent) != sent {
            self.deadline = None;
        }
        let patience = self.patience;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now() + patience);
        timer.poll_passed(cx, deadline)
    }
}
