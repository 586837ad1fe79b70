//! New connections to peers.

use std::{sync::Arc, time::Duration};

use super::{
    failure::Failure,
    keepalive::Connection,
    lease::Lease,
    transport::{Inside, Transport},
};
use crate::net::{Deadline, Stream, Timer};

/// Connects to the peer that `lease` is for, to speak HTTP to it.
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
    let stream = transport
        .connect(lease, timer, deadline, Inside::Http)
        .await?;
    let authority = Arc::clone(lease.authority());
    Ok(Connection::new(stream, Arc::clone(transport), authority))
}

/// The same, to pass on whatever a client speaks. `preface` is sent first, before a handshake, too.
///
/// # Errors
/// A [`Failure`] that sent nothing but the preface.
pub async fn connect_through(
    transport: &Transport,
    lease: &Lease,
    timer: &Timer,
    patience: Duration,
    preface: &[u8],
) -> Result<Stream, Failure> {
    let deadline = Deadline::After(patience);
    transport
        .connect(lease, timer, deadline, Inside::Anything { preface })
        .await
}
