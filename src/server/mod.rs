//! A running lbd: workers that serve a snapshot, and the one way of swapping it.
//!
//! [`Server`] builds a snapshot from a configuration and starts the workers. A reload does whatever
//! can fail first (open the log, bind, build), then stores the new snapshot once: a request sees
//! all of the old configuration or all of the new.

mod caretaker;
mod editing;
mod expiry;
mod orders;
mod ports;
mod reload;
mod snapshot;
mod status;
mod traces;
mod worker;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use self::{
    caretaker::Caretaker,
    orders::Orders,
    ports::{Bound, Sockets, announce, bind_all, ports},
    snapshot::Snapshot,
    worker::{Bell, Port, Worker},
};
pub use self::{
    editing::{EditWish, EditWishError},
    orders::{NoSuchPool, OrderError, Ordered, Wish},
    reload::{ReloadError, Reloader},
    status::{
        CertificateStatus, ListenerStatus, ReloadStatus, ReloadTotals, RouteStatus, Status, Totals,
        WorkerStatus,
    },
};
use crate::{
    config::{self, AccessTarget, Config},
    http::{Question, explain},
    net::BindError,
    telemetry::{
        AccessLog, AccessSink, Counter, EventKind, Events, Severity, Tracer, expect_workers,
    },
    upstream::{Checks, Resolver, ServerStatus},
};

/// What would become of a request if `config` were served, by a lbd that knows nothing yet of its servers. Looks their
/// names up.
///
/// # Errors
/// What is wrong with the question, or with the TLS of a pool.
pub async fn explain_file(config: &Config, question: &Question) -> Result<String, String> {
    let resolver = Resolver::default();
    resolver.refresh(&config.pools).await;
    let events = Events::default();
    let snapshot = Snapshot::build(config, &resolver, &events, None, None)
        .map_err(|error| error.to_string())?;
    explain(config, |bind| snapshot.site(bind).cloned(), question)
}

