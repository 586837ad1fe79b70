//! A worker's HTTP/2 connections to peers, each for many requests at a time.
//!
//! A request takes a [`Slot`] on a connection that has room, and opens its stream there. Another
//! connection is made only when none has room, and by one request for all that wait. A connection
//! that is going away, or that has let a request wait for too long, gets no new streams.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::Request;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    failure::Failure,
    lease::Lease,
    peer::{Peer, PeerId},
    transport::{Inside, Transport},
};
use crate::{
    config,
    net::{Deadline, Io, Timer},
};

/// Streams on one connection at most, however many the peer allows. Beyond it they are in each
/// other's way, and a connection that breaks takes them all along.
const STREAMS: usize = 128;
/// What a stream may hold that its client does not take; and the connection for all its streams, so
/// that clients which take nothing never hold up one which does.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

/// A peer's head beyond this is no answer; bytes of bodies that may wait for a connection to take them.
const LARGEST_HEAD: u32 = 64 << 10;
const MOST_WAITING: usize = 64 << 10;

/// How long a peer's system may leave what it was sent, or a question whether it is there, without an answer. One that
/// answers and takes nothing has at least as long as the file says.
const VANISHED: Duration = Duration::from_secs(30);

/// How a request comes to a peer.
#[derive(Debug)]
pub struct Way<'w> {
    /// The peer.
    pub lease: &'w Lease,
    /// How it is spoken to.
    pub transport: &'w Arc<Transport>,
    /// How long connections are kept, and for how many requests.
    pub limits: &'w config::Keepalive,
    /// The request's own.
    pub timer: &'w Timer,
    /// For a connection that has to be made.
    pub patience: Duration,
    /// For bytes that the peer does not take.
    pub silence: Duration,
}

/// HTTP/2 connections of one worker, by peer.
#[derive(Debug, Default)]
pub struct Multiplexed {
    peers: RefCell<BTreeMap<PeerId, Shared>>,
}

/// The connections to one peer.
#[derive(Debug)]
struct Shared {
    peer: Weak<Peer>,
    connections: Vec<Rc<Connection>>,
    /// The connection that is being made, if one is.
    making: Option<Rc<Making>>,
}

/// One connection to a peer.
struct Connection {
    transport: Arc<Transport>,
    authority: Arc<str>,
    requests: SendRequest<Bytes>,
    /// Streams that are open, and how many there were.
    open: Cell<usize>,
    opened: Cell<u32>,
    idle_since: Cell<Instant>,
    /// How long it may be idle.
    patience: Cell<Duration>,
    /// Whether it gets no new streams.
    is_retired: Cell<bool>,
}

/// A connection that one request makes and others wait for.
#[derive(Debug, Default)]
struct Making {
    failure: Cell<Option<Failure>>,
    over: Notify,
}

/// One stream's place on a connection.
pub struct Slot {
    connection: Rc<Connection>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl Slot {
    /// Opens the stream with `request`, which has no body if `ends`.
    ///
    /// # Errors
    /// The connection is going away; nothing was sent.
    pub fn open(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.connection.requests.clone();
        let opened = match requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => requests.send_request(request, ends),
        };
        if opened.is_err() {
            self.retire();
        }
        opened
    }

    /// Has the connection get no new streams.
    pub fn retire(&self) {
        self.connection.is_retired.set(true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.open.set(connection.open.get() - 1);
        if connection.open.get() == 0 {
            connection.idle_since.set(Instant::now());
        }
    }
}

impl Connection {
    /// A place for one more stream, if `transport` made it and it has one.
    fn slot(self: &Rc<Self>, way: &Way<'_>) -> Option<Slot> {
        let is_fit = way
            .transport
            .made(&self.transport, &self.authority, way.lease.authority());
        let has_room = self.open.get() < self.requests.current_max_send_streams().min(STREAMS);
        if self.is_retired.get() || !has_room || !is_fit {
            return None;
        }
        let mut requests = self.requests.clone();
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            self.is_retired.set(true);
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.opened.set(self.opened.get() + 1);
        self.patience.set(way.limits.timeout);
        if self.opened.get() >= way.limits.requests {
            self.is_retired.set(true);
        }
        Some(Slot {
            connection: Rc::clone(self),
        })
    }
}

impl Multiplexed {
    /// A place for a stream, on a connection that is there or that is made now. Says, too, whether it was there.
    ///
    /// # Errors
    /// A [`Failure`] that sent nothing.
    pub async fn slot(&self, way: &Way<'_>) -> Result<(Slot, bool), Failure> {
        let mut is_reused = true;
        // Whoever makes the connection may give up, and the next one begin anew.
        let deadline = Deadline::At(Instant::now() + way.patience);
        loop {
            let (slot, making) = self.find(way);
            if let Some(slot) = slot {
                return Ok((slot, is_reused));
            }
            is_reused = false;
            match making {
                Some(making) => {
                    let over = way.timer.limit(deadline, making.over.notified());
                    over.await.ok_or(Failure::CONNECT_TIMEOUT)?;
                    if let Some(failure) = making.failure.get() {
                        return Err(failure);
                    }
                }
                None => self.make(way).await?,
            }
        }
    }

