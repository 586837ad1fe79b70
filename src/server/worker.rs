//! One worker: an operating system's thread with a runtime, listening sockets, connections and idle
//! connections to peers of its own. Nothing of a request ever leaves it.

use std::{collections::HashMap, io, net::SocketAddr, rc::Rc, sync::Arc, thread, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::snapshot::{CurrentSnapshot, Snapshot};
use crate::{
    http::{Arrival, ClientConnection, Context},
    net::{Listener, Stream},
    telemetry::{AccessLog, AccessWriter, Troubles},
};

/// How often a worker looks after its idle connections and hands its access lines on.
const TICK: Duration = Duration::from_secs(1);

/// The way to one worker. Dropping it ends the worker at once.
#[derive(Debug)]
pub(super) struct Worker {
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
enum Command {
    /// Accept on this socket, which belongs to the listener at this address of the file.
    Listen(SocketAddr, std::net::TcpListener, oneshot::Sender<()>),
    /// Accept what waits there, then no more.
    Close(SocketAddr, oneshot::Sender<()>),
    /// A new snapshot stands.
    LookAround,
    Ping(oneshot::Sender<()>),
    /// End gracefully; the sender is dropped with the worker.
    Drain(Option<Duration>, oneshot::Sender<()>),
}

impl Worker {
    pub(super) fn start(
        index: usize,
        snapshot: Arc<ArcSwap<Snapshot>>,
        access: AccessLog,
        troubles: Arc<Troubles>,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = Builder::new_current_thread();
        thread::Builder::new()
            .name(format!("lbd-worker-{index}"))
            .spawn(move || {
                let context = Context::new(
                    Box::new(CurrentSnapshot::new(snapshot)),
                    AccessWriter::new(access),
                    troubles,
                );
                run(runtime, received, Rc::new(context));
            })?;
        Ok(Self { commands })
    }

    /// Returns once the worker accepts on `socket`.
    pub(super) async fn listen(&self, address: SocketAddr, socket: std::net::TcpListener) {
        self.ask(|done| Command::Listen(address, socket, done))
            .await;
    }

    /// Returns once the worker has accepted all that waited at `address`.
    pub(super) async fn close(&self, address: SocketAddr) {
        self.ask(|done| Command::Close(address, done)).await;
    }

    /// Whether the worker takes its turn.
    pub(super) async fn ping(&self) -> bool {
        self.ask(Command::Ping).await
    }

    pub(super) fn look_around(&self) {
        // A worker that is gone has nobody to wake.
        let _ = self.commands.send(Command::LookAround);
    }

    /// Ends the worker gracefully; the receiver ends with it.
    pub(super) fn drain(&self, deadline: Option<Duration>) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        // If it is gone, so is `done`, and the receiver ends at once.
        let _ = self.commands.send(Command::Drain(deadline, done));
        ended
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) -> bool {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).is_ok() && answer.await.is_ok()
    }
}

/// The worker's thread.
fn run(mut runtime: Builder, commands: mpsc::UnboundedReceiver<Command>, context: Rc<Context>) {
    match runtime.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => {
            let mut life = Life {
                context: Rc::clone(&context),
                accepting: HashMap::new(),
                ending: None,
            };
            runtime.block_on(life.run(commands));
            // Connections that are still there end here, and write their access lines.
            drop(runtime);
            context.access.flush();
            // Only now does whoever asked for the end hear of it.
            drop(life);
        }
        Err(error) => tracing::error!("a worker cannot start: {error}"),
    }
}

/// What a worker does between its start and its end.
struct Life {
    context: Rc<Context>,
    /// The tasks that accept, each with the way to stop it.
    accepting: HashMap<SocketAddr, oneshot::Sender<oneshot::Sender<()>>>,
    ending: Option<Ending>,
}

/// A worker that serves no longer than its connections last.
struct Ending {
    /// From when on, and for how long they are waited for; for ever without the latter.
    since: Instant,
    patience: Option<Duration>,
    /// Told by being dropped with the worker.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Life {
    /// Obeys commands until the last connection of a worker that is ending has gone, or may no longer be waited for.
    async fn run(&mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        let timers = Rc::clone(&self.context.timers);
        tokio::task::spawn_local(async move { timers.run().await });
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                _ = tick.tick() => look_after(&self.context),
                () = self.ended() => return,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Listen(address, socket, done) => match Listener::new(socket) {
                Ok(listener) => {
                    let (stop, stopped) = oneshot::channel();
                    tokio::task::spawn_local(accept(
                        Rc::clone(&self.context),
                        listener,
                        address,
                        stopped,
                    ));
                    self.accepting.insert(address, stop);
                    // Whoever asked may have given up waiting; so below.
                    let _ = done.send(());
                }
                Err(error) => tracing::error!("cannot listen on {address}: {error}"),
            },
            Command::Close(address, done) => {
                if let Some(stop) = self.accepting.remove(&address) {
                    let _ = stop.send(done);
                }
            }
            Command::LookAround => {
                self.context.sites.let_go();
                self.context.timers.wake_all();
            }
            Command::Ping(done) => drop(done.send(())),
            Command::Drain(patience, done) => self.drain(patience, done).await,
        }
    }

    /// Begins to end, or changes until when.
    async fn drain(&mut self, patience: Option<Duration>, done: oneshot::Sender<()>) {
        for (_, stop) in self.accepting.drain() {
            let (closed, is_closed) = oneshot::channel();
            if stop.send(closed).is_ok() {
                // Ends with an error if the task is gone: closed, too.
                let _ = is_closed.await;
            }
        }
        let since = Instant::now();
        let ending = self.ending.get_or_insert(Ending {
            since,
            patience,
            waiting: Vec::new(),
        });
        (ending.since, ending.patience) = (since, patience);
        ending.waiting.push(done);
        self.context.drain.start();
        self.context.timers.wake_all();
    }

    /// Ends when the worker has nothing left to wait for; never, if it is not ending.
    async fn ended(&self) {
        let Some(ending) = &self.ending else {
            return std::future::pending().await;
        };
        let emptied = self.context.drain.emptied();
        let Some(patience) = ending.patience else {
            return emptied.await;
        };
        if tokio::time::timeout_at(ending.since + patience, emptied)
            .await
            .is_err()
        {
            let left = self.context.drain.connections();
            match patience {
                Duration::ZERO => tracing::warn!("{left} connections are cut off"),
                _ => tracing::warn!(
                    "{left} connections are cut off: they did not end within {patience:?}"
                ),
            }
        }
    }
}

fn look_after(context: &Context) {
    let now = Instant::now();
    context.keepalive.sweep(now);
    context.multiplexed.sweep(now);
    context.access.flush();
}

/// Accepts for one listener until told to stop, then serves what has been waiting and closes the socket.
async fn accept(
    context: Rc<Context>,
    listener: Listener,
    address: SocketAddr,
    mut stopped: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let arrival = Rc::new(Arrival {
        listener: address,
        port: listener.address().port(),
    });
    let serve = |stream: Stream, client: SocketAddr| {
        if let Some(mut connection) = ClientConnection::new(&context, stream, client, &arrival) {
            tokio::task::spawn_local(async move { connection.serve().await });
        }
    };
    let done = loop {
        tokio::select! {
            biased;
            stop = &mut stopped => break stop,
            (stream, client) = listener.accept() => serve(stream, client),
        }
    };
    while let Some((stream, client)) = listener.accept_waiting() {
        serve(stream, client);
    }
    drop(listener);
    if let Ok(done) = done {
        let _ = done.send(());
    }
}
