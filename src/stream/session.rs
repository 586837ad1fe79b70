//! One client's datagrams to one server, and back.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use http::Method;
use tokio::time::Instant;

use super::{
    connection::StreamArrival,
    forwarder::{Destination, Forwarder, Place, Target},
    journal::{Journal, write},
    port::Table,
};
use crate::{
    net::{Arrived, Batch, Datagrams, PeerDatagrams, Received, Timer},
    telemetry::HeldRecord,
    upstream::{Failure, Lease, PeerId, PickContext, TrySoFar},
};

/// The most of a first datagram that is kept for another server.
const REPEATED: usize = 2 << 10;
/// How long: a machine says at once that nobody listens.
const REPEATED_FOR: Duration = Duration::from_secs(1);
/// How long a session that has no future waits for an answer.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// What a session's task and its port know of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: SocketAddr,
    /// The address of ours that the client knows.
    to: Option<IpAddr>,
    peer: RefCell<Rc<PeerDatagrams>>,
    started: Instant,
    /// When something came last from either side, and when from the client.
    moved: Cell<Instant>,
    asked: Cell<Instant>,
    /// Bytes from the client.
    received: Cell<u64>,
    /// Whether a server that does not answer is none.
    awaits_answers: bool,
    /// What another server is sent, should this one turn out to be none.
    first: RefCell<Option<Box<[u8]>>>,
    /// Why the server cannot be sent to.
    failure: Cell<Option<Failure>>,
    is_over: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Session {
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Sends what the client has sent on to the server.
    pub(super) fn pass_on(&self, socket: &Datagrams, received: &Received<'_>, now: Instant) {
        if now.duration_since(self.started) > REPEATED_FOR && !self.awaits_answers {
            self.first.take();
        }
        self.moved.set(now);
        self.asked.set(now);
        let bytes = received.bytes.len() as u64;
        self.received.set(self.received.get() + bytes);
        match socket.send_to(&self.peer.borrow(), received) {
            Ok(()) => {}
            // What there is no room for is lost, as datagrams are; and so is one that is too long for the way.
            Err(error) if is_of_the_datagram(&error) => {}
            Err(error) => {
                // The last one was answered so. This one has not left.
                self.failure.set(Some(unreachable(&error)));
                self.waker.borrow().wake_by_ref();
            }
        }
    }
}

/// Whether an error of sending says nothing of the server.
fn is_of_the_datagram(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_datagrams = [Errno::AGAIN, Errno::MSGSIZE, Errno::NOBUFS, Errno::INVAL];
    let code = error.raw_os_error();
    of_datagrams
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == code)
}

fn unreachable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::PORT_UNREACHABLE,
        _ => Failure::connecting(error),
    }
}

/// A session while it lasts.
pub(super) struct Life {
    table: Rc<Table>,
    forwarder: Arc<Forwarder>,
    destination: Arc<Destination>,
    arrival: StreamArrival,
    session: Rc<Session>,
    lease: Lease,
    tried: Vec<PeerId>,
    timer: Timer,
    /// Datagrams and bytes from the server.
    answers: u64,
    sent: u64,
    _place: Place,
}

impl Life {
    /// A session of the client that has sent `received`, which is not sent on yet. `None`: there is no server.
    pub(super) fn begin(
        table: &Rc<Table>,
        forwarder: &Arc<Forwarder>,
        arrival: &StreamArrival,
        place: Place,
        now: Instant,
        received: &Received<'_>,
    ) -> Option<Self> {
        let Target::Pool(destination) = &forwarder.target else {
            return None;
        };
        let client = received.from.ip().to_canonical();
        let mut tried = Vec::new();
        let Some((lease, peer)) = choose(destination, client, &mut tried, now) else {
            let shared = &table.shared;
            let mut journal = Journal::new(shared, forwarder, received.from, arrival.actual);
            journal.is_for(destination);
            journal.ends_with(502);
            return None;
        };
        let may_be_repeated = received.count() == 1 && received.bytes.len() <= REPEATED;
        let session = Session {
            client: received.from,
            to: received.to,
            peer: RefCell::new(Rc::new(peer)),
            started: now,
            moved: Cell::new(now),
            asked: Cell::new(now),
            received: Cell::new(0),
            awaits_answers: forwarder.responses.is_some(),
            first: RefCell::new(may_be_repeated.then(|| received.bytes.into())),
            failure: Cell::new(None),
            is_over: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        };
        table.shared.drain.enter();
        Some(Self {
            table: Rc::clone(table),
            forwarder: Arc::clone(forwarder),
            destination: Arc::clone(destination),
            arrival: *arrival,
            session: Rc::new(session),
            lease,
            tried,
            timer: table.shared.timers.timer(),
            answers: 0,
            sent: 0,
            _place: place,
        })
    }