/// How long the last access lines may take to reach the disk.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// A running lbd. Dropping it ends its workers at once.
#[derive(Debug)]
pub struct Server {
    snapshot: Arc<ArcSwap<Snapshot>>,
    workers: Vec<Worker>,
    resolver: Arc<Resolver>,
    access: AccessLog,
    h2_floods: Arc<Counter>,
    bound: Mutex<Vec<Bound>>,
    is_ending: AtomicBool,
    /// Told when it ends.
    ended: Notify,
    /// Held by the reload that is under way.
    reloading: Arc<tokio::sync::Mutex<()>>,
    checks: Arc<Checks>,
    orders: Arc<Orders>,
    background: JoinHandle<()>,
    events: Events,
    /// What each worker had done at listeners that are gone: totals never fall.
    retired: Mutex<Vec<WorkerStatus>>,
    /// Who keeps traces, and by what table.
    tracer: Mutex<Option<(config::Tracing, Arc<Tracer>)>>,
    started: Instant,
    started_at: Timestamp,
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
        let listening = bind_all(ports(&config), count, &[])?;
        let access = AccessLog::start(open(&config.log.access)?)?;
        expect_workers(count);
        let events = Events::default();
        let resolver = Arc::new(Resolver::default());
        let edits = config.state_file.as_deref().map(orders::edits_in);
        let edits = edits.unwrap_or_default();
        let edited = config
            .pools
            .iter()
            .map(|pool| match edits.get(&*pool.name) {
                Some(edits) => edits.apply(pool),
                None => pool.clone(),
            });
        resolver.refresh(&edited.collect::<Vec<_>>()).await;
        let tracer = config.tracing.as_ref().map(traces::tracer);
        let first = Snapshot::build(&config, &resolver, &events, tracer.as_ref(), None)?;
        for pool in first.pools() {
            if let Some(edits) = edits.get(pool.name()) {
                pool.restore(edits, &resolver);
            }
        }
        let snapshot = Arc::new(ArcSwap::from_pointee(first));
        let h2_floods = Arc::new(Counter::default());
        let mut workers = Vec::with_capacity(count);
        for index in 0..count {
            let (snapshot, h2_floods) = (Arc::clone(&snapshot), Arc::clone(&h2_floods));
            workers.push(Worker::start(index, snapshot, access.clone(), h2_floods)?);
        }
        let bells: Arc<[Bell]> = workers.iter().map(Worker::bell).collect();
        let ring = {
            let bells = Arc::clone(&bells);
            move || bells.iter().for_each(Bell::ring)
        };
        let checks = Arc::new(Checks::new(ring));
        let orders = Orders::new(
            Arc::clone(&snapshot),
            config.state_file.clone(),
            bells,
            events.clone(),
        );
        let orders = Arc::new(orders);
        snapshot.load().begin();
        orders.recall();
        let reloading = Arc::new(tokio::sync::Mutex::default());
        let caretaker = Caretaker {
            snapshot: Arc::clone(&snapshot),
            resolver: Arc::clone(&resolver),
            checks: Arc::clone(&checks),
            orders: Arc::clone(&orders),
            reloading: Arc::clone(&reloading),
            events: events.clone(),
        };
        let server = Self {
            background: tokio::spawn(caretaker.run()),
            checks,
            orders,
            snapshot,
            workers,
            resolver,
            access,
            h2_floods,
            bound: Mutex::default(),
            is_ending: AtomicBool::new(false),
            ended: Notify::new(),
            reloading,
            events,
            retired: Mutex::default(),
            tracer: Mutex::new(config.tracing.clone().zip(tracer)),
            started: Instant::now(),
            started_at: Timestamp::now(),
        };
        let first = server.snapshot.load_full();
        server.checks.look(first.prospects(), true).await?;
        server.checks.follow(first.pools().cloned().collect())?;
        server.listen(listening).await;
        announce(&config, &server.bound());
        let plural = if count == 1 { "" } else { "s" };
        let started = format!("started, with {count} worker{plural}");
        server
            .events
            .tell(Severity::Info, EventKind::Started, (None, None), started);
        Ok(server)
    }

    /// The addresses that are listened on, those of listeners before those of streams, in the file's order, with the ports that the system chose.
    pub fn listen_addrs(&self) -> Vec<SocketAddr> {
        self.bound().iter().map(|bound| bound.actual).collect()
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
        let wanted = ports(&config);
        let current = self.bound().clone();
        let is_bound = |port: &Port| current.iter().any(|bound| bound.configured == *port);
        let new = wanted.iter().copied().filter(|port| !is_bound(port));
        let added = bind_all(new.collect(), self.workers.len(), &current)?;
        let edited = self.snapshot.load().edited(&config.pools);
        tokio::select! {
            () = self.resolver.refresh(&edited) => {}
            () = self.ending() => return Err(StartError::Ending),
        }
        let previous = self.snapshot.load_full();
        let tracer = self.tracer_for(&config);
        let tracer = tracer.as_ref();
        let next = Snapshot::build(
            &config,
            &self.resolver,
            &self.events,
            tracer.map(|(_, tracer)| tracer),
            Some(&previous),
        )?;
        drop(previous);
        next.awaken();
        // What is new is checked before anything is sent to it.
        tokio::select! {
            looked = self.checks.look(next.prospects(), true) => looked?,
            () = self.ending() => return Err(StartError::Ending),
        }
        // Not before: the log may be opened again while servers are looked at.
        let sink = open(&config.log.access)?;
        // From here on nothing fails.
        let removed = current
            .iter()
            .filter(|bound| !wanted.contains(&bound.configured));
        self.close(removed.map(|bound| bound.configured).collect())
            .await;
        let next = Arc::new(next);
        // What was there before is asked while it is there.
        let previous = self.snapshot.swap(Arc::clone(&next));
        next.begin();
        self.retire(&previous, &next);
        drop(previous);
        self.follow_tracer(tracer.cloned());
        self.access.switch(sink);
        self.orders.look_again();
        // It says itself why not.
        let _ = self.orders.keep();
        self.listen(added).await;
        self.bound()
            .sort_by_key(|bound| wanted.iter().position(|port| *port == bound.configured));
        for worker in &self.workers {
            worker.look_around();
        }
        announce(&config, &self.bound());
        next.announce_edits();
        if let Err(error) = self.checks.follow(next.pools().cloned().collect()) {
            tracing::error!("servers cannot be checked: {error}");
        }
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

    /// Does what an operator wants of a server of a pool.
    ///
    /// # Errors
    /// There is no such pool or server.
    pub fn order(&self, wish: &Wish) -> Result<Ordered, OrderError> {
        self.orders.give(wish)
    }

    /// What is to be told of the servers of `pool` that `server` stands for.
    ///
    /// # Errors
    /// There is no such pool or server.
    fn servers(&self, pool: &str, server: &str) -> Result<Vec<ServerStatus>, OrderError> {
        let pool = self.orders.pool(pool)?;
        Ok(pool.status_of(server, Instant::now())?)
    }

    /// What would become of a request now, under `config`, which is what is served.
    fn explain(&self, config: &Config, question: &Question) -> Result<String, String> {
        let snapshot = self.snapshot.load();
        explain(config, |bind| snapshot.site(bind).cloned(), question)
    }

    /// What has happened of late.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether it has been told to end.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Returns once it has been told to end.
    async fn ending(&self) {
        let mut ended = pin!(self.ended.notified());
        // Either this hears of it, or it has been told already.
        ended.as_mut().enable();
        if !self.is_ending() {
            ended.await;
        }
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
        let was_ending = self.is_ending.swap(true, Ordering::Relaxed);
        self.ended.notify_waiters();
        self.background.abort();
        // A reload that is under way hears of it, or is done in a moment; none begins any more.
        drop(self.reloading.lock().await);
        if !was_ending {
            self.orders.end();
        }
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
        let tracer = self.tracer().as_ref().map(|(_, tracer)| Arc::clone(tracer));
        if let Some(tracer) = tracer {
            // Whoever asks for the end a second time does not wait for it.
            let _ = tokio::task::spawn_blocking(move || tracer.shutdown()).await;
        }
    }

    async fn listen(&self, listening: Vec<Sockets>) {
        for Sockets { bound, sockets } in listening {
            for (worker, socket) in self.workers.iter().zip(sockets) {
                worker.listen(bound.configured, socket).await;
            }
            self.bound().push(bound);
        }
    }

    async fn close(&self, removed: Vec<Port>) {
        for port in removed {
            for worker in &self.workers {
                worker.close(port).await;
            }
            self.bound().retain(|bound| bound.configured != port);
            tracing::info!("no longer listening on {}", port.address);
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
