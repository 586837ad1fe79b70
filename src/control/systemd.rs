//! What the service manager is told (sd_notify(3)). Without one, all of this does nothing.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;

use crate::server::Server;

/// Every listener accepts.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    // Type=notify-reload asks for the time; older managers pass over it.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The server is ending.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog for as long as every worker takes its turns: a process that lives but serves
/// nothing is to be restarted.
pub(super) async fn feed_watchdog(server: Arc<Server>) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let half = interval / 2;
    loop {
        if server.is_alive(half).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a worker does not answer; the watchdog is not fed");
        }
        tokio::time::sleep(half.min(Duration::from_secs(60))).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
