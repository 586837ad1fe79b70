//! What a client's HTTP/2 frames cost, before anybody works on them.
//!
//! A frame that asks for work and carries nothing is cheap to send: resets right behind requests
//! (CVE-2023-44487), pings, settings, empty data. The guard reads the frame headers that pass by and
//! keeps an allowance for each kind, which is generous to browsers and gRPC clients, refills with
//! time, and runs out in a flood. What a flood does to streams that lbd itself resets (CVE-2025-8671)
//! and to header blocks without end (CVE-2024-27316) is the `h2` crate's to count.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use h2::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::net::{Buffer, Io, Stream};

/// A connection whose frames are counted.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Rc<Stream>,
    /// Bytes of TLS that had left when it was last looked.
    sent: u64,
    io: Io,
    /// Bytes that were read before it was known that they are HTTP/2.
    ahead: Buffer,
    frames: Frames,
    seen: Rc<Seen>,
}

/// What the connection's task wants to know of its bytes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the connection has to end.
    pub(super) fault: Cell<Option<Fault>>,
    /// Since when the head of a request is on its way.
    pub(super) head_since: Cell<Option<Instant>>,
    /// Pings and resets beyond the allowance that work which was done has earned.
    pub(super) pings_earned: Rc<Cell<u32>>,
    pub(super) resets_earned: Rc<Cell<u32>>,
    /// Since when the client takes nothing.
    pub(super) stalled_since: Cell<Option<Instant>>,
}

/// Frames that end their connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Too many of a kind.
    Flood(&'static str),
    /// One that cannot be (RFC 9113 sections 3.4, 6.5.2 and 4.2).
    Invalid(Reason),
}

impl Guarded {
    /// Guards `stream`, of which `ahead` has been read.
    pub(super) fn new(stream: Rc<Stream>, ahead: Buffer, seen: &Rc<Seen>) -> Self {
        Self {
            io: Io::new(Rc::clone(&stream)),
            stream,
            sent: 0,
            ahead,
            frames: Frames::new(seen),
            seen: Rc::clone(seen),
        }
    }

    /// Notes since when the client takes nothing. Records that leave one by one are progress, too.
    fn note_written<T>(&mut self, written: &Poll<io::Result<T>>) {
        let sent = self.stream.sent_inside_tls();
        let moves = std::mem::replace(&mut self.sent, sent) != sent;
        let since = self.seen.stalled_since.get().filter(|_| !moves);
        self.seen.stalled_since.set(match written {
            Poll::Ready(_) => None,
            Poll::Pending => since.or_else(|| Some(Instant::now())),
        });
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.seen.fault.get().is_some() {
            // Nothing more is worked on; the task that polls this ends the connection.
            return Poll::Pending;
        }
        let before = space.filled().len();
        if this.ahead.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(cx, space))?;
        } else {
            let n = this.ahead.len().min(space.remaining());
            space.put_slice(&this.ahead.data()[..n]);
            this.ahead.consume(n);
            if this.ahead.is_empty() {
                this.ahead = Buffer::default();
            }
        }
        if let Err(fault) = this.frames.pass(&space.filled()[before..]) {
            // What came with it is not worked on either.
            space.set_filled(before);
            this.seen.fault.set(Some(fault));
            return Poll::Pending;
        }
        let since = this.seen.head_since.get();
        let is_open = this.frames.head.is_some();
        this.seen
            .head_since
            .set(is_open.then(|| since.unwrap_or_else(Instant::now)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.note_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, parts);
        this.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

const HEADER: usize = 9;
/// The connection preface, which is no frame (RFC 9113 section 3.4).
const PREFACE_LENGTH: usize = 24;
/// One setting: its number and its value.
const SETTING: usize = 6;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Frames as they pass by.
#[derive(Debug)]
struct Frames {
    /// Bytes until the next frame begins.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
    is_first: bool,
    /// Of a frame of settings, the setting that is passing by.
    setting: Option<([u8; SETTING], usize)>,
    /// A head is on its way; whether its last frame is.
    head: Option<bool>,
    resets: Allowance,
    pings: Allowance,
    settings: Allowance,
    windows: Allowance,
    empty: Allowance,
    others: Allowance,
}

impl Frames {
    fn new(seen: &Seen) -> Self {
        Self {
            skip: PREFACE_LENGTH,
            header: [0; HEADER],
            have: 0,
            is_first: true,
            setting: None,
            head: None,
            resets: Allowance::new(500, 100, "resets").earning(&seen.resets_earned),
            pings: Allowance::new(1_000, 500, "pings").earning(&seen.pings_earned),
            settings: Allowance::new(100, 10, "settings"),
            // One for each frame that is received is usual, and two are not rare.
            windows: Allowance::new(50_000, 50_000, "window updates"),
            empty: Allowance::new(500, 100, "empty frames"),
            others: Allowance::new(1_000, 100, "frames without use"),
        }
    }

    /// Looks at the frames that begin in `bytes`.
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        loop {
            let skipped = self.skip.min(bytes.len());
            if self.setting.is_some() {
                self.pass_settings(&bytes[..skipped])?;
            }
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip == 0 {
                self.setting = None;
                if self.head == Some(true) {
                    self.head = None;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER {
                self.have = 0;
                self.begin()?;
            }
        }
    }

    /// A frame begins: its header is complete (RFC 9113 section 4.1).
    fn begin(&mut self) -> Result<(), Fault> {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        if std::mem::take(&mut self.is_first) && kind != SETTINGS {
            return Err(Fault::Invalid(Reason::PROTOCOL_ERROR));
        }
        let is_ack = flags & ACK != 0;
        let has_right_size = match kind {
            PING => length == 8,
            PRIORITY => length == 5,
            RST_STREAM | WINDOW_UPDATE => length == 4,
            SETTINGS if is_ack => length == 0,
            SETTINGS => length.is_multiple_of(SETTING),
            GOAWAY => length >= 8,
            _ => true,
        };
        if !has_right_size {
            return Err(Fault::Invalid(Reason::FRAME_SIZE_ERROR));
        }
        match kind {
            HEADERS | CONTINUATION => self.head = Some(flags & END_HEADERS != 0),
            SETTINGS if !is_ack => self.setting = Some(([0; SETTING], 0)),
            _ => {}
        }
        self.count(kind, flags, length).map_err(Fault::Flood)
    }

    fn count(&mut self, kind: u8, flags: u8, length: usize) -> Result<(), &'static str> {
        match kind {
            DATA if length == 0 && flags & END_STREAM == 0 => self.empty.take(),
            // A header block that goes on and on.
            CONTINUATION if length == 0 => self.empty.take(),
            DATA | HEADERS | CONTINUATION => Ok(()),
            RST_STREAM => self.resets.take(),
            SETTINGS => self.settings.take(),
            PING => self.pings.take(),
            WINDOW_UPDATE => self.windows.take(),
            // Priorities are ignored, and so is what nobody knows.
            _ => self.others.take(),
        }
    }

    /// Looks at settings; each must be one that can be (RFC 9113 section 6.5.2).
    fn pass_settings(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        const INITIAL_WINDOW_SIZE: u16 = 0x4;
        const LARGEST_WINDOW: u32 = (1 << 31) - 1;
        let Some((setting, have)) = &mut self.setting else {
            return Ok(());
        };
        for byte in bytes {
            setting[*have] = *byte;
            *have = (*have + 1) % SETTING;
            if *have == 0 {
                let [a, b, value @ ..] = *setting;
                let is_window = u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE;
                if is_window && u32::from_be_bytes(value) > LARGEST_WINDOW {
                    return Err(Fault::Invalid(Reason::FLOW_CONTROL_ERROR));
                }
            }
        }
        Ok(())
    }
}

/// So many at once, so many in a second, and as many more as were earned.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    each_second: u32,
    since: Option<Instant>,
    earned: Rc<Cell<u32>>,
    name: &'static str,
}

