//! Servers that operators add, remove and change while lbd runs.

use std::{slice, sync::Arc};

use super::{
    Ordered, Server, StartError,
    orders::{NoSuchPool, no_such_pool},
};
use crate::upstream::{NotEdited, What};

/// What an operator wants of a pool's list.
#[derive(Clone, Debug, PartialEq)]
pub struct EditWish {
    /// The pool.
    pub pool: String,
    /// The server, as the file would call it.
    pub server: String,
    /// What is to become of it.
    pub what: What,
    /// Even if nobody is left.
    pub force: bool,
    /// Whether tunnels to one that is removed end at once.
    pub closes: bool,
    /// Who wants it.
    pub by: String,
}

/// Why an edit is not made.
#[derive(Debug, thiserror::Error)]
pub enum EditWishError {
    /// There is no such pool.
    #[error(transparent)]
    NoSuchPool(#[from] NoSuchPool),
    /// It makes no sense in that pool.
    #[error(transparent)]
    NotEdited(#[from] NotEdited),
    /// The server is ending, or the system gives no thread for checks.
    #[error(transparent)]
    Refused(#[from] StartError),
}

impl Server {
    /// Does what `wish` says. One that is new gets nothing before it has been found well, where servers are checked.
    ///
    /// # Errors
    /// [`EditWishError`]; everything is then as it was.
    pub(super) async fn edit(&self, wish: &EditWish) -> Result<Ordered, EditWishError> {
        // Not beside a reload, which makes the pools anew.
        let _alone = self.reloading.lock().await;
        if self.is_ending() {
            return Err(StartError::Ending.into());
        }
        let snapshot = self.snapshot.load_full();
        let found = snapshot.pools().find(|pool| pool.name() == wish.pool);
        let pool = found.ok_or_else(|| no_such_pool(&wish.pool, &snapshot))?;
        let edited = pool.edit(&wish.server, wish.what.clone(), &wish.by, wish.force)?;
        tokio::select! {
            () = self.resolver.refresh(slice::from_ref(&edited.config)) => {}
            () = self.ending() => return Err(StartError::Ending.into()),
        }
        let next = pool.prepare_edited(&edited, &self.resolver);
        let prospect = vec![(Arc::clone(pool), next.clone())];
        tokio::select! {
            looked = self.checks.look(prospect, false) => looked.map_err(StartError::System)?,
            () = self.ending() => return Err(StartError::Ending.into()),
        }
        if wish.closes && wish.what == What::Removed {
            pool.close_tunnels(&wish.server);
        }
        pool.adopt_edited(edited, &next);
        self.workers.iter().for_each(|worker| worker.look_around());
        let followed = self.checks.follow(snapshot.pools().cloned().collect());
        followed.map_err(StartError::System)?;
        // One that is removed is not there to be told of.
        let servers = pool.status_of(&wish.server, tokio::time::Instant::now());
        Ok(Ordered {
            servers: servers.unwrap_or_default(),
            warning: self.orders.keep().err(),
        })
    }
}
