//! New connections to peers.

use std::{sync::Arc, time::Duration};

use super::{failure::Failure, keepalive::Connection, lease::Lease, transport::Transport};
use crate::net::{Deadline, Timer};

/// Connects to the peer that `lease` is for.
///
/// # Errors
/// A [`Failure`] that sent nothing.
pub async fn connect(
    transport: &Arc<Transport>,
    lease: &Lease,
    timer: &Timer,
    patience: Duration,
) -> Result<Connection, Failure> {
    let deadline = Deadline::After(patience);
    let stream = transport.connect(lease, timer, deadline).await?;
    let authority = Arc::clone(lease.authority());
    Ok(Connection::new(stream, Arc::clone(transport), authority))
}
