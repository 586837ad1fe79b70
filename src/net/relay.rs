//! Bytes between two connections, both ways, until both have said their last.
//!
//! An idle relay is its two sides, a timer and this: memory for bytes is borrowed from the worker when
//! they have come, and kept only while the other side does not take them.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    buffer::{Buffer, BufferPool, BufferSize},
    drain::LAST_CHANCE,
    shared::Shared,
    side::Side,
    stream::Stream,
    timer::Timer,
};

/// How often it is looked within the time that a relay may be idle whether it is: it ends so much later at most.
const LOOKS: u32 = 8;
/// How often a side that is not read from is asked whether it is broken.
const LOOK: Duration = Duration::from_secs(2);

/// Bytes between a client and a peer.
#[derive(Debug)]
pub struct Relay<C: Side> {
    client: C,
    peer: Stream,
    /// From the client, and to it.
    forth: Flow,
    back: Flow,
    timer: Timer,
    idle: Duration,
    /// Since when nothing has moved, when that is looked at next, and how much had moved when it was last.
    quiet_since: Instant,
    looks_at: Instant,
    seen: u64,
    /// When sides that are not read from are asked how they are.
    asks_at: Option<Instant>,
    /// When the sides are told to end, or have been.
    ending: Ending,
}

/// How a relay ends that does not end by itself.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// It does, as far as is known.
    No,
    /// At this time both sides are told to.
    At(Instant),
    /// They have been, and are waited for until then.
    Until(Instant),
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// What has been read and not yet taken.
    buffer: Buffer,
    bytes: u64,
    /// How the one side has ended, if it has.
    end: Option<End>,
    /// Whether the other has been told.
    is_over: bool,
    /// Whether the other takes no more, so that what comes is thrown away.
    is_lost: bool,
}

/// The end of one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It said so.
    Said,
    /// It closed its connection inside TLS without a word, as many do.
    Unsaid,
}

/// A direction broke, and with it the relay.
struct Broken;

impl<C: Side> Relay<C> {
    /// A relay between `client` and `peer`, from each of which some bytes have been read. It ends when neither has
    /// taken anything for as long as `idle`, or an eighth longer.
    pub fn new(client: (C, Buffer), peer: (Stream, Buffer), timer: Timer, idle: Duration) -> Self {
        let flow = |buffer| Flow {
            buffer,
            ..Flow::default()
        };
        let now = Instant::now();
        // As listeners have it for clients.
        peer.0.ask_whether_alive();
        Self {
            client: client.0,
            forth: flow(client.1),
            peer: peer.0,
            back: flow(peer.1),
            timer,
            idle,
            quiet_since: now,
            looks_at: now + idle / LOOKS,
            seen: 0,
            asks_at: None,
            ending: Ending::No,
        }
    }

    /// Has both sides be told that it is over, at the next [`poll`](Self::poll).
    pub fn end_now(&mut self) {
        if matches!(self.ending, Ending::No) {
            self.ending = Ending::At(Instant::now());
        }
    }

    /// Bytes that the peer has taken.
    pub fn from_client(&self) -> u64 {
        self.forth.bytes
    }

    /// Bytes that the client has taken.
    pub fn to_client(&self) -> u64 {
        self.back.bytes
    }

