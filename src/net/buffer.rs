//! Bytes that have been read and not yet used, and where the memory for them comes from.
//!
//! A connection holds a buffer only while bytes wait in it. A worker keeps a few for the next
//! request, the last one given back first, so that it is still in the processor's cache; an idle
//! connection holds none.

use std::cell::RefCell;

/// Size of the buffers of a [`BufferPool`]: large enough that a body of megabytes moves in few
/// system calls, small enough that a thousand slow clients fit into 64 MB.
const SIZE: usize = 64 << 10;
/// Buffers that a worker keeps for later.
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
                self.bytes.resize((self.bytes.len() * 2).max(SIZE), 0);
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

/// A worker's spare buffers.
#[derive(Debug, Default)]
pub struct BufferPool {
    spare: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// An empty buffer.
    pub fn take(&self) -> Buffer {
        let bytes = self
            .spare
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; SIZE]);
        Buffer {
            bytes,
            start: 0,
            end: 0,
        }
    }

    /// Takes `buffer` back; bytes that wait in it are lost.
    pub fn give(&self, buffer: Buffer) {
        let mut spare = self.spare.borrow_mut();
        if buffer.bytes.len() == SIZE && spare.len() < KEPT {
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
        let mut buffer = BufferPool::default().take();
        while buffer.len() < SIZE {
            read(&mut buffer, &[7; 64]);
        }
        buffer.consume(64);
        assert_eq!(buffer.space().len(), 64);
        read(&mut buffer, &[8; 64]);
        assert_eq!(buffer.space().len(), SIZE);
        assert_eq!((buffer.len(), buffer.data()[SIZE - 1]), (SIZE, 8));
    }

    #[test]
    fn the_last_buffer_given_back_is_the_next_one_taken() {
        let pool = BufferPool::default();
        let (a, b) = (pool.take(), pool.take());
        let last = b.bytes.as_ptr();
        pool.give(a);
        pool.give(b);
        assert_eq!(pool.take().bytes.as_ptr(), last);
    }
}
