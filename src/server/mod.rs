//! A running lbd: workers that serve a snapshot, and the one way of swapping it.
//!
//! [`Server`] builds a snapshot from a configuration and starts the workers. A reload does whatever
//! can fail first (open the log, bind, build), then stores the new snapshot once: a request sees
//! all of the old configuration or all of the new.

mod expiry;
mod reload;
mod snapshot;
mod worker;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;

pub use self::reload::{ReloadError, Reloader};
use self::{expiry::Expiry, snapshot::Snapshot, worker::Worker};
use crate::{
    config::{AccessTarget, Config},
    net::{BindError, bind},
    telemetry::{AccessLog, AccessSink, Troubles},
    upstream::Resolver,
};

/// How often names in `servers` are looked up again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the last access lines may take to reach the disk.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// A running lbd. Dropping it ends its workers at once.
#[derive(Debug)]
pub struct Server {
    snapshot: Arc<ArcSwap<Snapshot>>,
    workers: Vec<Worker>,
    resolver: Arc<Resolver>,
    access: AccessLog,
    troubles: Arc<Troubles>,
    bound: Mutex<Vec<Bound>>,
    is_ending: AtomicBool,
    /// Held by the reload that is under way.
    reloading: tokio::sync::Mutex<()>,
    background: JoinHandle<()>,
}

/// An address that is listened on.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// As the file says it.
    configured: SocketAddr,
    /// With the port that the system chose, if the file says 0.
    actual: SocketAddr,
}

/// Sockets for one address, one for each worker.
#[derive(Debug)]
struct Sockets {
    bound: Bound,
    sockets: Vec<std::net::TcpListener>,
}

/// Why a configuration cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The TLS of a listener or a pool is of no use.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The server is ending, and takes nothing new.
    #[error("this lbd is stopping")]
    Ending,
    /// The access log cannot be opened, or the system gives no thread.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Server {
    /// Starts serving `config`: when this returns, every listener accepts.
    ///
    /// Needs a tokio runtime with time and I/O, on which names are looked up again; the workers have
    /// their own.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let count = config
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
        let listening = bind_all(addresses(&config), count, &[])?;
        let access = AccessLog::start(open(&config.log.access)?)?;
        let resolver = Arc::new(Resolver::default());
        resolver.refresh(&config.pools).await;
        let first = Snapshot::build(&config, &resolver, None)?;
        let snapshot = Arc::new(ArcSwap::from_pointee(first));
        let troubles = Arc::new(Troubles::default());
        let mut workers = Vec::with_capacity(count);
        for index in 0..count {
            let (snapshot, troubles) = (Arc::clone(&snapshot), Arc::clone(&troubles));
            workers.push(Worker::start(index, snapshot, access.clone(), troubles)?);
        }
        let server = Self {
            background: tokio::spawn(look_after(Arc::clone(&snapshot), Arc::clone(&resolver))),
            snapshot,
            workers,
            resolver,
            access,
            troubles,
            bound: Mutex::default(),
            is_ending: AtomicBool::new(false),
            reloading: tokio::sync::Mutex::default(),
        };
        server.listen(listening).await;
        announce(&config, &server.bound());
        tracing::info!("{count} worker{}", if count == 1 { "" } else { "s" });
        Ok(server)
    }

    /// The addresses that are listened on, in the file's order, with the ports that the system chose.
    pub fn listen_addrs(&self) -> Vec<SocketAddr> {
        self.bound().iter().map(|bound| bound.actual).collect()
    }

    /// What has gone wrong on clients' connections since the start.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Serves `config` from now on. Keep-alive connections follow with their next request, and those
    /// of listeners that are gone end after the one they are at.
    ///
    /// # Errors
    /// [`StartError`]; everything is then as it was.
    pub async fn reload(&self, config: Config) -> Result<(), StartError> {
        let _alone = self.reloading.lock().await;
        if self.is_ending.load(Ordering::Relaxed) {
            return Err(StartError::Ending);
        }
        if config
            .workers
            .is_some_and(|count| count != self.workers.len())
        {
            tracing::warn!(
                "workers = {} takes effect at the next start",
                config.workers.unwrap_or_default()
            );
        }
        let wanted = addresses(&config);
        let current = self.bound().clone();
        let is_bound =
            |address: &SocketAddr| current.iter().any(|bound| bound.configured == *address);
        let added = bind_all(
            wanted
                .iter()
                .copied()
                .filter(|address| !is_bound(address))
                .collect(),
            self.workers.len(),
            &current,
        )?;
        let sink = open(&config.log.access)?;
        self.resolver.refresh(&config.pools).await;
        let next = Snapshot::build(&config, &self.resolver, Some(&self.snapshot.load()))?;
        // From here on nothing fails.
        let removed = current
            .iter()
            .filter(|bound| !wanted.contains(&bound.configured));
        self.close(removed.map(|bound| bound.configured).collect())
            .await;
        self.snapshot.store(Arc::new(next));
        self.access.switch(sink);
        self.listen(added).await;
        self.bound().sort_by_key(|bound| {
            wanted
                .iter()
                .position(|address| *address == bound.configured)
        });
        for worker in &self.workers {
            worker.look_around();
        }
        announce(&config, &self.bound());
        Ok(())
    }

    /// Opens the access log again, after its file was moved away.
    ///
    /// # Errors
    /// The operating system's; lines go on to the old file.
    pub fn reopen_log(&self, target: &AccessTarget) -> io::Result<()> {
        self.access.switch(open(target)?);
        Ok(())
    }

    /// Whether it has been told to end.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Whether every worker answers within `patience`.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        for worker in &self.workers {
            if tokio::time::timeout(patience, worker.ping()).await != Ok(true) {
                return false;
            }
        }
        true
    }

    /// Stops accepting, waits for requests in flight until `deadline` (for ever without one), and ends the workers.
    pub async fn shutdown(&self, deadline: Option<Duration>) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.background.abort();
        self.bound().clear();
        let ends: Vec<_> = self
            .workers
            .iter()
            .map(|worker| worker.drain(deadline))
            .collect();
        for end in ends {
            // A worker that is gone already has nothing to wait for.
            let _ = end.await;
        }
        self.access.flush(FLUSH_PATIENCE);
    }

    async fn listen(&self, listening: Vec<Sockets>) {
        for Sockets { bound, sockets } in listening {
            for (worker, socket) in self.workers.iter().zip(sockets) {
                worker.listen(bound.configured, socket).await;
            }
            self.bound().push(bound);
        }
    }

    async fn close(&self, removed: Vec<SocketAddr>) {
        for address in removed {
            for worker in &self.workers {
                worker.close(address).await;
            }
            self.bound().retain(|bound| bound.configured != address);
            tracing::info!("no longer listening on {address}");
        }
    }

    fn bound(&self) -> MutexGuard<'_, Vec<Bound>> {
        // Only ever pushed to, filtered or sorted: whole after any panic.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.background.abort();
    }
}

