//! `TCP_DEFER_ACCEPT` (tcp(7), nginx's `listen … deferred`), the one socket option we use that socket2 and rustix lack.
//!
//! The kernel hands a connection over when its first bytes are there instead of a moment before. A
//! request on a new connection then wakes its worker once, not twice, and is read by the first try;
//! with what follows from that (see [`Stream`](super::Stream)) it costs a quarter less.
//!
//! The price: a client that connects and is silent is handed over after a second, and its deadlines
//! begin then; and one that has not said anything when its listener is closed within that second
//! finds its connection gone when it does, where it would otherwise still have been answered once.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// How long the kernel waits for the first bytes.
const SECONDS: libc::c_int = 1;

/// Has the kernel keep connections to `listener` back until bytes have come over them.
pub(super) fn defer_accept(listener: &impl AsFd) -> io::Result<()> {
    let seconds = SECONDS;
    let size = size_of_val(&seconds) as libc::socklen_t;
    #[expect(unsafe_code, reason = "a system call that no crate of ours wraps")]
    // SAFETY: the descriptor is open as long as `listener` is borrowed, and the kernel reads `size`
    // bytes from a value of that size.
    let result = unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
