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
    place: Option<Place>,
    /// Bytes to and from the client that have been counted.
    counted: (u64, u64),
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
        if let Some(place) = &place {
            place.begin_tunnel();
        }
        Self {
            relay,
            shared: Rc::clone(shared),
            line,
            in_flight: lease.stay(),
            place,
            counted: (0, 0),
        }
    }

    /// Moves bytes until the tunnel is over. Not an `async fn`, which would keep the tunnel twice.
    pub fn run(mut self) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if self.in_flight.is_closed() {
                self.relay.end_now();
            }
            let polled = self.relay.poll(cx, &self.shared);
            self.count();
            polled
        })
    }

    /// Counts what has moved since the last time: of what lasts for days, nobody wants to hear only at its end.
    fn count(&mut self) {
        let moved = (self.relay.to_client(), self.relay.from_client());
        let sent = moved.0 - self.counted.0;
        let received = moved.1 - self.counted.1;
        if sent + received == 0 {
            return;
        }
        self.counted = moved;
        let server = self.in_flight.stats();
        server.received.add(sent);
        server.sent.add(received);
        if let Some(place) = &self.place {
            let requests = &place.stats().own().requests;
            requests.sent.add(sent);
            requests.received.add(received);
        }
    }
}

impl<C: Side> Drop for Tunnel<C> {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some(line) = &mut self.line {
            shared.write_held(line, self.relay.to_client(), self.relay.from_client());
        }
        if let Some(place) = &self.place {
            place.end_tunnel();
        }
        shared.drain.leave();
    }
}

impl<C: Side> fmt::Debug for Tunnel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}
