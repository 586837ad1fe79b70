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
use crate::net::{BufferSize, Deadline, Stream};

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
    while sleep(context, &mut client, &mut site, arrival, is_first).await {
        // Boxed, so that an idle connection does not carry the space that a request needs.
        let after = Box::pin(wake(context, &mut client, &mut site, arrival)).await;
        match after {
            After::KeepAlive => is_first = false,
            After::Close => return,
            // Boxed, too: it reads into space of its own.
            After::Linger => return Box::pin(client.linger(context.drain.is_draining())).await,
            After::Reset => return client.stream.reset_on_close(),
        }
    }
}

/// Waits for the first bytes of a request and reads them; `false` if there will be none.
async fn sleep(
    context: &Context,
    client: &mut Client,
    site: &mut Arc<Site>,
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
        let Client {
            stream,
            input,
            reading,
            ..
        } = client;
        if let Poll::Ready(read) = context
            .buffers
            .poll_fill(cx, stream, input, BufferSize::Short)
        {
            let has_come = matches!(read, Ok(n) if n > 0);
            // What was configured when it begins: a sleeper holds no snapshot that is gone.
            return Poll::Ready(has_come && (follow(context, site, arrival) || is_first));
        }
        let deadline = deadline.get_or_insert_with(|| Instant::now() + patience);
        if !follow(context, site, arrival) || context.drain.is_draining() {
            if !is_first {
                return Poll::Ready(false);
            }
            *deadline = (*deadline).min(Instant::now() + LAST_CHANCE);
        }
        sleeper.register(cx);
        reading.poll_passed(cx, *deadline).map(|()| false)
    })
    .await
}

/// Takes up what is configured now; `false` if the listener is gone. A client that was accepted
/// before that is still answered once, by what was configured last.
fn follow(context: &Context, site: &mut Arc<Site>, arrival: Arrival) -> bool {
    match context.sites.site(arrival.listener) {
        Some(current) => {
            *site = current;
            true
        }
        None => false,
    }
}

/// Serves requests until none has begun to arrive.
async fn wake(
    context: &Context,
    client: &mut Client,
    site: &mut Arc<Site>,
    arrival: Arrival,
) -> After {
    let after = loop {
        skip_empty_lines(client);
        if client.input.is_empty() {
            break After::KeepAlive;
        }
        let after = serve_request(context, client, site, arrival).await;
        if after != After::KeepAlive {
            break after;
        }
        // A pipelined request is the next request: it sees what is configured now.
        if !follow(context, site, arrival) {
            break After::Linger;
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
        Err(NoHead::Broken) => {
            let mut exchange = Exchange::unreadable(context, Arc::clone(site), seen, started);
            exchange.keep_line(client.input.data());
            After::Close
        }
        Err(NoHead::Refused(error)) => {
            tracing::debug!(client = %arrival.client, "refused: {error}");
            let mut exchange = Exchange::unreadable(context, Arc::clone(site), seen, started);
            exchange.keep_line(client.input.data());
            Answer::error(&error, None)
                .send(client, &mut exchange, None)
                .await
        }
    }
}

/// Why there is no head.
enum NoHead {
    /// The client left within one.
    Broken,
    /// It is not one that lbd takes.
    Refused(HttpError),
}

/// Reads a head, of which at least a byte has come; all of it must have before the listener's header deadline.
async fn read_head(
    client: &mut Client,
    site: &Site,
    started: Instant,
) -> Result<RequestHead, NoHead> {
    let deadline = Deadline::At(started + site.timeouts.header);
    // A head ends with a line, so without a new line end there is nothing new to parse.
    let mut is_worth_parsing = true;
    loop {
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
        let space = client.input.space();
        match client
            .stream
            .read(space, &mut client.reading, deadline)
            .await
        {
            Ok(0) => return Err(NoHead::Broken),
            Ok(n) => {
                is_worth_parsing = memchr::memchr(b'\n', &space[..n]).is_some();
                client.input.filled(n);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(NoHead::Refused(TOO_SLOW));
            }
            Err(_) => return Err(NoHead::Broken),
        }
    }
}

const TOO_SLOW: HttpError =
    HttpError::client(StatusCode::REQUEST_TIMEOUT, "request header too slow");

/// Some clients send an empty line behind a body; a server ignores those before a request (RFC 9112 section 2.2).
fn skip_empty_lines(client: &mut Client) {
    loop {
        match client.input.data() {
            [b'\r', b'\n', ..] => client.input.consume(2),
            [b'\n', ..] => client.input.consume(1),
            _ => return,
        }
    }
}
