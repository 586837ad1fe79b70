//! What is looked after for as long as the server lives: names, which may come to stand for other addresses, and
//! certificates, which end.

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use super::{expiry::Expiry, orders::Orders, snapshot::Snapshot};
use crate::{
    telemetry::Events,
    upstream::{Checks, Resolver},
};

/// How often names in `servers` are looked up again.
const INTERVAL: Duration = Duration::from_secs(10);

/// Looks after the running server.
pub(super) struct Caretaker {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) checks: Arc<Checks>,
    pub(super) orders: Arc<Orders>,
    /// Held while a reload is under way, or what this does.
    pub(super) reloading: Arc<tokio::sync::Mutex<()>>,
    pub(super) events: Events,
}

impl Caretaker {
    pub(super) async fn run(self) {
        let mut expiry = Expiry::default();
        loop {
            expiry.look(self.snapshot.load().certificates(), &self.events);
            tokio::time::sleep(INTERVAL).await;
            let configs: Vec<_> = {
                let snapshot = self.snapshot.load();
                snapshot.pools().map(|pool| pool.edited_config()).collect()
            };
            self.resolver.refresh(&configs).await;
            self.follow_names().await;
        }
    }

    /// Has pools follow what names stand for now.
    async fn follow_names(&self) {
        // Not beside a reload, which follows them itself.
        let _alone = self.reloading.lock().await;
        let snapshot = self.snapshot.load_full();
        let mut looks = JoinSet::new();
        for pool in snapshot.pools() {
            let Some(next) = pool.prepare(&self.resolver) else {
                continue;
            };
            let (pool, checks) = (Arc::clone(pool), Arc::clone(&self.checks));
            looks.spawn(async move {
                // What is new is checked before anything is sent to it; each pool waits for its own only.
                let looked = checks
                    .look(vec![(Arc::clone(&pool), next.clone())], false)
                    .await;
                (looked, pool, next)
            });
        }
        if looks.is_empty() {
            return;
        }
        while let Some(looked) = looks.join_next().await {
            if let Ok((looked, pool, next)) = looked {
                pool.adopt(&next);
                self.orders.look_again();
                let followed = self.checks.follow(snapshot.pools().cloned().collect());
                complain_of(looked.and(followed));
            }
        }
    }
}

fn complain_of(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("servers cannot be checked: {error}");
    }
}
