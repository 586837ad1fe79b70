//! The pipeline of a request, one named call for each stage. A stage that answers returns early.

use http::StatusCode;
use tokio::time::Instant;

use super::{
    answer::Answer,
    client::{After, Client},
    error::HttpError,
    exchange::Exchange,
    forward::Forwarding,
    grpc,
    message::{Framing, RequestHead},
    path::{InvalidPath, Path, write_escaped},
    router::Found,
    site::{Action, Forward, Route, Site},
    upload::TOO_LARGE,
    variables::{host_name, write_template},
};
use crate::{
    config::{PeerProtocol, Template},
    net::Deadline,
};

/// Answers `request`, which `exchange` is about.
pub(super) async fn handle<'c>(
    client: &mut Client<'_>,
    exchange: &mut Exchange<'c>,
    request: &RequestHead,
) -> After {
    if exchange.is_crowded {
        return Answer::error(&HttpError::crowded(), Some(request), None)
            .send(client, exchange, None)
            .await;
    }
    let path = match normalise(request) {
        Ok(path) => path,
        Err(error) => {
            return Answer::error(&error, Some(request), None)
                .send(client, exchange, None)
                .await;
        }
    };
    let route = match find_route(exchange.site, request, &path) {
        Ok(route) => route,
        Err(answer) => return answer.send(client, exchange, None).await,
    };
    exchange.route = Some(route);
    if let Err(error) = check_body(route, request) {
        return Answer::error(&error, Some(request), Some(route))
            .send(client, exchange, Some(route))
            .await;
    }
    let answer = match &route.action {
        Action::Forward(pool) => {
            match forward(client, exchange, request, route, pool, &path).await {
                Ok(after) => return after,
                Err(error) => Answer::error(&error, Some(request), Some(route)),
            }
        }
        Action::Respond { status, .. } if request.protocol.is_some() && status.is_success() => {
            // It would say that the stream has become a WebSocket.
            Answer::error(&NO_TUNNEL, Some(request), Some(route))
        }
        Action::Redirect { to, status } => Answer::redirect(*status, fill_in(to, exchange)),
        Action::Respond { status, body } => Answer::text(*status, fill_in(body, exchange)),
    };
    answer.send(client, exchange, Some(route)).await
}

fn normalise(request: &RequestHead) -> Result<Path<'_>, HttpError> {
    Path::parse(request.path())
        .map_err(|InvalidPath| HttpError::client(StatusCode::BAD_REQUEST, "invalid path"))
}

/// The route, or the answer that stands in for one.
fn find_route<'c>(
    site: &'c Site,
    request: &RequestHead,
    path: &Path<'_>,
) -> Result<&'c Route, Answer<'static>> {
    let name = host_name(request.host());
    let lower;
    let host = if name.iter().any(u8::is_ascii_uppercase) {
        lower = name.to_ascii_lowercase();
        &lower
    } else {
        name
    };
    match site.router.find(host, &path.normal) {
        Some(Found::Route(route)) => Ok(route),
        Some(Found::WithSlash(route)) => Err(to_slash(route, request)),
        None => Err(Answer::error(
            &HttpError::peer(StatusCode::NOT_FOUND, "no route"),
            Some(request),
            None,
        )),
    }
}

/// `/app_a` to `/app_a/`: relative, so that it holds behind any port mapping; with a status that keeps method and body.
fn to_slash(route: &Route, request: &RequestHead) -> Answer<'static> {
    Answer::redirect(StatusCode::PERMANENT_REDIRECT, with_slash(route, request))
}

/// Where the client is sent that has left out the slash of `route`.
pub(super) fn with_slash(route: &Route, request: &RequestHead) -> Vec<u8> {
    let mut location = Vec::new();
    write_escaped(&mut location, route.path.as_bytes());
    if let Some(query) = request.query() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

pub(super) fn check_body(route: &Route, request: &RequestHead) -> Result<(), HttpError> {
    match request.body {
        Framing::Length(length) if length > route.max_body => Err(TOO_LARGE),
        _ => Ok(()),
    }
}

async fn forward<'c>(
    client: &mut Client<'_>,
    exchange: &mut Exchange<'c>,
    request: &RequestHead,
    route: &Route,
    forward: &'c Forward,
    path: &Path<'_>,
) -> Result<After, HttpError> {
    exchange.forwarded_to(forward.pool.name());
    let patience = grpc::timeout(request);
    let forwarding = Forwarding {
        client: &mut *client,
        exchange: &mut *exchange,
        request,
        route,
        forward,
        path,
        offer: offer(request, forward)?,
    };
    let Some(patience) = patience else {
        return forwarding.run().await;
    };
    // The client's timer is the forwarding's: this one is for the call as a whole.
    let timer = forwarding.exchange.context.shared.timers.timer();
    let deadline = Deadline::At(forwarding.exchange.times.started + patience);
    // Boxed, so that what is no call does not carry the space that calls need.
    let in_time = Box::pin(async move { timer.limit(deadline, forwarding.run()).await });
    match in_time.await {
        Some(outcome) => outcome,
        None => Ok(Box::pin(too_late(client, exchange, route)).await),
    }
}

const NO_TUNNEL: HttpError =
    HttpError::client(StatusCode::NOT_IMPLEMENTED, "no tunnel to be had here");

/// The protocols that the connection may change to. Servers of HTTP/2 are spoken to on connections that others share.
pub(super) fn offer(
    request: &RequestHead,
    forward: &Forward,
) -> Result<Option<Vec<u8>>, HttpError> {
    match (request.protocol, forward.pool.transport().protocol) {
        (_, PeerProtocol::Http1) => Ok(request.offer()),
        (None, PeerProtocol::Http2) => Ok(None),
        (Some(_), PeerProtocol::Http2) => Err(HttpError::peer(
            StatusCode::NOT_IMPLEMENTED,
            "no tunnels to servers of HTTP/2",
        )),
    }
}

/// The call has taken longer than its client wants to wait: it is told so, wherever its response is.
async fn too_late(client: &mut Client<'_>, exchange: &mut Exchange<'_>, route: &Route) -> After {
    exchange.end_attempt(Some("grpc-timeout"), Instant::now());
    if client.end_call(grpc::Code::DeadlineExceeded, LATE) {
        return After::Close;
    }
    Answer::call(grpc::Code::DeadlineExceeded, LATE.to_owned())
        .send(client, exchange, Some(route))
        .await
}

const LATE: &str = "the call's deadline has passed";

fn fill_in(template: &Template, exchange: &Exchange<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    write_template(&mut text, template, exchange);
    text
}
