//! A session of UDP from its first datagram to its end: answers are passed back, and a server that turns out to be
//! none is left for another.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use http::Method;
use tokio::time::Instant;

use super::{
    forwarder::{Destination, Forwarder, SessionPlace, Target},
    journal::{Journal, RELAYED},
    keys::Keys,
    port::{Asker, Table},
    session::{Session, VERDICT, is_of_the_datagram, unreachable},
};
use crate::{
    net::{Arrived, LAST_CHANCE, PeerDatagrams, Timer},
    telemetry::{HeldRecord, Seldom},
    upstream::{Failure, Lease, PeerId, TrySoFar},
};

/// How long a session lasts at most that no server has answered to: anybody can begin one in anybody's name.
const UNANSWERED: Duration = Duration::from_secs(30);

/// There is no server for a session.
const LOST: u16 = 502;

/// What has been passed back.
enum Passed {
    /// All that the client expects.
    Everything,
    /// Some of it; there may be more to read.
    Part { is_more: bool },
}

/// A session while it lasts.
pub(super) struct Life {
    table: Rc<Table>,
    forwarder: Arc<Forwarder>,
    destination: Arc<Destination>,
    session: Rc<Session>,
    lease: Lease,
    tried: Vec<PeerId>,
    timer: Timer,
    /// Datagrams and bytes from the server.
    answers: u64,
    sent: u64,
    /// Whether the server's health knows that it is there.
    is_judged: bool,
    /// Whether the server is not one of the pool's any more.
    is_obsolete: bool,
    /// Since when it is this server.
    attempt_started: Instant,
    _place: SessionPlace,
}

