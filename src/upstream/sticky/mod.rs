//! Which server a client belongs to: by a cookie of lbd's, by a route in an app's own, or by what was learnt.
//!
//! The first two need no memory, so that every node and every restart finds the same server. What is learnt is kept
//! in a table of bounded size, and over reloads.

mod cookie;
mod learned;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use self::{cookie::Tagger, learned::Learned};
use super::peer_set::Place;
use crate::config;

/// How a pool's clients are bound. Shared by its sets of members, and by pools over reloads that do not change it.
#[derive(Debug)]
pub(super) enum Sticky {
    None,
    Cookie(Box<Tagger>),
    Route,
    Learned(Arc<Learned>),
}

/// Where the clients of one set of members belong.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_name: HashMap<Box<[u8]>, Place>,
    by_address: HashMap<SocketAddr, Place>,
}

impl Sticky {
    /// What `pool` says; what was learnt is `previous`'s, if that was learnt in the same way.
    pub(super) fn new(pool: &config::Pool, previous: Option<(&Self, &config::Pool)>) -> Self {
        match &pool.sticky {
            None => Self::None,
            Some(config::Sticky::Cookie(cookie)) => {
                Self::Cookie(Box::new(Tagger::new(cookie, &pool.name)))
            }
            Some(config::Sticky::Route(_)) => Self::Route,
            Some(config::Sticky::Learn(learn)) => match previous {
                Some((Self::Learned(learned), before)) if before.sticky == pool.sticky => {
                    Self::Learned(Arc::clone(learned))
                }
                _ => Self::Learned(Arc::new(Learned::new(learn))),
            },
        }
    }

    /// What a cookie says of a server that is called `route`, or is at `address`.
    pub(super) fn tag(&self, route: Option<&str>, address: SocketAddr) -> Option<Arc<str>> {
        match self {
            Self::Cookie(tagger) => Some(match route {
                Some(route) => tagger.tag(route),
                None => tagger.tag(&address.to_string()),
            }),
            _ => None,
        }
    }

    /// The value of `Set-Cookie` that binds a client, which came by https or not, to the server with `tag`.
    pub(super) fn cookie(&self, tag: &str, is_https: bool) -> Option<Vec<u8>> {
        match self {
            Self::Cookie(tagger) => Some(tagger.cookie(tag, is_https)),
            _ => None,
        }
    }

    /// Whether clients are to be told on every answer where they belong, rather than when it is news.
    pub(super) fn renews(&self) -> bool {
        matches!(self, Self::Cookie(tagger) if tagger.renews())
    }

    /// `session` belongs to the server at `address`.
    pub(super) fn learn(&self, session: &[u8], address: SocketAddr, now: Instant) {
        if let Self::Learned(learned) = self {
            learned.bind(session, address, now);
        }
    }

    /// A request of `session` has come.
    pub(super) fn renew(&self, session: &[u8], now: Instant) {
        if let Self::Learned(learned) = self {
            learned.renew(session, now);
        }
    }

    /// Sessions that belong to the server at `address`, if any have to be learnt.
    pub(super) fn sessions_of(&self, address: SocketAddr, now: Instant) -> Option<usize> {
        match self {
            Self::Learned(learned) => Some(learned.count(address, now)),
            _ => None,
        }
    }
}

impl Bindings {
    /// Where the clients of members belong that have these tags, routes and addresses.
    pub(super) fn new<'m>(
        sticky: &Sticky,
        members: impl Iterator<Item = (Place, Names<'m>)>,
    ) -> Self {
        let mut bindings = Self::default();
        for (place, names) in members {
            let name = match sticky {
                Sticky::None => None,
                Sticky::Cookie(_) => names.tag,
                Sticky::Route => names.route,
                Sticky::Learned(_) => {
                    bindings.by_address.insert(names.address, place);
                    None
                }
            };
            if let Some(name) = name {
                bindings.by_name.insert(name.as_bytes().into(), place);
            }
        }
        bindings
    }

    /// Where the client belongs whose request says `session`.
    pub(super) fn find(&self, sticky: &Sticky, session: &[u8], now: Instant) -> Option<Place> {
        match sticky {
            Sticky::None => None,
            Sticky::Cookie(_) => self.by_name.get(session).copied(),
            Sticky::Route => {
                let mut routes = routes(session);
                routes.find_map(|route| self.by_name.get(route).copied())
            }
            Sticky::Learned(learned) => {
                let address = learned.find(session, now)?;
                self.by_address.get(&address).copied()
            }
        }
    }
}

/// What a member may be known by.
pub(super) struct Names<'m> {
    pub(super) tag: Option<&'m str>,
    pub(super) route: Option<&'m str>,
    pub(super) address: SocketAddr,
}

/// What of a session's id may be a route: what stands behind its first dot, behind its last, and all of it.
fn routes(session: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = session.iter().position(|b| *b == b'.');
    let last = session.iter().rposition(|b| *b == b'.');
    let behind = [first, last].into_iter().flatten();
    behind.map(|dot| &session[dot + 1..]).chain([session])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_what_tomcat_puts_behind_a_session_s_id() {
        let found = |session: &str| {
            let found = routes(session.as_bytes()).map(|route| String::from_utf8_lossy(route));
            found.map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(found("A1B2.node1"), ["node1", "node1", "A1B2.node1"]);
        assert_eq!(found("A1.b.node1"), ["b.node1", "node1", "A1.b.node1"]);
        assert_eq!(found("node1"), ["node1"]);
    }
}