    pub(super) fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// Passes answers on until the session is over, and turns to another server if the first is none.
    pub(super) async fn run(mut self) {
        let table = Rc::clone(&self.table);
        let forwarder = Arc::clone(&self.forwarder);
        let client = self.session.client;
        let mut journal = Journal::new(&table.shared, &forwarder, client, self.arrival.actual);
        journal.is_for(&self.destination);
        loop {
            journal.begin_attempt(self.lease.peer(), Instant::now());
            let outcome = self.pass_answers_on().await;
            let now = Instant::now();
            let Err(failure) = outcome else {
                journal.attempt_succeeded(now);
                break;
            };
            self.lease.failed(now, &failure);
            journal.attempt_failed(failure.reason, failure.status().as_u16(), now);
            if !self.turn_to_another(&failure, now) {
                break;
            }
        }
        self.end(journal.take_up());
    }

    fn end(&mut self, line: Option<Box<HeldRecord>>) {
        if let Some(mut line) = line {
            let received = self.session.received.get();
            write(&self.table.shared, &mut line, self.sent, received);
        }
    }

    /// Passes the server's answers on until the session is over.
    ///
    /// # Errors
    /// The server turns out to be none.
    async fn pass_answers_on(&mut self) -> Result<(), Failure> {
        let table = Rc::clone(&self.table);
        let peer = Rc::clone(&self.session.peer.borrow());
        while let Some(mut arrived) = self.wait(&table, &peer).await? {
            let mut batch = table.batch.borrow_mut();
            while arrived
                .read(&mut batch)
                .map_err(|error| unreachable(&error))?
            {
                if self.pass_back(&batch) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits for answers; `None` when the session is over.
    async fn wait<'p>(
        &self,
        table: &'p Table,
        peer: &'p PeerDatagrams,
    ) -> Result<Option<Arrived<'p>>, Failure> {
        let mut arrived = pin!(table.socket.arrived_from(peer));
        poll_fn(|cx| {
            self.session.waker.borrow_mut().clone_from(cx.waker());
            if let Some(failure) = self.session.failure.take() {
                return Poll::Ready(Err(failure));
            }
            if let Poll::Ready(arrived) = arrived.as_mut().poll(cx) {
                let arrived = arrived.map_err(|error| unreachable(&error));
                return Poll::Ready(arrived.map(Some));
            }
            self.poll_limits(cx).map_ok(|()| None)
        })
        .await
    }

    /// Sends answers on; says whether the client expects no more.
    fn pass_back(&mut self, batch: &Batch) -> bool {
        let session = &self.session;
        let now = Instant::now();
        session.moved.set(now);
        if self.answers == 0 {
            self.lease.succeeded(now);
            session.first.take();
        }
        let expected = self.forwarder.responses.map_or(u64::MAX, u64::from);
        for received in batch.received() {
            self.answers += received.count();
            let socket = &self.table.socket;
            // What there is no room for is lost, as datagrams are.
            if socket.send(session.client, session.to, &received).is_ok() {
                self.sent += received.bytes.len() as u64;
            }
            if self.answers >= expected {
                return true;
            }
        }
        false
    }

    fn poll_limits(&self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Failure>> {
        let session = &self.session;
        if self.table.is_ending() {
            let is_answered = session.moved.get() > session.asked.get();
            let until = session.asked.get() + LAST_CHANCE;
            if is_answered || self.timer.poll_passed(cx, until).is_ready() {
                return Poll::Ready(Ok(()));
            }
            return Poll::Pending;
        }
        let idle = session.moved.get() + self.forwarder.timeouts.idle;
        let is_silent = self.forwarder.responses.is_some() && self.answers == 0;
        self.timer.poll_passed(cx, idle).map(|()| match is_silent {
            true => Err(Failure::NO_RESPONSE),
            false => Ok(()),
        })
    }

    /// Sends another server what the first has not heard; `false` if there is nothing to send, or nobody to send it to.
    fn turn_to_another(&mut self, failure: &Failure, now: Instant) -> bool {
        self.tried.push(self.lease.peer().id());
        let so_far = TrySoFar {
            tries: self.tried.len(),
            elapsed: now.duration_since(self.session.started),
            replayable: true,
        };
        let Some(first) = self.session.first.borrow().clone() else {
            return false;
        };
        if self.table.is_ending() || !self.destination.retry.allows(failure, &Method::GET, so_far) {
            return false;
        }
        let client = self.session.client.ip().to_canonical();
        let chosen = choose(&self.destination, client, &mut self.tried, now);
        let Some((lease, peer)) = chosen else {
            return false;
        };
        // That it cannot be sent, the next poll hears; and this server has its own time to answer.
        let _ = peer.send(&first);
        self.session.moved.set(now);
        self.lease = lease;
        self.session.peer.replace(Rc::new(peer));
        true
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.session.is_over.set(true);
        self.table.forget(&self.session);
        self.table.shared.drain.leave();
    }
}

/// A server, and a socket towards it.
fn choose(
    destination: &Destination,
    client: IpAddr,
    tried: &mut Vec<PeerId>,
    now: Instant,
) -> Option<(Lease, PeerDatagrams)> {
    loop {
        let context = PickContext { now, client, tried };
        let mut lease = destination.pool.pick(&context).ok()?;
        match PeerDatagrams::connect(lease.peer().address()) {
            Ok(peer) => return Some((lease, peer)),
            Err(error) => {
                lease.failed(now, &Failure::connecting(&error));
                tried.push(lease.peer().id());
            }
        }
    }
}
