//! Where a request would go now, and why: a choice that is told rather than made.

use super::{
    peer_set::{PeerSet, PickContext, Place},
    pool::Pool,
    status::ServerStatus,
};
use crate::config::Balance;

/// One server of a pool, as one request would find it.
#[derive(Clone, Debug)]
pub struct Prospect {
    /// Its turn, from 1; `None`: it gets none.
    pub turn: Option<usize>,
    /// Why it is the one, or is not.
    pub why: String,
    /// What the file calls it.
    pub authority: String,
    /// What is to be told of it.
    pub status: ServerStatus,
}

impl Pool {
    /// The servers in the order in which a request would be sent to them, those that would not be asked last. Nothing
    /// is changed by asking.
    pub fn rehearse(&self, context: &PickContext<'_>) -> Vec<Prospect> {
        let set = self.set.load();
        let order = set.rehearse(context);
        let method = method(&self.config().balance, context);
        let mut prospects: Vec<_> = set
            .places()
            .map(|(place, member)| {
                let backup = PeerSet::is_backup(place);
                let status = ServerStatus::new(member, &set, backup, context.now);
                let turn = order.iter().position(|turn| turn.place == place);
                let why = match turn.map(|turn| &order[turn]) {
                    Some(turn) if turn.is_bound => "the client is bound to it".to_owned(),
                    Some(_) if backup => "a backup, when nobody else is left".to_owned(),
                    Some(_) => method.clone(),
                    None if backup => "a backup, and not needed".to_owned(),
                    None => why_not(&status),
                };
                Prospect {
                    turn: turn.map(|turn| turn + 1),
                    why,
                    authority: member.authority.to_string(),
                    status,
                }
            })
            .collect();
        prospects.sort_by_key(|prospect| prospect.turn.unwrap_or(usize::MAX));
        prospects
    }
}

/// One turn of a rehearsal.
pub(super) struct Turn {
    pub(super) place: Place,
    pub(super) is_bound: bool,
}

fn method(balance: &Balance, context: &PickContext<'_>) -> String {
    let key = || String::from_utf8_lossy(context.hash_key).into_owned();
    match balance {
        Balance::RoundRobin => "round_robin".to_owned(),
        Balance::IpHash => format!("ip_hash of {}", context.client),
        Balance::LeastConn => "least_conn".to_owned(),
        Balance::Random => "random: by lot, so that the next may differ".to_owned(),
        Balance::Ewma => "ewma: by lot, so that the next may differ".to_owned(),
        Balance::Hash { .. } if context.hash_key.is_empty() => {
            "round_robin, for hash_key is empty".to_owned()
        }
        Balance::Hash { .. } => format!("{balance} of \"{}\"", key()),
    }
}

fn why_not(status: &ServerStatus) -> String {
    match (&*status.state, &status.reason) {
        ("up" | "warming up", _) => {
            "it has no room (max_conns), or lacked what the route is for".to_owned()
        }
        (state, Some(reason)) => format!("{state}: {reason}"),
        (state, None) => state.to_owned(),
    }
}
