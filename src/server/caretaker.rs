//! What is looked after for as long as the server lives: names, which may come to stand for other addresses, and
//! certificates, which end.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{expiry::Expiry, orders::Orders, snapshot::Snapshot};
use crate::upstream::{Checks, NextSet, Pool, Resolver};

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
}

impl Caretaker {
    pub(super) async fn run(self) {
        let mut expiry = Expiry::default();
        loop {
            expiry.look(self.snapshot.load().certificates());
            tokio::time::sleep(INTERVAL).await;
            let configs: Vec<_> = {
                let snapshot = self.snapshot.load();
                snapshot.pools().map(|pool| pool.config().clone()).collect()
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
        let next = |pool: &Arc<Pool>| Some((Arc::clone(pool), pool.prepare(&self.resolver)?));
        let changed: Vec<(Arc<Pool>, NextSet)> = snapshot.pools().filter_map(next).collect();
        if changed.is_empty() {
            return;
        }
        // What is new is checked before anything is sent to it.
        let looked = self.checks.look(changed.clone()).await;
        for (pool, next) in changed {
            pool.adopt(next);
        }
        let followed = self.checks.follow(snapshot.pools().cloned().collect());
        if let Err(error) = looked.and(followed) {
            tracing::error!("servers cannot be checked: {error}");
        }
        self.orders.look_again();
    }
}
