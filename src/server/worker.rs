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
    http::{self, Arrival, ClientConnection},
    net::{Datagrams, Listener, Shared, Stream},
    stream::{self, DatagramPort, StreamArrival, StreamConnection},
    telemetry::{AccessLog, AccessWriter, Counter, become_worker},
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
    /// Serve on this socket, which belongs to this port.
    Listen(Port, BoundSocket, oneshot::Sender<()>),
    /// Accept what waits there, then no more.
    Close(Port, oneshot::Sender<()>),
    /// A new snapshot stands.
    LookAround,
    Ping(oneshot::Sender<()>),
    /// End gracefully; the sender is dropped with the worker.
    Drain(Option<Duration>, oneshot::Sender<()>),
}

/// Where something is served: an address as the file says it, and what for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) service: Service,
}

/// What is served at an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Service {
    Http,
    /// Connections are passed on.
    Stream,
    Datagrams,
}

/// One worker's socket on a port.
#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
}

/// What a worker's connections share, by what they speak.
struct Contexts {
    http: Rc<http::Context>,
    stream: Rc<stream::Context>,
    shared: Rc<Shared>,
    snapshot: Rc<CurrentSnapshot>,
}

impl Contexts {
    fn new(snapshot: Arc<ArcSwap<Snapshot>>, access: AccessLog, h2_floods: Arc<Counter>) -> Self {
        let snapshot = Rc::new(CurrentSnapshot::new(snapshot));
        let shared = Shared::new(AccessWriter::new(access), h2_floods);
        let http = http::Context::new(Box::new(Rc::clone(&snapshot)), Rc::clone(&shared));
        let stream = stream::Context {
            forwarders: Box::new(Rc::clone(&snapshot)),
            shared: Rc::clone(&shared),
        };
        Self {
            http: Rc::new(http),
            stream: Rc::new(stream),
            shared,
            snapshot,
        }
    }
}

/// Has a worker look at what has changed around it.
#[derive(Debug)]
pub(super) struct Bell(mpsc::WeakUnboundedSender<Command>);

impl Bell {
    pub(super) fn ring(&self) {
        if let Some(commands) = self.0.upgrade() {
            // A worker that is gone has nobody to wake.
            let _ = commands.send(Command::LookAround);
        }
    }
}

impl Worker {
    pub(super) fn start(
        index: usize,
        snapshot: Arc<ArcSwap<Snapshot>>,
        access: AccessLog,
        h2_floods: Arc<Counter>,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = Builder::new_current_thread();
        thread::Builder::new()
            .name(format!("lbd-worker-{index}"))
            .spawn(move || {
                become_worker(index);
                run(
                    runtime,
                    received,
                    Contexts::new(snapshot, access, h2_floods),
                );
            })?;
        Ok(Self { commands })
    }

    /// Returns once the worker serves on `socket`.
    pub(super) async fn listen(&self, port: Port, socket: BoundSocket) {
        self.ask(|done| Command::Listen(port, socket, done)).await;
    }

    /// Returns once the worker has accepted all that waited at `port`.
    pub(super) async fn close(&self, port: Port) {
        self.ask(|done| Command::Close(port, done)).await;
    }

    /// Whether the worker takes its turn.
    pub(super) async fn ping(&self) -> bool {
        self.ask(Command::Ping).await
    }

    pub(super) fn look_around(&self) {
        self.bell().ring();
    }

