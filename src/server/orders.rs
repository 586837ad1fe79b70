//! What operators order of servers, and where it is kept over a restart.
//!
//! An order stands with its server for as long as the process runs, whatever is reloaded. With `state_file` it is
//! written down, as a whole and at once, whenever it changes; without, the end of the process says what is forgotten.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{snapshot::Snapshot, worker::Bell};
use crate::upstream::{Duty, NoSuchServer, Order, Pool, ServerStatus, StandingOrder};

/// What an operator wants of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    /// The pool.
    pub pool: String,
    /// The server, as the file calls it.
    pub server: String,
    /// What it is to be there for.
    pub duty: Duty,
    /// How long a server that drains has until it goes down and what is left there ends.
    pub deadline: Option<Duration>,
    /// Whether tunnels to it end at once.
    pub closes: bool,
    /// Who wants it.
    pub by: String,
}

/// Why an order is not given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such pool.
    #[error("there is no pool {pool}; there are {}", known.join(", "))]
    NoSuchPool {
        /// What was asked for.
        pool: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is no such server.
    #[error(transparent)]
    NoSuchServer(#[from] NoSuchServer),
}

/// One order as the file has it.
#[derive(Debug, Deserialize, Serialize)]
struct Written {
    pool: String,
    server: String,
    state: String,
    by: String,
    at: Timestamp,
    deadline: Option<Timestamp>,
}

/// The orders of a running server.
#[derive(Debug)]
pub(super) struct Orders {
    snapshot: Arc<ArcSwap<Snapshot>>,
    file: Option<PathBuf>,
    /// Rung when tunnels are to end.
    bells: Arc<[Bell]>,
}

impl Orders {
    pub(super) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        file: Option<PathBuf>,
        bells: Arc<[Bell]>,
    ) -> Self {
        Self {
            snapshot,
            file,
            bells,
        }
    }

    /// Does what `wish` says; gives what is to be told of each server that it is for.
    ///
    /// # Errors
    /// There is nobody whom it could be for.
    pub(super) fn give(self: &Arc<Self>, wish: &Wish) -> Result<Vec<ServerStatus>, OrderError> {
        let pool = self.pool(&wish.pool)?;
        let now = Instant::now();
        let deadline = wish.deadline.map(|lasting| now + lasting);
        let order = Order::new(wish.duty, wish.by.clone(), deadline);
        let statuses = pool.order(&wish.server, &order, now)?;
        for status in &statuses {
            tracing::info!(
                "pool {}: server {} {}, by {}{}",
                wish.pool,
                status.server,
                verb(wish.duty),
                wish.by,
                wish.deadline.map_or_else(String::new, |lasting| format!(
                    ", and goes down in {lasting:?}"
                ))
            );
        }
        if wish.closes {
            pool.close_tunnels(&wish.server);
            self.bells.iter().for_each(Bell::ring);
        }
        self.keep();
        self.watch(&wish.pool, &wish.server, order);
        Ok(statuses)
    }

    /// Gives the orders that were written down before the start.
    pub(super) fn recall(self: &Arc<Self>) {
        let Some(file) = &self.file else {
            return;
        };
        let written = match read(file) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let aside = file.with_extension("broken");
                // If that fails, too, the next order replaces the file: it is of no use to anybody.
                let _ = fs::rename(file, &aside);
                tracing::error!(
                    "state file {}: {error}; no order is kept, and the file is now {}",
                    file.display(),
                    aside.display()
                );
                return;
            }
        };
        for order in written {
            let (pool, server) = (order.pool.clone(), order.server.clone());
            match self.recall_one(order) {
                Ok(duty) => tracing::info!("pool {pool}: server {server} {} still", verb(duty)),
                Err(error) => tracing::warn!("state file {}: {error}", file.display()),
            }
        }
    }

    fn recall_one(self: &Arc<Self>, written: Written) -> Result<Duty, Box<dyn std::error::Error>> {
        let now = Instant::now();
        let duty = Duty::named(&written.state);
        let duty = duty.ok_or_else(|| format!("{} is no state", written.state))?;
        let left = |deadline: Timestamp| {
            let left = deadline.duration_since(Timestamp::now());
            now + Duration::try_from(left.max(SignedDuration::ZERO)).unwrap_or_default()
        };
        let order = Order {
            duty,
            by: written.by,
            at: written.at,
            deadline: written.deadline.map(left),
        };
        self.pool(&written.pool)?
            .order(&written.server, &order, now)?;
        self.watch(&written.pool, &written.server, order);
        Ok(duty)
    }

    /// Says what the next start will not know, or keeps it.
    pub(super) fn end(&self) {
        if self.file.is_some() {
            return self.keep();
        }
        for (pool, standing) in self.standing() {
            tracing::warn!(
                "pool {pool}: that server {} {}, by {}, is forgotten; with `state_file` it would be kept",
                standing.server,
                verb(standing.order.duty),
                standing.order.by
            );
        }
    }

    /// Writes all orders down, if there is where.
    pub(super) fn keep(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let now = Instant::now();
        let written: Vec<_> = self
            .standing()
            .into_iter()
            .map(|(pool, standing)| Written::new(pool, standing, now))
            .collect();
        if let Err(error) = write(file, &written) {
            tracing::error!(
                "state file {}: {error}; a restart would forget what stands",
                file.display()
            );
        }
    }

    /// Ends the drain at its deadline, if it has one.
    fn watch(self: &Arc<Self>, pool: &str, server: &str, order: Order) {
        let Some(deadline) = order.deadline else {
            return;
        };
        let (orders, pool, server) = (Arc::downgrade(self), pool.to_owned(), server.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            let Some(orders) = orders.upgrade() else {
                return;
            };
            // Without the pool there is nothing left to end.
            if let Ok(pool) = orders.pool(&pool)
                && pool.end_of_drain(&server, &order)
            {
                orders.bells.iter().for_each(Bell::ring);
                orders.keep();
            }
        });
    }

    fn pool(&self, name: &str) -> Result<Arc<Pool>, OrderError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.pools().find(|pool| pool.name() == name);
        found.cloned().ok_or_else(|| {
            let mut known: Vec<_> = snapshot.pools().map(|p| p.name().to_owned()).collect();
            known.sort_unstable();
            OrderError::NoSuchPool {
                pool: name.to_owned(),
                known,
            }
        })
    }

    fn standing(&self) -> Vec<(String, StandingOrder)> {
        let snapshot = self.snapshot.load();
        let of_pool = |pool: &Arc<Pool>| {
            let name = pool.name().to_owned();
            let orders = pool.orders().into_iter();
            orders.map(move |standing| (name.clone(), standing))
        };
        snapshot.pools().flat_map(of_pool).collect()
    }
}

impl Written {
    fn new(pool: String, standing: StandingOrder, now: Instant) -> Self {
        let StandingOrder { server, order } = standing;
        let at = |deadline: Instant| {
            let left = SignedDuration::try_from(deadline.saturating_duration_since(now));
            let left = left.unwrap_or(SignedDuration::ZERO);
            Timestamp::now().checked_add(left).unwrap_or_default()
        };
        Self {
            pool,
            server,
            state: order.duty.to_string(),
            by: order.by,
            at: order.at,
            deadline: order.deadline.map(at),
        }
    }
}

fn verb(duty: Duty) -> &'static str {
    match duty {
        Duty::Up => "is up",
        Duty::Drain => "drains",
        Duty::Down => "is down",
    }
}

fn read(file: &Path) -> io::Result<Vec<Written>> {
    let text = fs::read(file)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

/// Written beside it and moved into place, so that whoever reads it finds the old or the new.
fn write(file: &Path, written: &[Written]) -> io::Result<()> {
    let text = serde_json::to_string_pretty(written).map_err(io::Error::other)?;
    let draft = file.with_extension("draft");
    fs::write(&draft, text + "\n")?;
    fs::rename(&draft, file)
}
