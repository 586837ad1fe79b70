//! What operators order of servers, and where it is kept over a restart.
//!
//! An order stands with its server for as long as the process runs, whatever is reloaded. With `state_file` it is
//! written down, as a whole and at once, whenever it changes; without, the end of the process says what is forgotten.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{snapshot::Snapshot, worker::Bell};
use crate::{
    telemetry::{EventKind, Events, Severity},
    upstream::{Duty, Edits, NoSuchServer, Order, Pool, ServerStatus},
};

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

/// A pool that is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no pool {pool}; there are {}", known.join(", "))]
pub struct NoSuchPool {
    /// What was asked for.
    pub pool: String,
    /// What there is.
    pub known: Vec<String>,
}

/// Why an order is not given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such pool.
    #[error(transparent)]
    NoSuchPool(#[from] NoSuchPool),
    /// There is no such server.
    #[error(transparent)]
    NoSuchServer(#[from] NoSuchServer),
}

/// What is written down.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    orders: Vec<Written>,
    /// By the pool's name.
    edits: BTreeMap<String, Edits>,
}

/// One order as the file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Written {
    pool: String,
    server: String,
    state: String,
    by: String,
    at: Timestamp,
    deadline: Option<Timestamp>,
}

/// What came of a wish.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ordered {
    /// What is to be told of each server that it is for.
    pub servers: Vec<ServerStatus>,
    /// What the operator should know besides.
    pub warning: Option<String>,
}

/// The orders of a running server.
#[derive(Debug)]
pub(super) struct Orders {
    snapshot: Arc<ArcSwap<Snapshot>>,
    file: Option<PathBuf>,
    /// Those of the file for servers that are not there, or not yet: a name may have no address at the start.
    waiting: Mutex<Vec<Written>>,
    /// What had been changed in pools that the file does not have.
    foreign: Mutex<BTreeMap<String, Edits>>,
    /// Whether the file is there and could not be read: then what is in it is not to be replaced.
    is_unread: AtomicBool,
    /// Held while the file is written.
    writing: Mutex<()>,
    /// Rung when tunnels are to end.
    bells: Arc<[Bell]>,
    events: Events,
}