    /// A place, or who is making a connection.
    fn find(&self, way: &Way<'_>) -> (Option<Slot>, Option<Rc<Making>>) {
        let peers = self.peers.borrow();
        let Some(shared) = peers.get(&way.lease.peer().id()) else {
            return (None, None);
        };
        let mut connections = shared.connections.iter();
        let slot = connections.find_map(|connection| connection.slot(way));
        (slot, shared.making.clone())
    }

    /// Makes a connection, for everybody who waits for one.
    async fn make(&self, way: &Way<'_>) -> Result<(), Failure> {
        let making = Making::begin(self, way.lease);
        let connected = connect(way).await;
        match connected {
            Ok(connection) => {
                making.with(|shared| shared.connections.push(Rc::new(connection)));
                Ok(())
            }
            Err(failure) => {
                making.making.failure.set(Some(failure));
                Err(failure)
            }
        }
    }

    /// Closes what has been idle for too long, and forgets what has ended and peers that are gone.
    pub fn sweep(&self, now: Instant) {
        self.peers.borrow_mut().retain(|_, shared| {
            let is_named = shared.peer.strong_count() > 0;
            shared.connections.retain(|connection| {
                let is_old =
                    now.duration_since(connection.idle_since.get()) >= connection.patience.get();
                let is_of_use = is_named && !connection.is_retired.get() && !is_old;
                connection.open.get() > 0 || is_of_use
            });
            if let Some(peer) = shared.peer.upgrade() {
                let connections = shared.connections.iter();
                let idle = connections.filter(|connection| connection.open.get() == 0);
                peer.stats.own().idle.set(idle.count() as u64);
            }
            !shared.connections.is_empty() || shared.making.is_some()
        });
    }
}

/// Ends the wait of the others, whatever becomes of the request that makes the connection.
struct MakingGuard<'m> {
    all: &'m Multiplexed,
    peer: PeerId,
    making: Rc<Making>,
}

impl Making {
    fn begin<'m>(all: &'m Multiplexed, lease: &Lease) -> MakingGuard<'m> {
        let making = Rc::new(Self::default());
        let peer = lease.peer();
        let mut peers = all.peers.borrow_mut();
        let shared = peers.entry(peer.id()).or_insert_with(|| Shared {
            peer: Arc::downgrade(peer),
            connections: Vec::new(),
            making: None,
        });
        shared.making = Some(Rc::clone(&making));
        MakingGuard {
            all,
            peer: peer.id(),
            making,
        }
    }
}

impl MakingGuard<'_> {
    fn with(&self, change: impl FnOnce(&mut Shared)) {
        if let Some(shared) = self.all.peers.borrow_mut().get_mut(&self.peer) {
            change(shared);
        }
    }
}

impl Drop for MakingGuard<'_> {
    fn drop(&mut self) {
        self.with(|shared| shared.making = None);
        self.making.over.notify_waiters();
    }
}

/// A connection with its preface on the way, and a task that keeps it going.
async fn connect(way: &Way<'_>) -> Result<Connection, Failure> {
    let deadline = Deadline::At(Instant::now() + way.patience);
    let stream = way
        .transport
        .connect(way.lease, way.timer, deadline, Inside::Http)
        .await?;
    stream.give_up_after(VANISHED.max(way.silence));
    let shaking = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LARGEST_HEAD)
        .max_send_buffer_size(MOST_WAITING)
        .enable_push(false)
        // None before the peer has said how many it takes.
        .initial_max_send_streams(0)
        // Clients that leave or read slowly are no fault of the peer's, and of no other client.
        .max_concurrent_reset_streams(8 * STREAMS)
        .max_local_error_reset_streams(None)
        .data_frame_budget(usize::MAX / 2)
        .handshake(Io::new(Rc::new(stream)));
    let shaken = shaking.await;
    let (requests, connection) = shaken.map_err(|error| Failure::stream(&error).unsent())?;
    let (settled, is_settled) = oneshot::channel();
    tokio::task::spawn_local(drive(connection, requests.clone(), settled));
    let settling = way.timer.limit(deadline, is_settled).await;
    let closed = || Failure::reading(&io::ErrorKind::UnexpectedEof.into()).unsent();
    settling
        .ok_or(Failure::CONNECT_TIMEOUT)?
        .map_err(|_| closed())?;
    Ok(Connection {
        transport: Arc::clone(way.transport),
        authority: Arc::clone(way.lease.authority()),
        requests,
        open: Cell::new(0),
        opened: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        patience: Cell::new(way.limits.timeout),
        is_retired: Cell::new(false),
    })
}

/// Keeps `connection` going until it ends; tells `settled`, while it listens, once its peer takes streams.
async fn drive(
    mut connection: h2::client::Connection<Io>,
    requests: SendRequest<Bytes>,
    settled: oneshot::Sender<()>,
) {
    let mut waiting = Some((requests, settled));
    // Every stream on it hears of an error by itself.
    let _ = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some((requests, settled)) = waiting.take_if(|(requests, settled)| {
            requests.current_max_send_streams() > 0 || settled.poll_closed(cx).is_ready()
        }) {
            drop(requests);
            // Whoever waited may have given up.
            let _ = settled.send(());
        }
        polled
    })
    .await;
}
