//! Bytes that have been read and not yet used, and where the memory for them comes from.
//!
//! A connection holds a buffer only while bytes wait in it. A worker keeps a few for the next
//! request, the last one given back first, so that it is still in the processor's cache; an idle
//! connection holds none.

use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};

use super::side::Side;

/// For heads and short bodies: a thousand slow clients take 16 MB.
const SHORT: usize = 16 << 10;
/// For long bodies: a megabyte moves in few system calls.
const LONG: usize = 64 << 10;
/// Buffers of each size that a worker keeps for later.
const KEPT: usize = 64;

/// Bytes in a row: used ones, waiting ones, then space.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes that wait.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes that wait, for decoding in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Marks the first `n` waiting bytes as used.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Where the next bytes are read to; never empty, for the buffer grows when it is full.
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.bytes.resize((self.bytes.len() * 2).max(SHORT), 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Counts `n` bytes of [`space`](Self::space) as waiting.
    pub fn filled(&mut self, n: usize) {
        debug_assert!(self.end + n <= self.bytes.len());
        self.end += n;
    }
}

/// How much is expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BufferSize {
    /// A head, or a short body.
    Short,
    /// A long body.
    Long,
}

/// A worker's spare buffers.
#[derive(Debug, Default)]
pub struct BufferPool {
    short: RefCell<Vec<Vec<u8>>>,
    long: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// An empty buffer.
    fn take(&self, size: BufferSize) -> Buffer {
        let (spare, size) = match size {
            BufferSize::Short => (&self.short, SHORT),
            BufferSize::Long => (&self.long, LONG),
        };
        let bytes = spare.borrow_mut().pop().unwrap_or_else(|| vec![0; size]);
        Buffer {
            bytes,
            start: 0,
            end: 0,
        }
    }

    /// Polls `stream` for at least one byte behind what waits in `buffer`; 0 is the end. While it
    /// waits with an empty buffer it holds no memory, so that a thousand waits share one buffer.
    pub fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        stream: &impl Side,
        buffer: &mut Buffer,
        size: BufferSize,
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            self.release(buffer);
            ready!(stream.poll_readable(cx));
            *buffer = self.take(size);
        }
        let read = stream.poll_read(cx, buffer.space());
        match &read {
            Poll::Ready(Ok(n)) => buffer.filled(*n),
            // What was said to be readable was not: a new connection is said to be.
            Poll::Pending => self.release(buffer),
            Poll::Ready(Err(_)) => {}
        }
        read
    }

    /// Takes the memory of `buffer` back if nothing waits in it.
    pub fn release(&self, buffer: &mut Buffer) {
        if buffer.is_empty() {
            self.give(std::mem::take(buffer));
        }
    }

    /// Takes `buffer` back; bytes that wait in it are lost.
    pub fn give(&self, buffer: Buffer) {
        let spare = match buffer.bytes.len() {
            SHORT => &self.short,
            LONG => &self.long,
            _ => return,
        };
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(buffer.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut buffer = Buffer::default();
        read(&mut buffer, b"hello ");
        buffer.consume(3);
        read(&mut buffer, b"world");
        assert_eq!(buffer.data(), b"lo world");
        buffer.consume(8);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_full_buffer_makes_room_without_losing_a_byte() {
        let mut buffer = BufferPool::default().take(BufferSize::Short);
        while buffer.len() < SHORT {
            read(&mut buffer, &[7; 64]);
        }
        buffer.consume(64);
        assert_eq!(buffer.space().len(), 64);
        read(&mut buffer, &[8; 64]);
        assert_eq!(buffer.space().len(), SHORT);
        assert_eq!((buffer.len(), buffer.data()[SHORT - 1]), (SHORT, 8));
    }

    #[test]
    fn the_last_buffer_given_back_is_the_next_one_taken() {
        let pool = BufferPool::default();
        let (a, b) = (pool.take(BufferSize::Long), pool.take(BufferSize::Long));
        let last = b.bytes.as_ptr();
        pool.give(a);
        pool.give(b);
        assert_eq!(pool.take(BufferSize::Long).bytes.as_ptr(), last);
    }
}