impl Life {
    /// A session of `asker`, to whose server nothing has been sent yet. `None`: there is no server.
    pub(super) fn begin(
        table: &Rc<Table>,
        forwarder: &Arc<Forwarder>,
        asker: Asker,
        place: SessionPlace,
        now: Instant,
    ) -> Option<Self> {
        let Target::Pool(destination) = &forwarder.target else {
            return None;
        };
        let port = table.arrival.actual.port();
        destination.pool.note_request(now);
        let mut tried = Vec::new();
        let Some((lease, peer)) = choose(destination, asker.0, port, &mut tried, now) else {
            note_loss(table, forwarder, destination, asker);
            return None;
        };
        forwarder.gate.stats().own().accepted.add(1);
        let session = Session::new(asker, peer, forwarder.responses.is_some(), now);
        table.shared().drain.enter();
        Some(Self {
            table: Rc::clone(table),
            forwarder: Arc::clone(forwarder),
            destination: Arc::clone(destination),
            session,
            lease,
            tried,
            timer: table.shared().timers.timer(),
            answers: 0,
            sent: 0,
            is_judged: false,
            is_obsolete: false,
            attempt_started: now,
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
        let (client, port) = (self.session.asker.0, table.arrival.actual);
        let mut journal = Journal::new(table.shared(), &forwarder, client, port);
        journal.is_for(&self.destination);
        loop {
            journal.begin_attempt(self.lease.peer(), Instant::now());
            let outcome = self.pass_answers_on().await;
            let Err(failure) = outcome else {
                journal.attempt_succeeded();
                break;
            };
            let now = Instant::now();
            self.lease.failed(now, &failure);
            journal.attempt_failed(failure.reason, failure.status().as_u16(), now);
            if !self.turn_to_another(&failure, now) {
                break;
            }
        }
        self.end(journal.take_up());
    }

    fn end(&mut self, line: Option<Box<HeldRecord>>) {
        let requests = &self.forwarder.gate.stats().own().requests;
        requests.sent.add(self.sent);
        requests.received.add(self.session.received.get());
        self.lease.moved(self.session.received.get(), self.sent);
        if let Some(mut line) = line {
            let received = self.session.received.get();
            self.table
                .shared()
                .write_held(&mut line, self.sent, received);
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
            match self.pass_back(&mut arrived)? {
                Passed::Everything => return Ok(()),
                Passed::Part { is_more: true } => {
                    // However fast they come, everybody else has a turn.
                    tokio::task::yield_now().await;
                }
                Passed::Part { is_more: false } => {}
            }
        }
        Ok(())
    }

    /// Waits for answers; `None` when the session is over.
    async fn wait<'p>(
        &mut self,
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

    /// Sends answers on.
    fn pass_back(&mut self, arrived: &mut Arrived<'_>) -> Result<Passed, Failure> {
        let table = Rc::clone(&self.table);
        let mut batch = table.batch.borrow_mut();
        let is_more = match arrived.read(&mut batch) {
            Err(error) if is_of_the_datagram(&error) => false,
            read => read.map_err(|error| unreachable(&error))?,
        };
        let (now, before) = (Instant::now(), self.answers);
        let expected = self.expected();
        for received in batch.received() {
            self.answers += received.count();
            let (client, asked) = self.session.asker;
            let sent = self.table.socket.send(client, asked, &received);
            // What there is no room for is lost, as datagrams are.
            if sent.is_ok() {
                self.sent += received.bytes.len() as u64;
            }
            if self.answers >= expected {
                break;
            }
        }
        if self.answers > before {
            let session = &self.session;
            session.moved.set(now);
            session.waits_since.set(None);
            session.last.take();
            self.judge(now);
        }
        Ok(match self.answers >= expected {
            true => Passed::Everything,
            false => Passed::Part { is_more },
        })
    }

    /// How many answers there are to be, to all that was asked (nginx `proxy_responses`).
    fn expected(&self) -> u64 {
        let each = self.forwarder.responses.map(u64::from);
        each.map_or(u64::MAX, |each| {
            each.saturating_mul(self.session.asked.get())
        })
    }

    /// The server is there.
    fn judge(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_judged, true) {
            self.lease.answered(RELAYED, now);
            self.lease.succeeded(now);
        }
    }

    fn poll_limits(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Failure>> {
        let session = Rc::clone(&self.session);
        self.follow();
        let is_over = self.table.is_ending() || self.is_obsolete || self.lease.is_closed();
        let waits_since = session.waits_since.get();
        if is_over {
            let until = waits_since.map(|since| since + LAST_CHANCE);
            let is_heard = until.is_none_or(|until| self.timer.poll_passed(cx, until).is_ready());
            return if is_heard {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        }
        let idle = self.forwarder.timeouts.idle;
        if let (true, Some(since)) = (session.expects_answers.get(), waits_since) {
            let late = self.timer.poll_passed(cx, since + idle);
            return late.map(|()| Err(Failure::NO_RESPONSE));
        }
        // One that only listens is there if nobody says otherwise.
        if !self.is_judged && !session.expects_answers.get() {
            let verdict = self.attempt_started + VERDICT;
            if self.timer.poll_passed(cx, verdict).is_ready() {
                self.judge(Instant::now());
            }
        }
        let idle = if self.answers == 0 {
            idle.min(UNANSWERED)
        } else {
            idle
        };
        let over = self.timer.poll_passed(cx, session.moved.get() + idle);
        over.map(Ok)
    }

    /// Follows a reload: a session has nothing that would be lost with another server.
    fn follow(&mut self) {
        let Some(current) = self.table.forwarder() else {
            self.is_obsolete = true;
            return;
        };
        if Arc::ptr_eq(&current, &self.forwarder) {
            return;
        }
        if let Target::Pool(destination) = &current.target {
            self.is_obsolete = !destination.pool.uses(self.lease.peer());
            self.destination = Arc::clone(destination);
        }
        self.session
            .expects_answers
            .set(current.responses.is_some());
        self.forwarder = current;
    }

    /// Sends another server what the first has not heard; `false` if there is nothing to send, or nobody to send it to.
    fn turn_to_another(&mut self, failure: &Failure, now: Instant) -> bool {
        self.tried.push(self.lease.peer().id());
        let so_far = TrySoFar {
            tries: self.tried.len(),
            elapsed: now.duration_since(self.session.started),
            replayable: true,
        };
        let Some(last) = self.session.last.borrow().clone() else {
            return false;
        };
        let Destination { pool, retry } = &*self.destination;
        let may_go_on = retry.allows(failure, &Method::GET, so_far);
        if self.table.is_ending() || !may_go_on {
            return false;
        }
        let (client, port) = (self.session.asker.0, self.table.arrival.actual.port());
        let chosen = choose(&self.destination, client, port, &mut self.tried, now);
        let Some((lease, peer)) = chosen.filter(|_| pool.allows_retry(now)) else {
            return false;
        };
        if let Err(error) = peer.send(&last)
            && !is_of_the_datagram(&error)
        {
            self.session.failure.set(Some(unreachable(&error)));
        }
        // This server has its own time to answer, and one question to answer to.
        self.session.moved.set(now);
        self.session.waits_since.set(Some(now));
        let each = self.forwarder.responses.map_or(1, u64::from);
        self.session.asked.set(self.answers.div_ceil(each) + 1);
        self.attempt_started = now;
        (self.is_judged, self.is_obsolete) = (false, false);
        self.lease = lease;
        self.session.peer.replace(Rc::new(peer));
        true
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.session.is_over.set(true);
        self.table.forget(&self.session);
        self.table.shared().drain.leave();
    }
}

/// Writes the line of a datagram for which there was no server: one now and then, for there may be thousands in a second.
fn note_loss(table: &Table, forwarder: &Forwarder, destination: &Arc<Destination>, asker: Asker) {
    static LINES: Seldom = Seldom::new(Duration::from_secs(1));
    if LINES.due().is_some() {
        let mut journal = Journal::new(table.shared(), forwarder, asker.0, table.arrival.actual);
        journal.is_for(destination);
        journal.ends_with(LOST);
    } else {
        let requests = &forwarder.gate.stats().own().requests;
        requests.codes.count(LOST);
    }
}

/// A server for `client`, which came to `port`, and a socket towards it.
fn choose(
    destination: &Destination,
    client: SocketAddr,
    port: u16,
    tried: &mut Vec<PeerId>,
    now: Instant,
) -> Option<(Lease, PeerDatagrams)> {
    let keys = Keys::new(&destination.pool, client, port);
    loop {
        let mut lease = keys.pick(&destination.pool, tried, now).ok()?;
        match PeerDatagrams::connect(lease.peer().address()) {
            Ok(peer) => {
                keys.bind(&destination.pool, &lease, now);
                return Some((lease, peer));
            }
            Err(error) => {
                lease.failed(now, &Failure::connecting(&error));
                tried.push(lease.peer().id());
            }
        }
    }
}
