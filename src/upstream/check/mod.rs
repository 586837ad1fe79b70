//! Ask servers by ourselves whether they are well, so that no user has to find out.
//!
//! All checks run on one thread of their own: neither a reload that reads files nor a worker under load delays one.
//! A server is asked in the way that it gets its traffic, with the same TLS and PROXY header.

mod grpc;
mod http;
mod http2;
mod mqtt;
mod probe;
mod tcp;
mod watch;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use self::watch::Watch;
use super::pool::{NextSet, Pool};

/// The thread that checks servers, once there are any to check.
pub struct Checks {
    commands: Mutex<Option<mpsc::UnboundedSender<Command>>>,
    on_close: OnClose,
}

/// Called when tunnels to a server are to be closed.
type OnClose = Arc<dyn Fn() + Send + Sync>;

/// What the thread is told.
enum Command {
    /// Check these servers once each, and forgive them or not; the sender goes when that is done.
    Look(Vec<Watch>, bool, oneshot::Sender<()>),
    /// Check these from now on, and no others.
    Follow(Vec<Watch>),
}

impl Checks {
    /// No checks yet. `on_close` is called when tunnels to a server are to be closed: workers have to look at them.
    pub fn new(on_close: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            commands: Mutex::default(),
            on_close: Arc::new(on_close),
        }
    }

    /// Checks those servers once of which nothing is known; and if it `forgives`, those that requests took out. Takes no longer than the longest of their timeouts.
    ///
    /// # Errors
    /// The system gives no thread.
    pub async fn look(&self, sets: Vec<(Arc<Pool>, NextSet)>, forgives: bool) -> io::Result<()> {
        let watches = sets
            .iter()
            .flat_map(|(pool, set)| Watch::all_of(pool, &set.0));
        let pending: Vec<_> = watches.filter(|watch| watch.is_wanted(forgives)).collect();
        let (done, is_done) = oneshot::channel();
        if !pending.is_empty() {
            self.send(Command::Look(pending, forgives, done))?;
            // A thread that is gone has nothing to say.
            let _ = is_done.await;
        }
        Ok(())
    }

    /// Checks the servers of `pools` from now on, and no others.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn follow(&self, pools: Vec<Arc<Pool>>) -> io::Result<()> {
        let watches = pools
            .iter()
            .flat_map(|pool| Watch::all_of(pool, &pool.own_set().0));
        let watches: Vec<_> = watches.collect();
        if watches.is_empty() && self.commands().is_none() {
            return Ok(());
        }
        self.send(Command::Follow(watches))
    }

    fn send(&self, command: Command) -> io::Result<()> {
        let mut commands = self.commands();
        if commands.is_none() {
            *commands = Some(start(Arc::clone(&self.on_close))?);
        }
        if let Some(commands) = &*commands {
            // As above.
            let _ = commands.send(command);
        }
        Ok(())
    }

    fn commands(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<Command>>> {
        // Set once, as a whole.
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").finish_non_exhaustive()
    }
}

fn start(on_close: OnClose) -> io::Result<mpsc::UnboundedSender<Command>> {
    let (commands, received) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("lbd-checks".to_owned())
        .spawn(move || {
            let mut runtime = Builder::new_current_thread();
            match runtime.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(obey(received, on_close)),
                Err(error) => tracing::error!("servers cannot be checked: {error}"),
            }
        })?;
    Ok(commands)
}

/// Checks what it is told to, until nobody can tell it any more.
async fn obey(mut commands: mpsc::UnboundedReceiver<Command>, on_close: OnClose) {
    // Those of the last command end with the next.
    let mut watches = JoinSet::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Look(pending, forgives, done) => {
                // Dropped by each when it knows something, so that the last one ends the wait.
                let done = Arc::new(done);
                for watch in pending {
                    let (done, on_close) = (Arc::clone(&done), Arc::clone(&on_close));
                    tokio::task::spawn_local(async move {
                        watch.judge(forgives, &on_close).await;
                        drop(done);
                    });
                }
            }
            Command::Follow(followed) => {
                watches = JoinSet::new();
                for watch in followed {
                    watches.spawn_local(watch.run(Arc::clone(&on_close)));
                }
            }
        }
    }
    drop(watches);
}
