//! A server behind lbd: a port that stays ours, a behaviour from [`super::behaviour`], and a record of what came.
//!
//! The port is held by a second, never listening socket of the same REUSEPORT group. So a stopped backend refuses
//! connections, nobody else gets its port meanwhile, and it can start again where it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::behaviour::Behaviour;
use super::peer::{Peer, Record, Request};
use super::wire::Head;

pub(crate) struct Backend {
    port: TcpSocket,
    record: Arc<Record>,
    running: Option<Running>,
    /// Connections of our own that fill the accept queue of [`Backend::never_accepts`].
    _fillers: Vec<TcpStream>,
}

impl Backend {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let mut backend = Self::refuses();
        backend.start_as(behaviour);
        backend
    }

    /// Nothing listens here, until [`Backend::start_as`].
    pub(crate) fn refuses() -> Self {
        let port = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            port,
            record: Arc::default(),
            running: None,
            _fillers: Vec::new(),
        }
    }

    /// A host that drops every SYN: the accept queue is full and nobody accepts.
    pub(crate) async fn never_accepts() -> Self {
        let mut backend = Self::refuses();
        let listener = backend.listen(0);
        // The kernel takes one more than the backlog says; the next ones get no answer to their SYN.
        while let Ok(stream) = timeout(
            Duration::from_millis(100),
            TcpStream::connect(backend.addr()),
        )
        .await
        {
            backend
                ._fillers
                .push(stream.expect("an accept queue with room accepts"));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _ = stopped.await;
            drop(listener);
        });
        backend.running = Some(Running { stop, task });
        backend
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.port
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr())
    }

    /// The same with further keys, such as `backup = true`.
    pub(crate) fn server_with(&self, keys: &str) -> String {
        format!("{{ address = \"{}\", {keys} }}", self.addr())
    }

    /// Starts a stopped server on the port that it had.
    pub(crate) fn start_as(&mut self, behaviour: Behaviour) {
        assert!(self.running.is_none(), "{} runs already", self.addr());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(
            self.listen(1024),
            behaviour,
            Arc::clone(&self.record),
            stopped,
        ));
        self.running = Some(Running { stop, task });
    }

    /// Ends as a killed process does: port and connections are gone when this returns.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("only a running server stops");
        drop(running.stop);
        running.task.await.expect("the accept loop does not panic");
    }

    pub(crate) async fn restart_as(&mut self, behaviour: Behaviour) {
        self.stop().await;
        self.start_as(behaviour);
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// Connections that are still open, as far as the behaviour reads from them.
    pub(crate) fn open(&self) -> usize {
        self.record.open.load(Ordering::SeqCst)
    }

    /// Request heads read so far.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.record
            .heads
            .lock()
            .expect("no panic under the lock")
            .clone()
    }

    /// How many whole requests came, body included.
    pub(crate) fn requests(&self) -> usize {
        self.record
            .requests
            .lock()
            .expect("no panic under the lock")
            .len()
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.record
            .requests
            .lock()
            .expect("no panic under the lock")
            .clone()
    }

    /// The last whole request.
    pub(crate) fn last(&self) -> Request {
        self.seen().pop().expect("a request reached the peer")
    }

    fn listen(&self, backlog: u32) -> TcpListener {
        socket(self.addr())
            .listen(backlog)
            .expect("the port is ours")
    }
}

fn socket(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("reuseaddr");
    socket.set_reuseport(true).expect("reuseport");
    socket.bind(addr).expect("the port is ours");
    socket
}

async fn serve(
    listener: TcpListener,
    behaviour: Behaviour,
    record: Arc<Record>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        // A connection that fails ends; what the test wants to know of it is in the record.
        connections.spawn(behaviour.serve(Peer::new(stream, Arc::clone(&record))));
    }
    drop(listener);
    connections.shutdown().await;
}

struct Running {
    /// Dropped to stop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}
