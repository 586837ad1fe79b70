//! Ask servers by ourselves whether they are well, so that no user has to find out.
//!
//! All checks run on one thread of their own: neither a reload that reads files nor a worker under load delays one.
//! A server is asked in the way that it gets its traffic, with the same TLS and PROXY header.

mod grpc;
mod http;
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
use super::pool::Pool;

/// The thread that checks servers, once there are any to check.
pub struct Checks {
    commands: Mutex<Option<mpsc::UnboundedSender<Command>>>,
    on_close: OnClose,
}

/// Called when tunnels to a server are to be closed.
type OnClose = Arc<dyn Fn() + Send + Sync>;

/// Check these pools from now on, and say when each server has been checked once.
struct Command(Vec<Arc<Pool>>, oneshot::Sender<()>);

impl Checks {
    /// No checks yet. `on_close` is called when tunnels to a server are to be closed: workers have to look at them.
    pub fn new(on_close: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            commands: Mutex::default(),
            on_close: Arc::new(on_close),
        }
    }

    /// Checks the servers of `pools` from now on, and no others. Returns once each that nothing was known of has been
    /// checked, which takes no longer than the longest of their timeouts.
    ///
    /// # Errors
    /// The system gives no thread.
    pub async fn follow(&self, pools: Vec<Arc<Pool>>) -> io::Result<()> {
        let (done, is_done) = oneshot::channel();
        self.send(Command(pools, done))?;
        // A thread that is gone has nothing to say.
        let _ = is_done.await;
        Ok(())
    }

    fn send(&self, command: Command) -> io::Result<()> {
        let mut commands = self.commands();
        let has_checks = command.0.iter().any(|pool| pool.config().health.is_some());
        if commands.is_none() && has_checks {
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
    while let Some(Command(pools, done)) = commands.recv().await {
        watches = JoinSet::new();
        // Dropped by each when it knows something, so that the last one ends the wait.
        let done = Arc::new(done);
        for pool in &pools {
            for watch in Watch::all_of(pool) {
                watches.spawn_local(watch.run(Arc::clone(&on_close), Arc::clone(&done)));
            }
        }
    }
    drop(watches);
}
