//! One worker's share of a UDP port: which client's datagrams belong to which session.
//!
//! The kernel gives all datagrams of one client to one worker, for as long as no socket comes or goes.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::StreamArrival, context::Context, forwarder::Forwarder, life::Life, session::Session,
};
use crate::{
    config::StreamProtocol,
    net::{Arrived, Batch, Datagrams, Received, Shared},
    telemetry::Seldom,
};

/// One worker's share of a UDP port.
#[derive(Debug)]
pub struct DatagramPort {
    table: Rc<Table>,
}

/// A client, and which address of ours it has asked, where that is not the only one: its answers come from there.
pub(super) type Asker = (SocketAddr, Option<IpAddr>);

/// The sessions of one worker's share, and what they have in common.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) context: Rc<Context>,
    pub(super) arrival: StreamArrival,
    pub(super) socket: Datagrams,
    /// Where datagrams are read to: between two waits, nobody keeps any.
    pub(super) batch: RefCell<Batch>,
    sessions: RefCell<HashMap<Asker, Rc<Session>>>,
    is_closed: Cell<bool>,
}

impl Table {
    /// Whether sessions have no future.
    pub(super) fn is_ending(&self) -> bool {
        self.is_closed.get() || self.shared().drain.is_draining()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.context.shared
    }

    /// What is configured now.
    pub(super) fn forwarder(&self) -> Option<Arc<Forwarder>> {
        let forwarders = &self.context.forwarders;
        forwarders.forwarder(self.arrival.configured, StreamProtocol::Udp)
    }

    fn asker(&self, received: &Received<'_>) -> Asker {
        let to = received.to.filter(|_| self.socket.is_for_every_address());
        (received.from, to)
    }

    /// Forgets `session`, unless its client has another by now.
    pub(super) fn forget(&self, session: &Rc<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        if let Entry::Occupied(known) = sessions.entry(session.asker)
            && Rc::ptr_eq(known.get(), session)
        {
            known.remove();
        }
    }
}

impl DatagramPort {
    /// A port with the socket `socket`.
    pub fn new(context: &Rc<Context>, socket: Datagrams, configured: SocketAddr) -> Self {
        let arrival = StreamArrival {
            configured,
            actual: socket.address(),
        };
        Self {
            table: Rc::new(Table {
                context: Rc::clone(context),
                arrival,
                socket,
                batch: RefCell::default(),
                sessions: RefCell::default(),
                is_closed: Cell::new(false),
            }),
        }
    }

    /// Passes on what clients send; never ends.
    pub async fn run(&self) {
        let mut complaint = None;
        loop {
            let arrived = self.table.socket.arrived().await;
            let received = arrived.and_then(|mut arrived| self.receive(&mut arrived));
            if !matches!(received, Ok(false)) {
                // However fast they come, everybody else has a turn.
                tokio::task::yield_now().await;
            }
            if let Err(error) = received
                && complaint.replace(error.kind()) != Some(error.kind())
            {
                tracing::error!("cannot receive on {}: {error}", self.table.arrival.actual);
            }
        }
    }

    /// Passes on some of what has arrived; says whether there may be more.
    fn receive(&self, arrived: &mut Arrived<'_>) -> io::Result<bool> {
        let mut batch = self.table.batch.borrow_mut();
        let is_more = arrived.read(&mut batch)?;
        let now = Instant::now();
        batch.received().for_each(|one| self.pass_on(&one, now));
        Ok(is_more)
    }

    /// Has every session end once it is answered.
    pub fn close(self) {
        self.table.is_closed.set(true);
        self.table.shared().timers.wake_all();
    }

    fn pass_on(&self, received: &Received<'_>, now: Instant) {
        let asker = self.table.asker(received);
        let known = self.table.sessions.borrow().get(&asker).cloned();
        match known {
            Some(session) if !session.is_over() => {
                session.pass_on(&self.table.socket, received, now);
            }
            _ => self.begin(asker, received, now),
        }
    }

    fn begin(&self, asker: Asker, received: &Received<'_>, now: Instant) {
        let Some(forwarder) = self.table.forwarder() else {
            return;
        };
        let Some(place) = forwarder.place() else {
            let stats = forwarder.gate().stats().own();
            stats.accepted.add(1);
            stats.refused.add(1);
            return complain_of_crowd(self.table.arrival.actual);
        };
        let Some(life) = Life::begin(&self.table, &forwarder, asker, place, now) else {
            return;
        };
        let session = Rc::clone(life.session());
        let mut sessions = self.table.sessions.borrow_mut();
        sessions.insert(asker, Rc::clone(&session));
        session.pass_on(&self.table.socket, received, now);
        tokio::task::spawn_local(life.run());
    }
}

/// Whoever sends from many addresses fills any table: those that are in it go on.
fn complain_of_crowd(port: SocketAddr) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(10));
    if let Some(others) = COMPLAINTS.due() {
        tracing::warn!(
            others,
            "UDP {port}: `max_sessions`, or half of the process's descriptors, are in use; datagrams of new clients are lost"
        );
    }
}
