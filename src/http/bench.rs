//! What `benches/micro` measures of this room: its router, and the heads that it reads and writes.
//! Hidden, because nobody else may rely on it.

use tokio::time::Instant;

pub use super::router::{Found, Router};
use super::{
    context::Context,
    exchange::{ClientSeen, Exchange, Times},
    h1::{parse_request, parse_response},
    headers::{ClientHead, PeerHead, write_client_head, write_peer_head},
    location::Rewrite,
    message::{HeadLimits, RequestHead, ResponseHead},
    path::Path,
    site::{Route, Site},
};

/// A request that `site` routes, and the response to it.
#[derive(Debug)]
pub struct Heads<'c> {
    context: &'c Context,
    site: &'c Site,
    route: &'c Route,
    request: RequestHead,
    response: ResponseHead,
    client: ClientSeen,
    times: Times,
}

/// Reads a request's head; says whether it is one.
pub fn reads_request(head: &[u8]) -> bool {
    let limits = HeadLimits {
        header: 64 << 10,
        uri: 16 << 10,
    };
    matches!(parse_request(head, limits), Ok(Some(_)))
}

impl<'c> Heads<'c> {
    /// `None` if one of the heads is none, or leads to no route.
    pub fn read(
        context: &'c Context,
        site: &'c Site,
        request: &[u8],
        response: &[u8],
    ) -> Option<Self> {
        let (request, _) = parse_request(request, site.limits).ok()??;
        let (response, _) = parse_response(response, &request.method).ok()??;
        let path = Path::parse(request.path()).ok()?;
        let Found::Route(route) = site.router.find(b"", &path.normal)? else {
            return None;
        };
        let now = Instant::now();
        Some(Self {
            context,
            site,
            route,
            response,
            client: ClientSeen::new(([10, 0, 0, 9], 40_000).into(), 8100, false),
            times: Times {
                started: now,
                arrived: now,
            },
            request,
        })
    }

    /// Appends the head that a peer gets.
    pub fn write_for_peer(&self, out: &mut Vec<u8>) {
        let head = PeerHead {
            route: self.route,
            target: self.request.path_and_query(),
            host: self.request.host(),
            framing: self.request.body,
            expects_continue: false,
            offer: None,
        };
        write_peer_head(out, &self.exchange(), &self.request, &head);
    }

    /// Appends the head that the client gets.
    pub fn write_for_client(&self, out: &mut Vec<u8>) {
        let head = ClientHead {
            cookie: None,
            exposed: None,
            own_cookie: None,
            route: self.route,
            framing: self.response.body,
            keep_alive: true,
            changes_to: None,
            rewrite: Rewrite {
                peer: ([127, 0, 0, 1], 8101).into(),
                authority: "127.0.0.1:8101",
                pool: "app",
                host_sent: self.request.host(),
                client_host: self.request.host(),
                is_https: false,
                prefix: None,
            },
        };
        write_client_head(out, &self.exchange(), &self.request, &self.response, &head);
    }

    fn exchange(&self) -> Exchange<'_> {
        Exchange::new(
            self.context,
            self.site,
            self.client,
            &self.request,
            self.times,
        )
    }
}