    /// A way to have the worker look around, for any thread.
    pub(super) fn bell(&self) -> Bell {
        Bell(self.commands.downgrade())
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
fn run(mut runtime: Builder, commands: mpsc::UnboundedReceiver<Command>, contexts: Contexts) {
    let shared = Rc::clone(&contexts.shared);
    match runtime.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => {
            let mut life = Life {
                contexts,
                accepting: HashMap::new(),
                ending: None,
            };
            runtime.block_on(life.run(commands));
            // Connections that are still there end here, and write their access lines.
            drop(runtime);
            shared.access.flush();
            // Only now does whoever asked for the end hear of it.
            drop(life);
        }
        Err(error) => tracing::error!("a worker cannot start: {error}"),
    }
}

/// The way to stop a task that accepts; it says when it has.
type Stop = oneshot::Sender<oneshot::Sender<()>>;

/// What a worker does between its start and its end.
struct Life {
    contexts: Contexts,
    /// The tasks that accept, each with the way to stop it.
    accepting: HashMap<Port, Stop>,
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
        let timers = Rc::clone(&self.contexts.shared.timers);
        tokio::task::spawn_local(async move { timers.run().await });
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                _ = tick.tick() => look_after(&self.contexts.http),
                () = self.ended() => return,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Listen(port, socket, done) => match self.serve(port, socket) {
                Ok(stop) => {
                    self.accepting.insert(port, stop);
                    // Whoever asked may have given up waiting; so below.
                    let _ = done.send(());
                }
                Err(error) => tracing::error!("cannot listen on {}: {error}", port.address),
            },
            Command::Close(port, done) => {
                if let Some(stop) = self.accepting.remove(&port) {
                    let _ = stop.send(done);
                }
            }
            Command::LookAround => {
                self.contexts.http.sites.let_go();
                self.contexts.shared.timers.wake_all();
            }
            Command::Ping(done) => drop(done.send(())),
            Command::Drain(patience, done) => self.drain(patience, done).await,
        }
    }

    /// Serves on `socket` in a task of its own; gives the way to stop it.
    fn serve(&self, port: Port, socket: BoundSocket) -> io::Result<Stop> {
        let (stop, stopped) = oneshot::channel();
        match socket {
            BoundSocket::Tcp(socket) => {
                let listener = Listener::new(socket)?;
                let serve = self.service(port, listener.address());
                tokio::task::spawn_local(accept(listener, stopped, serve));
            }
            BoundSocket::Udp(socket) => {
                let socket = Datagrams::new(socket)?;
                let datagrams = DatagramPort::new(&self.contexts.stream, socket, port.address);
                tokio::task::spawn_local(receive(datagrams, stopped));
            }
        }
        Ok(stop)
    }

    /// What is done with each connection that comes to `actual`.
    fn service(&self, port: Port, actual: SocketAddr) -> Box<dyn Fn(Stream, SocketAddr)> {
        let configured = port.address;
        match port.service {
            Service::Http => {
                let context = Rc::clone(&self.contexts.http);
                let arrival = Rc::new(Arrival {
                    listener: configured,
                    port: actual.port(),
                });
                Box::new(move |stream, client| {
                    let new = ClientConnection::new(&context, stream, client, &arrival);
                    if let Some(mut connection) = new {
                        tokio::task::spawn_local(async move { connection.serve().await });
                    }
                })
            }
            Service::Stream | Service::Datagrams => {
                let context = Rc::clone(&self.contexts.stream);
                let arrival = StreamArrival { configured, actual };
                Box::new(move |stream, client| {
                    let new = StreamConnection::new(&context, stream, client, &arrival);
                    if let Some(connection) = new {
                        tokio::task::spawn_local(connection.serve());
                    }
                })
            }
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
        let spread = self.contexts.snapshot.close_spread();
        self.contexts.shared.drain.start(spread);
        self.contexts.shared.timers.wake_all();
    }

    /// Ends when the worker has nothing left to wait for; never, if it is not ending.
    async fn ended(&self) {
        let Some(ending) = &self.ending else {
            return std::future::pending().await;
        };
        let emptied = self.contexts.shared.drain.emptied();
        let Some(patience) = ending.patience else {
            return emptied.await;
        };
        if tokio::time::timeout_at(ending.since + patience, emptied)
            .await
            .is_err()
        {
            let left = self.contexts.shared.drain.connections();
            match patience {
                Duration::ZERO => tracing::warn!("{left} connections are cut off"),
                _ => tracing::warn!(
                    "{left} connections are cut off: they did not end within {patience:?}"
                ),
            }
        }
    }
}

fn look_after(context: &http::Context) {
    let now = Instant::now();
    context.keepalive.sweep(now);
    context.multiplexed.sweep(now);
    context.shared.access.flush();
}

/// Accepts for one listener until told to stop, then serves what has been waiting and closes the socket.
async fn accept(
    listener: Listener,
    mut stopped: oneshot::Receiver<oneshot::Sender<()>>,
    serve: Box<dyn Fn(Stream, SocketAddr)>,
) {
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

/// Passes datagrams on until told to stop. Its socket is closed with the last session that is still to be answered.
async fn receive(port: DatagramPort, mut stopped: oneshot::Receiver<oneshot::Sender<()>>) {
    let done = tokio::select! {
        biased;
        stop = &mut stopped => stop,
        () = port.run() => return,
    };
    port.close();
    if let Ok(done) = done {
        let _ = done.send(());
    }
}
