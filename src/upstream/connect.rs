//! New connections to peers.

use std::{io, time::Duration};

use super::{failure::Failure, keepalive::Connection, lease::Lease};
use crate::net::{Deadline, Stream, Timer};

/// Connects to the peer that `lease` is for.
///
/// # Errors
/// A [`Failure`] that sent nothing.
pub async fn connect(
    lease: &Lease,
    timer: &Timer,
    patience: Duration,
) -> Result<Connection, Failure> {
    let connecting = Stream::connect(lease.peer().address());
    let stream = timer
        .limit(Deadline::After(patience), connecting)
        .await
        .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| Failure::connecting(&error))?;
    Ok(Connection::new(stream))
}
