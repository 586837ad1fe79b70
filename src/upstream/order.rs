//! An operator's orders for the servers of a pool.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    duty::{Duty, Order},
    editing::NotEdited,
    edits::EditError,
    member::Member,
    peer::Peer,
    peer_set::{PeerSet, Place},
    pool::Pool,
    status::ServerStatus,
};
use crate::telemetry::{EventKind, Severity};

/// A server that is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("pool {pool} has no server {server}; it has {}", known.join(", "))]
pub struct NoSuchServer {
    /// The pool.
    pub pool: String,
    /// What was asked for.
    pub server: String,
    /// What there is.
    pub known: Vec<String>,
}

impl Pool {
    /// Gives `order` for `server`, which is called as the file calls it, or by its address. Where a name stands for
    /// several addresses, it is for all of them. Gives what is to be told of each, and the order as it stands.
    ///
    /// # Errors
    /// There is no such server.
    pub fn order(
        &self,
        server: &str,
        order: Order,
        now: Instant,
    ) -> Result<(Vec<ServerStatus>, Order), NoSuchServer> {
        let set = self.set.load();
        let meant = self.meant(&set, server)?;
        let (_, first) = &meant[0];
        let order = Order {
            server: name_of(first, server),
            ..order
        };
        for (_, member) in &meant {
            // One address of a name may be up while the name is down, and has to be said to be.
            let of_name = |other: &Member| {
                let order = other.peer.orders.order();
                other.authority == member.authority
                    && order.is_some_and(|order| order.server == other.authority)
            };
            let is_exception = order.server != member.authority && set.members().any(of_name);
            give(member, &order, is_exception, now);
        }
        set.reconsider_current();
        self.room_has_come();
        let status = |(place, member): (_, &Member)| {
            ServerStatus::new(member, &set, PeerSet::is_backup(place), now)
        };
        Ok((meant.into_iter().map(status).collect(), order))
    }

    /// What is to be told of those that `server` stands for.
    ///
    /// # Errors
    /// There is no such server.
    pub fn status_of(&self, server: &str, now: Instant) -> Result<Vec<ServerStatus>, NoSuchServer> {
        let set = self.set.load();
        let meant = self.meant(&set, server)?.into_iter();
        let status = meant
            .map(|(place, member)| ServerStatus::new(member, &set, PeerSet::is_backup(place), now));
        Ok(status.collect())
    }

    /// How the file, or whoever has added it, calls the one that an operator means who says `server`.
    ///
    /// # Errors
    /// There is no such server, or it is one address of a name that has several.
    pub(super) fn authority_of(&self, server: &str) -> Result<String, NotEdited> {
        let set = self.set.load();
        let known = self.edited_config().servers.into_iter();
        let mut known = known.map(|spec| spec.address.value.to_string());
        // One whose name has no address is in no set.
        if let Some(named) = known.find(|known| known.eq_ignore_ascii_case(server)) {
            return Ok(named);
        }
        let meant = self.meant(&set, server)?;
        let name = meant[0].1.authority.to_string();
        let of_name = set.members().filter(|member| *member.authority == *name);
        if of_name.count() > meant.len() {
            let server = server.to_owned();
            return Err(NotEdited::Edit(EditError::OneOfMany { server, name }));
        }
        Ok(name)
    }

    /// Those in `set` that an operator means who says `server`: at least one.
    fn meant<'s>(
        &self,
        set: &'s PeerSet,
        server: &str,
    ) -> Result<Vec<(Place, &'s Member)>, NoSuchServer> {
        let meant: Vec<_> = set.places().filter(|(_, m)| is_called(m, server)).collect();
        if meant.is_empty() {
            return Err(NoSuchServer {
                pool: self.name().to_owned(),
                server: server.to_owned(),
                known: set.labels().into_iter().map(str::to_owned).collect(),
            });
        }
        Ok(meant)
    }

    /// The time of `order` has passed, if it still stands: its server goes down, and what is left there ends. Says whether
    /// anything is to end.
    pub fn end_of_drain(&self, order: &Order) -> bool {
        let set = self.set.load();
        let mut is_any = false;
        for member in set
            .members()
            .filter(|member| is_called(member, &order.server))
        {
            let peer = &member.peer;
            if peer.orders.order().as_ref() != Some(order) {
                continue;
            }
            let text = format!(
                "pool {}: server {} is down: its time to drain is over, with {} in flight",
                self.name(),
                peer.label(),
                peer.in_flight()
            );
            let server = Some(&**peer.label());
            self.tell(Severity::Info, EventKind::ServerOrdered, server, text);
            peer.orders.give(Some(Order {
                duty: Duty::Down,
                deadline: None,
                ..order.clone()
            }));
            peer.close_tunnels();
            is_any = true;
        }
        set.reconsider_current();
        is_any
    }

    /// Has tunnels to `server` end that there are now.
    pub fn close_tunnels(&self, server: &str) {
        let set = self.set.load();
        let meant = set.members().filter(|member| is_called(member, server));
        meant.for_each(|member| member.peer.close_tunnels());
    }

    /// The orders that stand for its servers, those for a name before those for one of its addresses.
    pub fn orders(&self) -> Vec<Order> {
        let set = self.set.load();
        let mut seen = HashSet::new();
        let mut orders: Vec<(bool, Order)> = Vec::new();
        for member in set.members() {
            if let Some(order) = member.peer.orders.order()
                && seen.insert(Arc::clone(&order.server))
            {
                orders.push((order.server != member.authority, order));
            }
        }
        orders.sort_by_key(|(is_for_address, _)| *is_for_address);
        orders.into_iter().map(|(_, order)| order).collect()
    }
}

fn give(member: &Member, order: &Order, is_exception: bool, now: Instant) {
    let peer: &Arc<Peer> = &member.peer;
    let before = member.duty();
    let is_up_by_file = order.duty == Duty::Up && member.duty_by_file() == Duty::Up;
    let is_the_file_s = is_up_by_file && !is_exception;
    peer.was_down(order.duty == Duty::Down);
    peer.orders.give((!is_the_file_s).then(|| order.clone()));
    if order.duty == Duty::Up {
        peer.health.forgive(now, before == Duty::Down);
        if before != Duty::Up {
            peer.health.warm_up(now);
        }
        peer.check_now.notify_one();
    }
}

/// Whether an operator who says `name` means `member`.
fn is_called(member: &Member, name: &str) -> bool {
    let peer = &member.peer;
    let names = [
        Some(&*member.authority),
        Some(&**peer.label()),
        member.route.as_deref(),
    ];
    let mut names = names.into_iter().flatten();
    names.any(|known| known.eq_ignore_ascii_case(name)) || peer.address().to_string() == name
}

/// What `member`, which is called `name`, is called in an order: one address, if that is what is named, and else what
/// the file says, whatever addresses that has.
fn name_of(member: &Member, name: &str) -> Arc<str> {
    let peer = &member.peer;
    let is_address = peer.label().eq_ignore_ascii_case(name) || peer.address().to_string() == name;
    if is_address && !member.authority.eq_ignore_ascii_case(name) {
        Arc::clone(peer.label())
    } else {
        Arc::clone(&member.authority)
    }
}

/// An order of an operator's, given now.
impl Order {
    /// That `server` be there for what `duty` says, by the word of `by`.
    pub fn new(server: &str, duty: Duty, by: String, deadline: Option<Instant>) -> Self {
        Self {
            server: server.into(),
            duty,
            by,
            // To the second, as it is read.
            at: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
            deadline,
        }
    }
}
