//! What a relay moves bytes between: connections, and whatever behaves like one.

use std::{
    io,
    task::{Context, Poll},
};

use super::{stream::Stream, timer::Timer};

/// One side of a relay.
pub trait Side {
    /// Ready once a read is worth a try.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Polls for at least one byte; 0 is the end. `UnexpectedEof` is one that was not said to be.
    fn poll_read(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Polls for some of `bytes` to be taken. `BrokenPipe` is a side that has said its last and takes no more.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        timer: &Timer,
    ) -> Poll<io::Result<usize>>;

    /// Lets it send more, once `n` bytes of it have been taken by the other side.
    fn delivered(&self, n: usize) {
        let _ = n;
    }

    /// Ready once it is known to be reset, whether or not anything is read from it or written to it.
    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// How it is broken, if it is, where nobody says so unasked. `BrokenPipe` as above.
    fn failure(&self) -> Option<io::ErrorKind>;

    /// Says that nothing more will be written; whether that is all there was to say, `is_whole` says.
    fn shutdown(&self, is_whole: bool);

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

    fn poll_reset(&self, _: &mut Context<'_>) -> Poll<()> {
        // The reactor has no word for it that does not also mean other things.
        Poll::Pending
    }

    fn failure(&self) -> Option<io::ErrorKind> {
        self.failure()
    }

    fn shutdown(&self, is_whole: bool) {
        if is_whole {
            self.shutdown();
        } else {
            self.shutdown_without_a_word();
        }
    }

    fn reset(&self) {
        self.reset_on_close();
    }
}