fn open(target: &AccessTarget) -> io::Result<AccessSink> {
    match target {
        AccessTarget::Off => Ok(AccessSink::off()),
        AccessTarget::Stdout => Ok(AccessSink::stdout()),
        AccessTarget::File(path) => AccessSink::file(path),
    }
}

fn addresses(config: &Config) -> Vec<SocketAddr> {
    config
        .listeners
        .iter()
        .flat_map(|listener| listener.bind.iter().map(|bind| bind.value))
        .collect()
}

/// Binds `addresses`, `count` sockets each; `current` is what this process listens on already.
fn bind_all(
    addresses: Vec<SocketAddr>,
    count: usize,
    current: &[Bound],
) -> Result<Vec<Sockets>, StartError> {
    let mut ours: Vec<u16> = current.iter().map(|bound| bound.actual.port()).collect();
    let mut all = Vec::with_capacity(addresses.len());
    for configured in addresses {
        let sockets = bind(configured, count, ours.contains(&configured.port()))?;
        let actual = sockets
            .first()
            .map_or(Ok(configured), std::net::TcpListener::local_addr)?;
        ours.push(actual.port());
        all.push(Sockets {
            bound: Bound { configured, actual },
            sockets,
        });
    }
    Ok(all)
}

/// Says what is served, so that a look at the log answers "did it take my change?".
fn announce(config: &Config, bound: &[Bound]) {
    for listener in &config.listeners {
        for bind in &listener.bind {
            let actual = bound.iter().find(|bound| bound.configured == bind.value);
            let address = actual.map_or(bind.value, |bound| bound.actual);
            match &listener.name {
                Some(name) => tracing::info!("listening on {address} ({})", name.value),
                None => tracing::info!("listening on {address}"),
            }
        }
    }
    for pool in &config.pools {
        let count = pool.servers.len();
        let plural = if count == 1 { "" } else { "s" };
        tracing::info!(
            "pool {}: {count} server{plural}, {}",
            pool.name.value,
            pool.balance
        );
    }
}

/// Looks names up again, and certificates over, for as long as the server lives.
async fn look_after(snapshot: Arc<ArcSwap<Snapshot>>, resolver: Arc<Resolver>) {
    let mut expiry = Expiry::default();
    loop {
        expiry.look(snapshot.load().certificates());
        tokio::time::sleep(RESOLVE_INTERVAL).await;
        let pools = snapshot.load_full();
        let configs: Vec<_> = pools.pools().map(|pool| pool.config().clone()).collect();
        resolver.refresh(&configs).await;
        for pool in pools.pools() {
            pool.follow(&resolver);
        }
    }
}
