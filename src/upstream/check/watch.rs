//! One server, checked again and again.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use super::{OnClose, probe::Probe};
use crate::{
    config::HealthCheck,
    upstream::{duty::Duty, health::Patience, member::Member, peer_set::PeerSet, pool::Pool},
};

/// Requests that fail have a server checked at once, but not more often than this.
const CLOSEST: Duration = Duration::from_millis(100);

/// One server of one pool.
pub(super) struct Watch {
    pool: Arc<Pool>,
    member: Member,
    check: HealthCheck,
}

impl Watch {
    /// One for each member of `set`, which is `pool`'s, if they are to be checked.
    pub(super) fn all_of(pool: &Arc<Pool>, set: &PeerSet) -> Vec<Self> {
        let Some(check) = &pool.config().health else {
            return Vec::new();
        };
        let watch = |member: &Member| Self {
            pool: Arc::clone(pool),
            member: member.clone(),
            check: check.clone(),
        };
        set.members().map(watch).collect()
    }

    /// Whether a check has to find out before a configuration begins, which may forgive what requests said, and anybody
    /// wants to know.
    pub(super) fn is_wanted(&self, forgives: bool) -> bool {
        let health = &self.member.peer.health;
        let is_wanted = health.is_pending() || forgives && health.is_out_by_requests();
        is_wanted && self.member.duty() != Duty::Down
    }

    /// Checks until the task ends.
    pub(super) async fn run(self, on_close: OnClose) {
        let peer = &self.member.peer;
        let mut due = Instant::now();
        if !peer.health.is_pending() {
            // Anywhere, so that not all are checked at once after a reload.
            due += self.check.interval.mul_f64(fastrand::f64());
        }
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                () = peer.check_now.notified() => {}
            }
            let began = Instant::now();
            due = began + self.check.interval;
            if self.member.duty() == Duty::Down {
                continue;
            }
            self.judge(false, &on_close).await;
            due = began + self.pause();
            sleep_until(began + CLOSEST).await;
        }
    }

    /// Checks once, and ends what goes on with a server that goes out by that, if it is to.
    pub(super) async fn judge(&self, forgives: bool, on_close: &OnClose) {
        let result = self.check_once().await;
        let result = match &result {
            Ok(()) => Ok(()),
            Err(reason) => Err(reason.as_str()),
        };
        let patience = Patience::of(&self.check);
        let peer = &self.member.peer;
        let now = Instant::now();
        let is_out = self.pool.checked(peer, now, result, patience, forgives);
        if is_out && self.check.closes {
            peer.close_tunnels();
            on_close();
        }
    }

    /// From one check to the next.
    fn pause(&self) -> Duration {
        let pause = if self.member.peer.health.is_doubtful() {
            self.check.fast
        } else {
            self.check.interval
        };
        // Give or take a tenth, so that the checks of many servers do not fall into step.
        pause.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// One check; what is wrong, in words for a log.
    async fn check_once(&self) -> Result<(), String> {
        let probe = Probe::new(&self.pool, &self.member, &self.check);
        match timeout(self.check.timeout, probe.run(&self.check.check)).await {
            Ok(result) => result,
            Err(_) => Err(format!("{} within {:?}", probe.stage(), self.check.timeout)),
        }
    }
}