impl Allowance {
    fn new(most: u32, each_second: u32, name: &'static str) -> Self {
        Self {
            left: most,
            most,
            each_second,
            since: None,
            earned: Rc::default(),
            name,
        }
    }

    fn earning(self, earned: &Rc<Cell<u32>>) -> Self {
        Self {
            earned: Rc::clone(earned),
            ..self
        }
    }

    /// Takes one. No clock is read until most of it is used up.
    fn take(&mut self) -> Result<(), &'static str> {
        if self.left <= self.most / 2 {
            self.refill(Instant::now());
        }
        self.left = self.left.checked_sub(1).ok_or(self.name)?;
        Ok(())
    }

    fn refill(&mut self, now: Instant) {
        let each = Duration::from_secs(1) / self.each_second;
        let since = *self.since.get_or_insert(now);
        let elapsed = now.duration_since(since).min(Duration::from_secs(60));
        let with_time = (elapsed.as_nanos() / each.as_nanos()) as u32;
        if with_time > 0 {
            // What is left of a step counts for the next.
            self.since = Some(now - (elapsed - each * with_time));
        }
        let with_work = self.earned.take();
        let all = self
            .left
            .saturating_add(with_time)
            .saturating_add(with_work);
        self.left = self.most.min(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(HEADER + length, 0x6);
        frame
    }

    fn after_preface() -> Frames {
        let mut frames = Frames::new(&Seen::default());
        frames.pass(&[b'P'; PREFACE_LENGTH]).unwrap();
        frames.pass(&frame(SETTINGS, 0, 0)).unwrap();
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_named_however_its_bytes_arrive() {
        for (kind, length, name) in [
            (3, 4, "resets"),
            (6, 8, "pings"),
            (4, 6, "settings"),
            (0, 0, "empty frames"),
        ] {
            let flood: Vec<u8> = (0..2000).flat_map(|_| frame(kind, 0, length)).collect();
            for piece in [1, 7, 9, 10, 4096] {
                let mut frames = after_preface();
                let mut pieces = flood.chunks(piece);
                assert_eq!(
                    pieces.try_for_each(|piece| frames.pass(piece)),
                    Err(Fault::Flood(name))
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_on_its_way_until_its_last_byte() {
        let mut frames = after_preface();
        let head = [frame(HEADERS, 0, 3), frame(CONTINUATION, END_HEADERS, 5)].concat();
        for byte in &head[..head.len() - 1] {
            frames.pass(&[*byte]).unwrap();
        }
        assert!(frames.head.is_some());
        frames.pass(&head[head.len() - 1..]).unwrap();
        assert!(frames.head.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_something_is_no_flood() {
        let mut frames = after_preface();
        for _ in 0..100_000 {
            frames.pass(&frame(0, 0, 1)).unwrap();
            frames.pass(&frame(0, 1, 0)).unwrap();
            frames.pass(&frame(1, 4, 20)).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_comes_back_with_time() {
        let mut frames = after_preface();
        let ping = frame(6, 0, 8);
        for _ in 0..100 {
            for _ in 0..50 {
                frames.pass(&ping).unwrap();
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
