//! One client connection from accept to close.
//!
//! It is either asleep or awake. Asleep it is a socket, a timer and this small task; awake it
//! borrows a buffer from the worker and runs one request after the other until none is left over.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{
    answer::Answer,
    client::{After, Client},
    context::Context,
    error::HttpError,
    exchange::{ClientSeen, Exchange},
    h1::{RequestHead, parse_request},
    handler::handle,
    site::Site,
};
use crate::net::{Deadline, Stream};

/// How long a connection that never carried a request is waited for once its worker drains.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// Where a connection came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The client's end.
    pub client: SocketAddr,
    /// The listener's address as the file says it.
    pub listener: SocketAddr,
    /// The port that accepted it.
    pub port: u16,
}

/// Serves every request that comes over `stream`, each by what is configured when it begins.
pub async fn serve_connection(context: &Context, stream: Stream, arrival: Arrival) {
    let _counted = context.drain.connection();
    let Some(mut site) = context.sites.site(arrival.listener) else {
        return;
    };
    let mut client = Client::new(stream);
    let mut is_first = true;
    while sleep(context, &mut client, &site, arrival, is_first).await {
        match context.sites.site(arrival.listener) {
            Some(current) => site = current,
            // Its listener is gone. A client that was accepted before is still answered once.
            None if is_first => {}
            None => return,
        }
        // Boxed, so that an idle connection does not carry the space that a request needs.
        let after = Box::pin(wake(context, &mut client, Arc::clone(&site), arrival)).await;
        match after {
            After::KeepAlive => is_first = false,
            After::Close => return,
            After::Linger => return client.linger().await,
            After::Reset => return client.stream.reset_on_close(),
        }
    }
}

/// Waits for the first byte of a request; `false` if there will be none.
async fn sleep(
    context: &Context,
    client: &mut Client,
    site: &Arc<Site>,
    arrival: Arrival,
    is_first: bool,
) -> bool {
    let patience = if is_first {
        site.timeouts.header
    } else {
        site.timeouts.idle
    };
    let mut deadline = None;
    let mut sleeper = context.drain.sleeper();
    poll_fn(|cx| {
        if client.stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        let deadline = deadline.get_or_insert_with(|| Instant::now() + patience);
        if context.drain.is_draining() || context.sites.site(arrival.listener).is_none() {
            if !is_first {
                return Poll::Ready(false);
            }
            *deadline = (*deadline).min(Instant::now() + LAST_CHANCE);
        }
        sleeper.register(cx);
        client.reading.poll_passed(cx, *deadline).map(|()| false)
    })
    .await
}

/// Serves requests until none has begun to arrive.
async fn wake(
    context: &Context,
    client: &mut Client,
    mut site: Arc<Site>,
    arrival: Arrival,
) -> After {
    client.input = context.buffers.short();
    let after = loop {
        let after = serve_request(context, client, &site, arrival).await;
        if after != After::KeepAlive || client.input.is_empty() {
            break after;
        }
        // A pipelined request is the next request: it sees what is configured now.
        match context.sites.site(arrival.listener) {
            Some(current) => site = current,
            None => break After::Linger,
        }
    };
    context.buffers.give(std::mem::take(&mut client.input));
    after
}

/// Serves one request, of which at least a byte has arrived.
async fn serve_request(
    context: &Context,
    client: &mut Client,
    site: &Arc<Site>,
    arrival: Arrival,
) -> After {
    let started = Instant::now();
    let seen = ClientSeen::new(arrival.client, arrival.port);
    match read_head(client, site, started).await {
        Ok(request) => {
            context.buffers.release(&mut client.input);
            let mut exchange = Exchange::new(context, Arc::clone(site), seen, &request, started);
            handle(client, &mut exchange, &request).await
        }
        Err(NoHead::Ended) => After::Close,
        Err(NoHead::Broken) => {
            drop(Exchange::unreadable(
                context,
                Arc::clone(site),
                seen,
                started,
            ));
            After::Close
        }
        Err(NoHead::Refused(error)) => {
            tracing::debug!(client = %arrival.client, "refused: {error}");
            let mut exchange = Exchange::unreadable(context, Arc::clone(site), seen, started);
            Answer::error(&error, None)
                .send(client, &mut exchange, None)
                .await
        }
    }
}

/// Why there is no head.
enum NoHead {
    /// The client closed where a request could have begun.
    Ended,
    /// The client closed within one.
    Broken,
    /// It is not one that lbd takes.
    Refused(HttpError),
}

/// Reads a head; all of it must have come before the listener's header deadline.
async fn read_head(
    client: &mut Client,
    site: &Site,
    started: Instant,
) -> Result<RequestHead, NoHead> {
    let deadline = Deadline::At(started + site.timeouts.header);
    // A head ends with a line, so without a new line end there is nothing new to parse.
    let mut is_worth_parsing = true;
    loop {
        skip_empty_lines(client);
        if is_worth_parsing || client.input.len() >= site.limits.uri {
            match parse_request(client.input.data(), site.limits) {
                Ok(Some((head, length))) => {
                    client.input.consume(length);
                    return Ok(head);
                }
                Ok(None) => {}
                Err(error) => return Err(NoHead::Refused(error)),
            }
        }
        let is_empty = client.input.is_empty();
        let space = client.input.space();
        match client
            .stream
            .read(space, &mut client.reading, deadline)
            .await
        {
            Ok(0) | Err(_) if is_empty => return Err(NoHead::Ended),
            Ok(0) => return Err(NoHead::Broken),
            Ok(n) => {
                is_worth_parsing = memchr::memchr(b'\n', &space[..n]).is_some();
                client.input.filled(n);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let reason = "request header too slow";
                return Err(NoHead::Refused(HttpError::client(
                    StatusCode::REQUEST_TIMEOUT,
                    reason,
                )));
            }
            Err(_) => return Err(NoHead::Broken),
        }
    }
}

/// Some clients send an empty line behind a body; a server ignores those before a request (RFC 9112 section 2.2).
fn skip_empty_lines(client: &mut Client) {
    let empty = client
        .input
        .data()
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    client.input.consume(empty);
}
