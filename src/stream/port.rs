//! One worker's share of a UDP port: which client's datagrams belong to which session.
//!
//! The kernel gives all datagrams of one client to one worker, for as long as no socket comes or goes.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, hash_map::Entry},
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::StreamArrival,
    context::Context,
    session::{Life, Session},
};
use crate::{
    config::StreamProtocol,
    net::{Arrived, Batch, Datagrams, Received, Shared},
    telemetry::Seldom,
};

/// One worker's share of a UDP port.
#[derive(Debug)]
pub struct DatagramPort {
    context: Rc<Context>,
    arrival: StreamArrival,
    table: Rc<Table>,
}

/// The sessions of one worker's share, and what they have in common.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shared: Rc<Shared>,
    pub(super) socket: Datagrams,
    /// Where datagrams are read to: between two waits, nobody keeps any.
    pub(super) batch: RefCell<Batch>,
    sessions: RefCell<HashMap<SocketAddr, Rc<Session>>>,
    is_closed: Cell<bool>,
}

impl Table {
    /// Whether sessions have no future.
    pub(super) fn is_ending(&self) -> bool {
        self.is_closed.get() || self.shared.drain.is_draining()
    }

    /// Forgets `session`, unless its client has another by now.
    pub(super) fn forget(&self, session: &Rc<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        if let Entry::Occupied(known) = sessions.entry(session.client)
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
                shared: Rc::clone(&context.shared),
                socket,
                batch: RefCell::default(),
                sessions: RefCell::default(),
                is_closed: Cell::new(false),
            }),
            context: Rc::clone(context),
            arrival,
        }
    }

    /// Passes on what clients send; never ends.
    pub async fn run(&self) {
        let mut complaint = None;
        loop {
            let arrived = self.table.socket.arrived().await;
            if let Err(error) = arrived.and_then(|mut arrived| self.receive(&mut arrived))
                && complaint.replace(error.kind()) != Some(error.kind())
            {
                tracing::error!("cannot receive on {}: {error}", self.arrival.actual);
            }
        }
    }

    /// Passes on what has arrived.
    fn receive(&self, arrived: &mut Arrived<'_>) -> io::Result<()> {
        let mut batch = self.table.batch.borrow_mut();
        while arrived.read(&mut batch)? {
            let now = Instant::now();
            batch.received().for_each(|one| self.pass_on(&one, now));
        }
        Ok(())
    }

    /// Has every session end once it is answered.
    pub fn close(self) {
        self.table.is_closed.set(true);
        self.table.shared.timers.wake_all();
    }

    fn pass_on(&self, received: &Received<'_>, now: Instant) {
        let known = self.table.sessions.borrow().get(&received.from).cloned();
        match known {
            Some(session) if !session.is_over() => {
                session.pass_on(&self.table.socket, received, now);
            }
            _ => self.begin(received, now),
        }
    }

    fn begin(&self, received: &Received<'_>, now: Instant) {
        let forwarders = &self.context.forwarders;
        let Some(forwarder) = forwarders.forwarder(self.arrival.configured, StreamProtocol::Udp)
        else {
            return;
        };
        let Some(place) = forwarder.place() else {
            return complain_of_crowd(self.arrival.actual);
        };
        let Some(life) = Life::begin(&self.table, &forwarder, &self.arrival, place, now, received)
        else {
            return;
        };
        let session = Rc::clone(life.session());
        self.table
            .sessions
            .borrow_mut()
            .insert(received.from, Rc::clone(&session));
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
            "UDP {port}: `max_sessions` are open; datagrams of new clients are lost"
        );
    }
}
