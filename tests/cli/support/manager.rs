//! The service manager's end of sd_notify(3).

use std::os::unix::net::UnixDatagram;

use crate::harness::{Dir, until, wait::DEADLINE};

/// A notify socket, and what came over it.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: UnixDatagram,
    path: String,
    _dir: Dir,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let dir = Dir::new();
        let path = dir.file("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a socket in our own directory");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("a read timeout");
        Self {
            socket,
            path: path.display().to_string(),
            _dir: dir,
        }
    }

    /// For `NOTIFY_SOCKET`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The lines of the next message.
    pub(crate) fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message in time");
        let text = String::from_utf8_lossy(&buffer[..length]);
        text.lines().map(str::to_owned).collect()
    }

    /// Passes over messages until one has `line`.
    pub(crate) fn wait_for(&self, line: &str) {
        until(&format!("the manager is told {line}"), || {
            self.next().iter().any(|l| l == line).then_some(())
        });
    }
}
