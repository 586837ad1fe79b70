//! What is known of one client's datagrams to one server.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

use super::port::Asker;
use crate::{
    net::{Datagrams, PeerDatagrams, Received},
    upstream::Failure,
};

/// The most of a datagram that is kept for another server.
const REPEATED: usize = 2 << 10;
/// How long a server that nothing is heard of may turn out to be none: a machine says at once that nobody listens.
pub(super) const VERDICT: Duration = Duration::from_secs(1);
/// What a session's task and its port know of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) asker: Asker,
    pub(super) peer: RefCell<Rc<PeerDatagrams>>,
    pub(super) started: Instant,
    /// When something came last from either side.
    pub(super) moved: Cell<Instant>,
    /// Since when the client waits for an answer, if it does.
    pub(super) waits_since: Cell<Option<Instant>>,
    /// Datagrams and bytes from the client.
    pub(super) asked: Cell<u64>,
    pub(super) received: Cell<u64>,
    /// Whether a server that does not answer is none.
    pub(super) expects_answers: Cell<bool>,
    /// The last datagram, for another server, should this one turn out to be none.
    pub(super) last: RefCell<Option<Box<[u8]>>>,
    /// Why the server cannot be sent to.
    pub(super) failure: Cell<Option<Failure>>,
    pub(super) is_over: Cell<bool>,
    pub(super) waker: RefCell<Waker>,
}

impl Session {
    /// One of `asker` with `peer` that begins now; `expects_answers`: a server that does not answer is none.
    pub(super) fn new(
        asker: Asker,
        peer: PeerDatagrams,
        expects_answers: bool,
        now: Instant,
    ) -> Rc<Self> {
        Rc::new(Self {
            asker,
            peer: RefCell::new(Rc::new(peer)),
            started: now,
            moved: Cell::new(now),
            waits_since: Cell::new(None),
            asked: Cell::new(0),
            received: Cell::new(0),
            expects_answers: Cell::new(expects_answers),
            last: RefCell::new(None),
            failure: Cell::new(None),
            is_over: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Sends what the client has sent on to the server.
    pub(super) fn pass_on(&self, socket: &Datagrams, received: &Received<'_>, now: Instant) {
        self.moved.set(now);
        self.waits_since.set(self.waits_since.get().or(Some(now)));
        self.asked.set(self.asked.get() + received.count());
        let bytes = received.bytes.len() as u64;
        self.received.set(self.received.get() + bytes);
        self.keep(received, now);
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

    /// Keeps a datagram for as long as its server may turn out to be none.
    fn keep(&self, received: &Received<'_>, now: Instant) {
        let is_undecided = self.expects_answers.get() || now.duration_since(self.started) < VERDICT;
        let is_short = received.count() == 1 && received.bytes.len() <= REPEATED;
        let kept = (is_undecided && is_short).then(|| received.bytes.into());
        self.last.replace(kept);
    }
}

/// Whether an error of sending says nothing of the server.
pub(super) fn is_of_the_datagram(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_datagrams = [Errno::AGAIN, Errno::MSGSIZE, Errno::NOBUFS, Errno::INVAL];
    let code = error.raw_os_error();
    of_datagrams
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == code)
}

pub(super) fn unreachable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::PORT_UNREACHABLE,
        _ => Failure::connecting(error),
    }
}