    /// Moves bytes; ready once both sides have ended, one has broken, or nothing has moved for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        let (client, peer, timer) = (&self.client, &self.peer, &self.timer);
        let forth = self.forth.poll(cx, client, peer, &shared.buffers, timer);
        // What broke the one way must not look like an end the other way.
        let back = match forth {
            Poll::Ready(Err(Broken)) => Poll::Pending,
            _ => self.back.poll(cx, peer, client, &shared.buffers, timer),
        };
        match (forth, back) {
            (Poll::Ready(Err(Broken)), _) | (_, Poll::Ready(Err(Broken))) => {
                self.reset();
                return Poll::Ready(());
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        match self.poll_deaf(cx) {
            Poll::Ready(()) => {
                self.reset();
                Poll::Ready(())
            }
            Poll::Pending => self.poll_limits(cx, shared),
        }
    }

    /// What breaks on one side breaks on the other: neither may take what it has for the whole.
    fn reset(&self) {
        if !matches!(self.ending, Ending::Until(_)) {
            self.client.reset();
            self.peer.reset();
        }
    }

    /// Looks after sides that are not read from, because they have said their last or the other takes nothing; ready if
    /// one is broken.
    fn poll_deaf(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (client, peer) = (self.forth.is_deaf(), self.back.is_deaf());
        if !client && !peer {
            self.asks_at = None;
            return Poll::Pending;
        }
        let is_reset = client && self.client.poll_reset(cx).is_ready()
            || peer && self.peer.poll_reset(cx).is_ready();
        if is_reset {
            return Poll::Ready(());
        }
        let asks_at = *self.asks_at.get_or_insert_with(|| Instant::now() + LOOK);
        if self.timer.poll_passed(cx, asks_at).is_ready() {
            self.asks_at = None;
            // Whatever is found, there is more to do.
            cx.waker().wake_by_ref();
            let sides = [
                (client, self.client.failure(), &mut self.back),
                (peer, self.peer.failure(), &mut self.forth),
            ];
            for (is_deaf, failure, to) in sides {
                match failure.filter(|_| is_deaf) {
                    None => {}
                    // It has said its last and is gone; what it has said is still passed on.
                    Some(io::ErrorKind::BrokenPipe) => to.is_lost = true,
                    Some(_) => return Poll::Ready(()),
                }
            }
        }
        // One that takes no more, and has nothing more to say, is only waited for so that it hears everything.
        let is_done = |lost: &Flow, other: &Flow| lost.is_lost && other.is_over;
        if (is_done(&self.forth, &self.back) || is_done(&self.back, &self.forth))
            && !matches!(self.ending, Ending::Until(_))
        {
            self.ending = Ending::Until(Instant::now() + LAST_CHANCE);
        }
        Poll::Pending
    }

    /// Ready once nothing has moved for too long, or the worker can wait no longer.
    fn poll_limits(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        if let (Ending::No, Some(spread)) = (self.ending, shared.drain.spread()) {
            self.ending = Ending::At(Instant::now() + spread.mul_f64(fastrand::f64()));
        }
        if let Ending::At(time) = self.ending
            && self.timer.poll_passed(cx, time).is_ready()
        {
            self.ending = Ending::Until(Instant::now() + LAST_CHANCE);
            self.end();
        }
        if let Ending::Until(time) = self.ending {
            ready!(self.timer.poll_passed(cx, time));
            if self.back.is_lost {
                // The client is gone. A peer that has been told of its end and says nothing would never hear of that.
                self.peer.reset();
            }
            return Poll::Ready(());
        }
        self.poll_idle(cx)
    }

    /// Ready once nothing has moved for too long. No clock is read when something moves: it is looked now and then whether
    /// anything has.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.poll_passed(cx, self.looks_at));
            let now = Instant::now();
            let moved = self.forth.bytes + self.back.bytes;
            if std::mem::replace(&mut self.seen, moved) != moved {
                self.quiet_since = now;
            } else if now >= self.quiet_since + self.idle {
                return Poll::Ready(());
            }
            self.looks_at = now + self.idle / LOOKS;
        }
    }

    /// Tells both sides that it is over; one that has not taken everything must not take what it has for that.
    fn end(&self) {
        for (flow, to) in [
            (&self.forth, &self.peer as &dyn Side),
            (&self.back, &self.client),
        ] {
            if flow.buffer.is_empty() {
                to.shutdown(true);
            } else {
                to.reset();
            }
        }
    }
}

impl<C: Side> Drop for Relay<C> {
    /// However it ends, what was not taken is no end.
    fn drop(&mut self) {
        if !self.forth.buffer.is_empty() {
            self.peer.reset();
        }
        if !self.back.buffer.is_empty() {
            self.client.reset();
        }
    }
}

impl Flow {
    /// Whether nothing is read from the one side.
    fn is_deaf(&self) -> bool {
        self.end.is_some() || !self.buffer.is_empty()
    }

    /// Ready once `to` has been told that `from` has said its last.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        buffers: &BufferPool,
        timer: &Timer,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while !self.buffer.is_empty() {
                let n = ready!(self.poll_deliver(cx, to, timer))?;
                self.buffer.consume(n);
                from.delivered(n);
            }
            if let Some(end) = self.end {
                if !std::mem::replace(&mut self.is_over, true) {
                    buffers.release(&mut self.buffer);
                    to.shutdown(end == End::Said);
                }
                return Poll::Ready(Ok(()));
            }
            let read = ready!(buffers.poll_fill(cx, from, &mut self.buffer, BufferSize::Long));
            match read {
                Ok(0) => self.end = Some(End::Said),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.end = Some(End::Unsaid);
                }
                Err(_) => return Poll::Ready(Err(Broken)),
            }
        }
    }

    /// Polls for some of the buffer to be taken. A side that has said its last need not take anything more.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        to: &impl Side,
        timer: &Timer,
    ) -> Poll<Result<usize, Broken>> {
        if self.is_lost {
            return Poll::Ready(Ok(self.buffer.len()));
        }
        match ready!(to.poll_write(cx, self.buffer.data(), timer)) {
            Ok(n) => {
                self.bytes += n as u64;
                Poll::Ready(Ok(n))
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_lost = true;
                Poll::Ready(Ok(self.buffer.len()))
            }
            Err(_) => Poll::Ready(Err(Broken)),
        }
    }
}
