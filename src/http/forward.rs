//! The only loop: pick a peer, connect, send, judge; and again only if the failure, the method and
//! the budget allow.

use std::borrow::Cow;

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
    session::{learn, session_of},
    site::{Forward, Route},
    upload::Upload,
    variables::write_template,
    watch::unless_gone,
};
use crate::{
    config::Balance,
    upstream::{FailureKind, Lease, NoLivePeer, PeerId, PickContext, TrySoFar},
};

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

impl<'f> Forwarding<'f, '_, '_> {
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
        let keys = self.keys();
        let mut tried: Vec<PeerId> = Vec::new();
        let mut now = self.exchange.times.arrived;
        let mut lease = match self.pick_in_turn(&keys, now).await {
            Some(picked) => picked.map_err(no_live_peer)?,
            None => return Ok(None),
        };
        let mut refusals = 0;
        loop {
            self.exchange.begin_attempt(lease.peer(), now);
            let outcome = self.try_peer(&lease, upload, now).await;
            now = Instant::now();
            let policy = &self.forward.retry;
            let method = &self.request.method;
            match outcome {
                Ok(answered) => {
                    let status = answered.response.status;
                    self.exchange.answered(status, now);
                    if !self.is_turned_away(&answered, self.so_far(&tried, now, upload)) {
                        lease.succeeded(now);
                        self.bind(&keys, &lease, &answered, now);
                        return Ok(Some((answered, lease)));
                    }
                    tried.push(lease.peer().id());
                    let Ok(next) = self.pick(&keys, &tried, now) else {
                        lease.succeeded(now);
                        self.bind(&keys, &lease, &answered, now);
                        return Ok(Some((answered, lease)));
                    };
                    turned_away(&mut lease, &answered.response, now);
                    self.exchange.end_attempt(None, now);
                    lease = next;
                }
                Err(TryError::Peer { failure, heard }) => {
                    if failure.kind != FailureKind::Refused {
                        lease.failed(now, &failure);
                    }
                    self.exchange.end_attempt(Some(failure.reason), now);
                    let give_up = HttpError::peer(failure.status(), failure.reason);
                    let so_far = self.so_far(&tried, now, upload);
                    if heard == Heard::PassedOn || !policy.allows(&failure, method, so_far) {
                        return Err(give_up);
                    }
                    tried.push(lease.peer().id());
                    if let Ok(next) = self.pick(&keys, &tried, now) {
                        lease = next;
                    } else if failure.kind == FailureKind::Refused && refusals < MOST_REFUSALS {
                        // All are busy, and one of them will have room in a moment.
                        refusals += 1;
                        lease = self.pick(&keys, &[], now).map_err(|_| give_up)?;
                    } else {
                        return Err(give_up);
                    }
                }
                Err(TryError::Client(error)) => return Err(error),
                Err(TryError::Gone) => return Ok(None),
            }
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

    fn so_far(&self, tried: &[PeerId], now: Instant, upload: &Upload<'_>) -> TrySoFar {
        TrySoFar {
            tries: tried.len() + 1,
            elapsed: now.duration_since(self.exchange.times.started),
            replayable: upload.is_replayable(),
        }
    }

    /// What the pool goes by for the request.
    fn keys(&self) -> Keys<'f> {
        let mut hash = Vec::new();
        let config = self.forward.pool.config();
        if let Balance::Hash { key, .. } = &config.balance {
            write_template(&mut hash, key, self.exchange);
        }
        let sticky = config.sticky.as_ref();
        let session = sticky.and_then(|sticky| session_of(sticky, self.exchange, self.request));
        Keys { hash, session }
    }

    /// The client stays with the server that has answered it, if that is how the pool learns.
    fn bind(&self, keys: &Keys<'_>, lease: &Lease, answered: &Answered, now: Instant) {
        let session = keys.session.as_deref();
        learn(&self.forward.pool, session, lease, &answered.response, now);
    }

    /// The first peer; `None` if the client leaves before there is room.
    async fn pick_in_turn(
        &mut self,
        keys: &Keys<'_>,
        now: Instant,
    ) -> Option<Result<Lease, NoLivePeer>> {
        let context = self.context(keys, &[], now);
        let pool = &self.forward.pool;
        if pool.config().queue.is_none() {
            return Some(pool.pick(&context));
        }
        let picking = pool.pick_in_turn(&context, self.client.timer());
        let picking = unless_gone(self.client, now, async { Ok(picking.await) });
        Box::pin(picking).await.ok()
    }

    fn pick(&self, keys: &Keys<'_>, tried: &[PeerId], now: Instant) -> Result<Lease, NoLivePeer> {
        self.forward.pool.pick(&self.context(keys, tried, now))
    }

    fn context<'k>(
        &self,
        keys: &'k Keys<'_>,
        tried: &'k [PeerId],
        now: Instant,
    ) -> PickContext<'k> {
        PickContext {
            now,
            client: self.exchange.client.address,
            hash_key: &keys.hash,
            session: keys.session.as_deref(),
            tried,
        }
    }
}

/// What a pool goes by for one request.
struct Keys<'r> {
    hash: Vec<u8>,
    session: Option<Cow<'r, [u8]>>,
}

/// A listed status is a failure of the peer, except those that are about the request (nginx's rule).
fn turned_away(lease: &mut Lease, response: &ResponseHead, now: Instant) {
    match response.status.as_u16() {
        _ if grpc::is_unavailable(response) => {
            lease.failed_because(now, "answered grpc-status 14");
        }
        403 | 404 | 429 => lease.succeeded(now),
        status => lease.failed_because(now, &format!("answered {status}")),
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
