//! A client's connection joined to a peer's, for as long as both want it: days, maybe.
//!
//! It holds nothing of the configuration that it was made under, so that reloads neither end it nor
//! pile up behind it.

use std::{
    fmt,
    future::{Future, poll_fn},
    rc::Rc,
};

use super::lease::{InFlight, Lease};
use crate::{
    net::{Place, Relay, Shared, Side},
    telemetry::HeldRecord,
};

/// A relay that counts at its peer and at its worker, and writes an access line when it is dropped.
pub struct Tunnel<C: Side> {
    relay: Relay<C>,
    shared: Rc<Shared>,
    line: Option<Box<HeldRecord>>,
    in_flight: InFlight,
    _place: Option<Place>,
}

impl<C: Side> Tunnel<C> {
    /// A tunnel through `relay` to the peer that `lease` is for; `place` is the client's at its listener.
    pub fn new(
        shared: &Rc<Shared>,
        relay: Relay<C>,
        lease: Lease,
        place: Option<Place>,
        line: Option<Box<HeldRecord>>,
    ) -> Self {
        shared.drain.enter();
        Self {
            relay,
            shared: Rc::clone(shared),
            line,
            in_flight: lease.stay(),
            _place: place,
        }
    }

    /// Moves bytes until the tunnel is over. Not an `async fn`, which would keep the tunnel twice.
    pub fn run(mut self) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if self.in_flight.is_closed() {
                self.relay.end_now();
            }
            self.relay.poll(cx, &self.shared)
        })
    }
}

impl<C: Side> Drop for Tunnel<C> {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some(line) = &mut self.line {
            shared.write_held(line, self.relay.to_client(), self.relay.from_client());
        }
        shared.drain.leave();
    }
}

impl<C: Side> fmt::Debug for Tunnel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}
