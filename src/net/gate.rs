//! How many connections a listener has, and how many it may have.
//!
//! One too many is not left waiting in silence: it is let in to be told so. Only if even those are many is one closed
//! without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::telemetry::{ListenerStats, Seldom, Striped};

/// A listener's connections, of all workers, and over every reload.
#[derive(Clone, Debug)]
pub struct Gate {
    counts: Arc<Counts>,
    /// 0: no limit.
    most: u32,
}

#[derive(Debug, Default)]
struct Counts {
    served: AtomicU32,
    /// Those that are only told that they are too many. They take nobody's place.
    crowded: AtomicU32,
    stats: Striped<ListenerStats>,
}

/// One of a listener's connections, for as long as it lasts.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Counts>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Served,
    Crowded,
    /// Counts nowhere: it is part of one that does.
    Part,
}

impl Gate {
    /// A gate for `most` connections, 0 for any number, beside those that came through `previous`.
    pub fn new(most: u32, previous: Option<&Self>) -> Self {
        Self {
            counts: previous.map_or_else(Arc::default, |known| Arc::clone(&known.counts)),
            most,
        }
    }

    /// A place for a connection; `None` if there are so many that it cannot even be told. `listener` is for the log.
    pub fn enter(&self, listener: impl std::fmt::Display) -> Option<Place> {
        let most = if self.most == 0 { u32::MAX } else { self.most };
        self.stats().own().accepted.add(1);
        if is_added(&self.counts.served, most) {
            return Some(self.place(Kind::Served));
        }
        self.stats().own().refused.add(1);
        complain(self.most, listener);
        let told = 64 + self.most / 8;
        is_added(&self.counts.crowded, told).then(|| self.place(Kind::Crowded))
    }

    /// Whether the connections of both are counted together.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.counts, &other.counts)
    }

    /// A place for a part of a connection that has one.
    pub fn part(&self) -> Place {
        self.place(Kind::Part)
    }

    /// What has come through it.
    pub fn stats(&self) -> &Striped<ListenerStats> {
        &self.counts.stats
    }

    /// How many connections there are.
    pub fn connections(&self) -> u32 {
        let Counts {
            served, crowded, ..
        } = &*self.counts;
        served.load(Ordering::Relaxed) + crowded.load(Ordering::Relaxed)
    }

    /// How many there may be; 0: any number.
    pub fn most(&self) -> u32 {
        self.most
    }

    fn place(&self, kind: Kind) -> Place {
        Place {
            counts: Arc::clone(&self.counts),
            kind,
        }
    }
}

/// Counts one more, unless there are as many as `most`.
fn is_added(count: &AtomicU32, most: u32) -> bool {
    let more = |n: u32| (n < most).then_some(n + 1);
    let updated = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    updated.is_ok()
}

impl Place {
    /// Whether it is one too many.
    pub fn is_crowded(&self) -> bool {
        self.kind == Kind::Crowded
    }

    /// A tunnel begins in it.
    pub fn begin_tunnel(&self) {
        let stats = self.stats().own();
        stats.tunnels_begun.add(1);
        if self.kind == Kind::Part {
            stats.inner_begun.add(1);
        }
    }

    /// A tunnel in it has ended.
    pub fn end_tunnel(&self) {
        let stats = self.stats().own();
        stats.tunnels_ended.add(1);
        if self.kind == Kind::Part {
            stats.inner_ended.add(1);
        }
    }

    /// What has come through its gate.
    pub fn stats(&self) -> &Striped<ListenerStats> {
        &self.counts.stats
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = match self.kind {
            Kind::Served => &self.counts.served,
            Kind::Crowded => &self.counts.crowded,
            Kind::Part => return,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn complain(most: u32, listener: impl std::fmt::Display) {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(10));
    if let Some(others) = COMPLAINTS.due() {
        tracing::warn!(
            others,
            "{listener}: `max_connections` ({most}) are in use; more are refused"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_told_and_far_too_many_are_not() {
        let gate = Gate::new(8, None);
        let places: Vec<_> = (0..200).filter_map(|_| gate.enter("a")).collect();
        let crowded = places.iter().filter(|place| place.is_crowded()).count();
        assert_eq!((places.len(), crowded), (8 + 65, 65));
        drop(places);
        assert!(gate.enter("a").is_some_and(|place| !place.is_crowded()));
    }

    #[test]
    fn one_too_many_takes_nobody_s_place() {
        let gate = Gate::new(1, None);
        let (first, crowded) = (gate.enter("a"), gate.enter("a"));
        assert!(crowded.as_ref().is_some_and(Place::is_crowded));
        drop(first);
        assert!(gate.enter("a").is_some_and(|place| !place.is_crowded()));
    }

    #[test]
    fn connections_from_before_a_reload_count() {
        let before = Gate::new(0, None);
        let _places = [before.enter("a"), before.enter("a")];
        let after = Gate::new(2, Some(&before));
        assert!(after.enter("a").is_some_and(|place| place.is_crowded()));
    }
}