impl Orders {
    pub(super) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        file: Option<PathBuf>,
        bells: Arc<[Bell]>,
        events: Events,
    ) -> Self {
        Self {
            snapshot,
            file,
            waiting: Mutex::default(),
            foreign: Mutex::default(),
            is_unread: AtomicBool::new(false),
            writing: Mutex::default(),
            bells,
            events,
        }
    }

    /// Does what `wish` says.
    ///
    /// # Errors
    /// There is nobody whom it could be for.
    pub(super) fn give(self: &Arc<Self>, wish: &Wish) -> Result<Ordered, OrderError> {
        let pool = self.pool(&wish.pool)?;
        let now = Instant::now();
        let deadline = wish.deadline.map(|lasting| now + lasting);
        let order = Order::new(&wish.server, wish.duty, wish.by.clone(), deadline);
        let (servers, order) = pool.order(&wish.server, order, now)?;
        for status in &servers {
            let text = format!(
                "pool {}: server {} {}, by {}{}",
                wish.pool,
                status.server,
                verb(wish.duty),
                wish.by,
                wish.deadline.map_or_else(String::new, |lasting| format!(
                    ", and goes down in {lasting:?}"
                ))
            );
            let about = (Some(wish.pool.as_str()), Some(status.server.as_str()));
            let kind = EventKind::ServerOrdered;
            self.events.tell(Severity::Info, kind, about, text);
        }
        if wish.closes {
            pool.close_tunnels(&wish.server);
            self.bells.iter().for_each(Bell::ring);
        }
        self.watch(&wish.pool, order);
        Ok(Ordered {
            servers,
            warning: self.keep().err(),
        })
    }

    /// Gives the orders that were written down before the start.
    pub(super) fn recall(self: &Arc<Self>) {
        let Some(file) = &self.file else {
            return;
        };
        match read(file) {
            Ok(kept) => {
                *self.waiting() = kept.orders;
                self.put_aside(kept.edits, file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let aside = file.with_extension("broken");
                // If that fails, too, the next order replaces the file: it is of no use to anybody.
                let _ = fs::rename(file, &aside);
                tracing::error!(
                    "state file {}: {error}; no order is kept, and the file is now {}",
                    file.display(),
                    aside.display()
                );
            }
            Err(error) => {
                self.is_unread.store(true, Ordering::Relaxed);
                return tracing::error!(
                    "state file {} cannot be read: {error}; no order of it is followed, and it is not replaced",
                    file.display()
                );
            }
        }
        self.look_again();
        // So that one that cannot be written is known before it matters.
        let _ = self.keep();
        for order in self.waiting().iter() {
            tracing::warn!(
                "state file {}: pool {} has no server {}, or none yet",
                file.display(),
                order.pool,
                order.server
            );
        }
    }

    /// Keeps what had been changed in pools that are not there.
    fn put_aside(&self, mut edits: BTreeMap<String, Edits>, file: &Path) {
        edits.retain(|pool, _| self.pool(pool).is_err());
        for pool in edits.keys() {
            tracing::warn!(
                "state file {}: there is no pool {pool}; what was changed in it waits for a start with it",
                file.display()
            );
        }
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = edits;
    }

    /// Gives those orders for whose servers were not there before, and are now.
    pub(super) fn look_again(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.waiting());
        for written in waiting {
            let (pool, server) = (written.pool.clone(), written.server.clone());
            match self.recall_one(&written) {
                Ok(duty) => tracing::info!("pool {pool}: server {server} {} still", verb(duty)),
                Err(()) => self.waiting().push(written),
            }
        }
    }

    fn recall_one(self: &Arc<Self>, written: &Written) -> Result<Duty, ()> {
        let now = Instant::now();
        let duty = Duty::named(&written.state).ok_or(())?;
        let left = |deadline: Timestamp| {
            let left = deadline.duration_since(Timestamp::now());
            now + Duration::try_from(left.max(SignedDuration::ZERO)).unwrap_or_default()
        };
        let order = Order {
            server: written.server.as_str().into(),
            duty,
            by: written.by.clone(),
            at: written.at,
            deadline: written.deadline.map(left),
        };
        let pool = self.pool(&written.pool).map_err(drop)?;
        let (_, order) = pool.order(&written.server, order, now).map_err(drop)?;
        self.watch(&written.pool, order);
        Ok(duty)
    }

    /// Says what the next start will not know, or keeps it.
    pub(super) fn end(&self) {
        if self.file.is_some() && self.keep().is_ok() {
            return;
        }
        for (pool, edits) in self.edits() {
            for edit in edits.iter() {
                tracing::warn!(
                    "pool {pool}: that {edit}, is forgotten; with `state_file` it would be kept"
                );
            }
        }
        for (pool, order) in self.standing() {
            tracing::warn!(
                "pool {pool}: that server {} {}, by {}, is forgotten; with `state_file` it would be kept",
                order.server,
                verb(order.duty),
                order.by
            );
        }
    }

    /// Writes all orders down, if there is where.
    ///
    /// # Errors
    /// What the operator is to be told; the log says so, too.
    pub(super) fn keep(&self) -> Result<(), String> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if self.is_unread.load(Ordering::Relaxed) {
            let warning = format!(
                "state file {} could not be read at the start, and is not replaced; a restart would forget what stands",
                file.display()
            );
            tracing::error!("{warning}");
            return Err(warning);
        }
        // Nothing is kept in it.
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let standing = self.standing().into_iter();
        let standing = standing.map(|(pool, order)| Written::new(pool, &order, now));
        let kept = Kept {
            orders: standing.chain(self.waiting().iter().cloned()).collect(),
            edits: self.edits_to_keep(),
        };
        write(file, &kept).map_err(|error| {
            let warning = format!(
                "state file {}: {error}; a restart would forget what stands",
                file.display()
            );
            tracing::error!("{warning}");
            warning
        })
    }

    /// Ends the drain at its deadline, if it has one.
    fn watch(self: &Arc<Self>, pool: &str, order: Order) {
        let Some(deadline) = order.deadline else {
            return;
        };
        let (orders, pool) = (Arc::downgrade(self), pool.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            let Some(orders) = orders.upgrade() else {
                return;
            };
            // Without the pool there is nothing left to end.
            if let Ok(pool) = orders.pool(&pool)
                && pool.end_of_drain(&order)
            {
                orders.bells.iter().for_each(Bell::ring);
                // It has said why not.
                let _ = orders.keep();
            }
        });
    }

    pub(super) fn pool(&self, name: &str) -> Result<Arc<Pool>, OrderError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.pools().find(|pool| pool.name() == name);
        let found = found.cloned().ok_or_else(|| no_such_pool(name, &snapshot));
        Ok(found?)
    }

    fn standing(&self) -> Vec<(String, Order)> {
        let snapshot = self.snapshot.load();
        let of_pool = |pool: &Arc<Pool>| {
            let name = pool.name().to_owned();
            let orders = pool.orders().into_iter();
            orders.map(move |order| (name.clone(), order))
        };
        snapshot.pools().flat_map(of_pool).collect()
    }

    /// Those of all pools, and of pools that are not there.
    fn edits_to_keep(&self) -> BTreeMap<String, Edits> {
        let mut edits = self.edits();
        let foreign = self.foreign.lock();
        for (pool, foreign) in &*foreign.unwrap_or_else(PoisonError::into_inner) {
            edits.entry(pool.clone()).or_insert_with(|| foreign.clone());
        }
        edits
    }

    /// What operators have changed in the pools that differ from the file.
    fn edits(&self) -> BTreeMap<String, Edits> {
        let snapshot = self.snapshot.load();
        let edits = snapshot.pools().map(|pool| {
            let edits = pool.edits();
            (pool.name().to_owned(), Edits::clone(&edits))
        });
        edits.filter(|(_, edits)| !edits.is_empty()).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Written>> {
        // Taken and put back as a whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn new(pool: String, order: &Order, now: Instant) -> Self {
        let at = |deadline: Instant| {
            let left = SignedDuration::try_from(deadline.saturating_duration_since(now));
            let left = left.unwrap_or(SignedDuration::ZERO);
            Timestamp::now().checked_add(left).unwrap_or_default()
        };
        Self {
            pool,
            server: order.server.to_string(),
            state: order.duty.to_string(),
            by: order.by.clone(),
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

pub(super) fn no_such_pool(name: &str, snapshot: &Snapshot) -> NoSuchPool {
    let mut known: Vec<_> = snapshot.pools().map(|p| p.name().to_owned()).collect();
    known.sort_unstable();
    NoSuchPool {
        pool: name.to_owned(),
        known,
    }
}

/// What operators had changed in pools before the start. A file that cannot be read is spoken of when its orders are
/// recalled.
pub(super) fn edits_in(file: &Path) -> BTreeMap<String, Edits> {
    read(file).map(|kept| kept.edits).unwrap_or_default()
}

fn read(file: &Path) -> io::Result<Kept> {
    let text = fs::read(file)?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    if let Ok(orders) = serde_json::from_slice(&text) {
        // As it was before there were edits.
        return Ok(Kept {
            orders,
            ..Kept::default()
        });
    }
    serde_json::from_slice(&text).map_err(invalid)
}

/// Written beside it and moved into place, so that whoever reads it finds the old or the new.
fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    let text = serde_json::to_string_pretty(kept).map_err(io::Error::other)?;
    let draft = file.with_extension("draft");
    let mut open = fs::File::create(&draft)?;
    open.write_all(text.as_bytes())?;
    open.write_all(b"\n")?;
    open.sync_all()?;
    fs::rename(&draft, file)
}
