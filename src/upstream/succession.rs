//! What outlives the sets of a pool's members: which of them is chosen from now, and who waits for room.
//!
//! A request may hold a lease of a set that a reload has replaced. What it learns, and the place that it leaves, are
//! for the set that is chosen from now.

use std::sync::{Arc, Weak, atomic::AtomicBool};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{edits::Edits, peer_set::PeerSet, queue::Queue};

/// The sets of the pools of one name, one after the other.
#[derive(Debug, Default)]
pub(super) struct Succession {
    pub(super) queue: Queue,
    /// Whether nobody was alive when somebody was needed last.
    pub(super) is_dark: AtomicBool,
    /// What operators have changed in the list of servers.
    pub(super) edits: ArcSwap<Edits>,
    current: ArcSwapOption<Weak<PeerSet>>,
}

impl Succession {
    /// `set` is chosen from now on.
    pub(super) fn begin(&self, set: &Arc<PeerSet>) {
        self.current.store(Some(Arc::new(Arc::downgrade(set))));
        self.queue.room_has_come();
    }

    /// The set that is chosen from, unless there is none any more.
    pub(super) fn current(&self) -> Option<Arc<PeerSet>> {
        self.current.load().as_ref()?.upgrade()
    }
}
