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
    shared::Shared,
    stream::Stream,
    timer::Timer,
};

/// How long a side may leave what it was sent unacknowledged, or a question whether it is there unanswered.
const GONE_AFTER: Duration = Duration::from_secs(150);
/// How long the sides may take to end once they were told to.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// One side of a relay.
pub trait Side {
    /// Ready once a read is worth a try.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Polls for at least one byte; 0 is the end.
    fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Polls for some of `bytes` to be taken.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        timer: &Timer,
    ) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be written.
    fn shutdown(&self);

    /// Notices after a while that nobody is there any more.
    fn watch(&self, patience: Duration);

    /// Makes its end look like the accident that it is.
    fn reset(&self);
}

impl Side for Stream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_readable(cx)
    }

    fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read(cx, space)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8], _: &Timer) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bytes, &[])
    }

    fn shutdown(&self) {
        self.shutdown();
    }

    fn watch(&self, patience: Duration) {
        self.give_up_after(patience);
    }

    fn reset(&self) {
        self.reset_on_close();
    }
}

/// Bytes between a client and a peer.
#[derive(Debug)]
pub struct Relay<C, P> {
    client: C,
    peer: P,
    /// From the client, and to it.
    forth: Flow,
    back: Flow,
    timer: Timer,
    idle: Duration,
    moved: Instant,
    /// When the sides are told to end, once the worker drains; and whether they have been.
    closes: Option<Instant>,
    is_closing: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// What has been read and not yet taken.
    buffer: Buffer,
    bytes: u64,
    /// Whether the one side has said its last, and whether the other has been told.
    is_ended: bool,
    is_over: bool,
}

/// Why a direction broke.
enum Break {
    /// The side that is read from is at fault.
    Reading,
    /// The side that is written to.
    Writing,
}

impl<C: Side, P: Side> Relay<C, P> {
    /// A relay between `client` and `peer`, from each of which some bytes have been read. It ends when neither has
    /// sent anything for as long as `idle`.
    pub fn new(client: (C, Buffer), peer: (P, Buffer), timer: Timer, idle: Duration) -> Self {
        client.0.watch(GONE_AFTER);
        peer.0.watch(GONE_AFTER);
        let flow = |buffer| Flow {
            buffer,
            ..Flow::default()
        };
        Self {
            client: client.0,
            forth: flow(client.1),
            peer: peer.0,
            back: flow(peer.1),
            timer,
            idle,
            moved: Instant::now(),
            closes: None,
            is_closing: false,
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
        ready!(self.poll_flows(cx, shared));
        for flow in [&mut self.forth, &mut self.back] {
            shared.buffers.give(std::mem::take(&mut flow.buffer));
        }
        Poll::Ready(())
    }

    fn poll_flows(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        let moved = self.forth.bytes + self.back.bytes;
        let (client, peer, timer) = (&self.client, &self.peer, &self.timer);
        let forth = self.forth.poll(cx, client, peer, &shared.buffers, timer);
        let back = self.back.poll(cx, peer, client, &shared.buffers, timer);
        match (forth, back) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(()),
            (Poll::Ready(Err(broken)), _) => return self.broken(&broken, self.back.is_over),
            (_, Poll::Ready(Err(broken))) => return self.broken(&broken, self.forth.is_over),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        if moved != self.forth.bytes + self.back.bytes {
            self.moved = Instant::now();
        }
        self.poll_limits(cx, shared)
    }

    /// What breaks on one side breaks on the other: neither may take what it has for the whole. But a side that had
    /// said its last need not take anything more.
    fn broken(&self, broken: &Break, other_way_is_over: bool) -> Poll<()> {
        let is_late = matches!(broken, Break::Writing) && other_way_is_over;
        if !is_late && !self.is_closing {
            self.client.reset();
            self.peer.reset();
        }
        Poll::Ready(())
    }

    /// Ready once nothing has moved for too long, or the worker can wait no longer.
    fn poll_limits(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        if let Some(spread) = shared.drain.spread()
            && self.closes.is_none()
        {
            self.closes = Some(Instant::now() + spread.mul_f64(fastrand::f64()));
        }
        if let Some(closes) = self.closes {
            if !self.is_closing && self.timer.poll_passed(cx, closes).is_ready() {
                self.is_closing = true;
                self.client.shutdown();
                self.peer.shutdown();
            }
            if self.is_closing {
                return self.timer.poll_passed(cx, closes + LAST_CHANCE);
            }
        }
        self.timer.poll_passed(cx, self.moved + self.idle)
    }
}

impl Flow {
    /// Ready once `to` has been told that `from` has said its last.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &impl Side,
        to: &impl Side,
        buffers: &BufferPool,
        timer: &Timer,
    ) -> Poll<Result<(), Break>> {
        loop {
            while !self.buffer.is_empty() {
                let written = ready!(to.poll_write(cx, self.buffer.data(), timer));
                let n = written.map_err(|_| Break::Writing)?;
                self.buffer.consume(n);
                self.bytes += n as u64;
            }
            if self.is_ended {
                if !std::mem::replace(&mut self.is_over, true) {
                    buffers.release(&mut self.buffer);
                    to.shutdown();
                }
                return Poll::Ready(Ok(()));
            }
            let read = ready!(buffers.poll_fill(cx, from, &mut self.buffer, BufferSize::Long));
            self.is_ended = read.map_err(|_| Break::Reading)? == 0;
        }
    }
}
