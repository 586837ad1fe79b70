//! Signals, with nginx's meanings.

use std::{future::poll_fn, io, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Request;

/// The signals that lbd listens to.
#[derive(Debug)]
pub(super) struct Signals {
    each: [(Signal, Request); 5],
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
    pub(super) fn new() -> io::Result<Self> {
        let listen = |kind, request| signal(kind).map(|signal| (signal, request));
        Ok(Self {
            each: [
                listen(SignalKind::hangup(), Request::Reload)?,
                listen(SignalKind::user_defined1(), Request::Reopen)?,
                listen(SignalKind::terminate(), Request::Stop)?,
                listen(SignalKind::interrupt(), Request::Stop)?,
                listen(SignalKind::quit(), Request::Quit)?,
            ],
        })
    }

    /// What the next signal asks for.
    pub(super) async fn next(&mut self) -> Request {
        poll_fn(|cx| {
            for (signal, request) in &mut self.each {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*request);
                }
            }
            Poll::Pending
        })
        .await
    }
}
