//! The only loop: pick a peer, connect, send, judge; and again only if the failure, the method and
//! the budget allow.

use http::StatusCode;
use tokio::time::Instant;

use super::{
    client::{After, Client},
    conversation::{Answered, Heard, TryError},
    error::HttpError,
    exchange::Exchange,
    grpc,
    message::{RequestHead, ResponseHead},
    path::Path,
    search::Search,
    site::{Forward, Route},
    upload::Upload,
    watch::unless_gone,
};
use crate::upstream::{FailureKind, Lease, NoLivePeer, TrySoFar};

/// How often a request is offered again to peers that are all too busy to look at it.
const MOST_REFUSALS: usize = 4;

/// A request on its way to a pool.
pub(super) struct Forwarding<'f, 'k, 'c> {
    pub(super) client: &'f mut Client<'k>,
    pub(super) exchange: &'f mut Exchange<'c>,
    pub(super) request: &'f RequestHead,
    pub(super) route: &'f Route,
    pub(super) forward: &'f Forward,
    pub(super) path: &'f Path<'f>,
    /// The protocols that the connection may change to.
    pub(super) offer: Option<Vec<u8>>,
}

impl Forwarding<'_, '_, '_> {
    /// Forwards the request and relays the response.
    ///
    /// # Errors
    /// What the client is to be told, if nothing was sent to it yet.
    pub(super) async fn run(mut self) -> Result<After, HttpError> {
        let mut upload = Upload::new(
            self.request.version,
            self.request.body,
            self.route.max_body,
            &self.route.request_headers,
            self.exchange.site.underscores_in_headers,
        );
        let outcome = match self.find_answer(&mut upload).await {
            Ok(Some((answered, lease))) => self.deliver(answered, lease, &mut upload).await,
            Ok(None) => Ok(After::Close),
            Err(error) => Err(error),
        };
        self.exchange.received = upload.received();
        // What lbd answers by itself must not begin where the body does.
        self.exchange.body = upload.into_body();
        outcome
    }

    /// Sends the answer on, or joins the two connections if they are to speak something else.
    async fn deliver(
        &mut self,
        answered: Answered,
        lease: Lease,
        upload: &mut Upload<'_>,
    ) -> Result<After, HttpError> {
        let status = answered.response.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Box::pin(self.switch(answered, lease, upload)).await;
        }
        if self.request.protocol.is_some() && status.is_success() {
            // To the client that would say that the stream has changed.
            return Err(HttpError::peer(
                StatusCode::BAD_GATEWAY,
                "did not switch protocols",
            ));
        }
        self.relay(answered, &lease, upload).await
    }

    /// Tries peers until one has answered; `None` if the client leaves first.
    async fn find_answer(
        &mut self,
        upload: &mut Upload<'_>,
    ) -> Result<Option<(Answered, Lease)>, HttpError> {
        let mut search = Search::new(self.forward, self.exchange, self.request);
        let mut now = self.exchange.times.arrived;
        self.forward.pool.note_request(now);
        let mut lease = match self.first(&search, now).await {
            Some(picked) => picked.map_err(no_live_peer)?,
            None => return Ok(None),
        };
        if self.forward.pool.config().queue.is_some() {
            // What a request has waited in line is no server's fault.
            now = Instant::now();
        }
        let began = now;
        let mut refusals = 0;
        loop {
            self.exchange.begin_attempt(lease.peer(), now);
            let outcome = self.try_peer(&lease, upload, now).await;
            now = Instant::now();
            let so_far = TrySoFar {
                tries: search.tries() + 1,
                elapsed: now.duration_since(began),
                replayable: upload.is_replayable(),
            };
            match outcome {
                Ok(answered) => {
                    self.exchange.answered(answered.response.status, now);
                    lease.answered(answered.response.status.as_u16(), now);
                    let is_turned_away = self.is_turned_away(&answered, so_far);
                    let next = match is_turned_away {
                        true => self.turn_away(&mut search, &lease, &answered, now),
                        false => None,
                    };
                    let Some(next) = next else {
                        lease.succeeded(now);
                        search.found(&lease, &answered.response, now);
                        return Ok(Some((answered, lease)));
                    };
                    lease.moved(upload.received(), 0);
                    self.blame(&mut lease, &answered.response, now);
                    self.exchange.end_attempt(None, now);
                    lease = next;
                }
                Err(TryError::Peer { failure, heard }) => {
                    if failure.sent {
                        lease.moved(upload.received(), 0);
                    }
                    if failure.kind != FailureKind::Refused {
                        lease.failed(now, &failure);
                    }
                    self.exchange.end_attempt(Some(failure.reason), now);
                    let give_up = HttpError::peer(failure.status(), failure.reason);
                    let policy = &self.forward.retry;
                    let may_go_on = policy.allows(&failure, &self.request.method, so_far);
                    if heard == Heard::PassedOn || !may_go_on {
                        return Err(give_up);
                    }
                    search.tried(lease.peer());
                    if let Some(next) = self.next(&search, now) {
                        lease = next;
                    } else if failure.kind == FailureKind::Refused && refusals < MOST_REFUSALS {
                        // All are busy, and one of them will have room in a moment.
                        refusals += 1;
                        lease = search.again(now).map_err(|_| give_up)?;
                    } else {
                        return Err(give_up);
                    }
                }
                Err(TryError::Client(error)) => return Err(error),
                Err(TryError::Gone) => {
                    lease.moved(upload.received(), 0);
                    return Ok(None);
                }
            }
        }
    }

    /// The first peer; `None` if the client leaves before there is room.
    async fn first(&self, search: &Search<'_>, now: Instant) -> Option<Result<Lease, NoLivePeer>> {
        if self.forward.pool.config().queue.is_none() {
            return Some(search.next(now));
        }
        let picking = search.first_in_turn(now, self.client.timer());
        let picking = unless_gone(self.client, now, async { Ok(picking.await) });
        Box::pin(picking).await.ok()
    }

    /// The next peer, if there is one and the pool's budget has room for another try.
    fn next(&self, search: &Search<'_>, now: Instant) -> Option<Lease> {
        let next = search.next(now).ok()?;
        self.forward.pool.allows_retry(now).then_some(next)
    }

    /// The next peer, for an answer that is thrown away; `None` if there is none, so that it is not.
    fn turn_away(
        &self,
        search: &mut Search<'_>,
        lease: &Lease,
        answered: &Answered,
        now: Instant,
    ) -> Option<Lease> {
        search.tried(lease.peer());
        if self.is_about_route(&answered.response) {
            search.lacks(lease.peer());
        }
        // Nobody of whom the same is to be expected.
        let next = search.next_who_has_it(now).ok()?;
        self.forward.pool.allows_retry(now).then_some(next)
    }

    fn is_about_route(&self, response: &ResponseHead) -> bool {
        !grpc::is_unavailable(response) && self.forward.retry.is_about_route(response.status)
    }

    /// A listed status is a failure of the peer, except those that are about what was asked for.
    fn blame(&self, lease: &mut Lease, response: &ResponseHead, now: Instant) {
        if grpc::is_unavailable(response) {
            lease.failed_because(now, "answered grpc-status 14");
        } else if self.is_about_route(response) {
            lease.succeeded(now);
        } else {
            lease.failed_because(now, &format!("answered {}", response.status.as_u16()));
        }
    }

    /// Whether an answer is thrown away for another peer's.
    fn is_turned_away(&self, answered: &Answered, so_far: TrySoFar) -> bool {
        let policy = &self.forward.retry;
        if grpc::is_unavailable(&answered.response) && policy.lists_grpc_unavailable() {
            return policy.turns_away_unavailable(so_far);
        }
        policy.lists(answered.response.status) && policy.turns_away(&self.request.method, so_far)
    }
}

fn no_live_peer(nobody: NoLivePeer) -> HttpError {
    if nobody.is_busy {
        return HttpError::busy(format!("the servers of pool {} are busy", nobody.pool));
    }
    let seconds = nobody.retry_in.map_or(1, |lasting| lasting.as_secs() + 1);
    let detail = match nobody.retry_in {
        Some(_) => format!(
            "pool {} has no live server; the next is tried in {seconds} s",
            nobody.pool
        ),
        None => format!("pool {} has no live server", nobody.pool),
    };
    HttpError::no_live_peer(detail, seconds)
}
