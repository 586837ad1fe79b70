//! A timing wheel: slots in a ring, one for each tick, and in each a list of those that are due then
//! or some whole turns later. Arming, disarming and firing take the same few steps however many
//! there are (Varghese and Lauck, "Hashed and hierarchical timing wheels", scheme 6).

use std::{task::Waker, time::Duration};

use slab::Slab;

/// How fine time is.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// A turn takes 41 s: an idle connection's deadline is passed over once or twice before it is due.
const SLOTS: usize = 4096;
/// No entry.
const NOBODY: u32 = u32::MAX;
const NOT_ARMED: Tick = Tick::MAX;

/// Ticks since the wheel was made.
pub(super) type Tick = u64;

/// Names one entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key(u32);

/// Entries, and when each is due.
pub(super) struct Wheel {
    entries: Slab<Entry>,
    /// The first entry of each slot's list.
    slots: Box<[u32]>,
    /// A bit for each slot that has a list.
    occupied: [u64; SLOTS / 64],
    /// The last tick whose entries were fired.
    now: Tick,
}

/// Whom to wake at `at`. Entries of one slot are a list in both directions.
struct Entry {
    waker: Waker,
    at: Tick,
    previous: u32,
    next: u32,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            slots: vec![NOBODY; SLOTS].into(),
            occupied: [0; SLOTS / 64],
            now: 0,
        }
    }
}

impl Wheel {
    /// An entry that is not armed.
    pub(super) fn insert(&mut self, waker: Waker) -> Key {
        let entry = Entry {
            waker,
            at: NOT_ARMED,
            previous: NOBODY,
            next: NOBODY,
        };
        // A process has fewer descriptors than a u32 counts.
        Key(u32::try_from(self.entries.insert(entry)).unwrap_or(NOBODY))
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        self.disarm(key);
        self.entries
            .try_remove(key.0 as usize)
            .map(|entry| entry.waker)
    }

    /// Makes `waker` the one that is woken.
    pub(super) fn refresh(&mut self, key: Key, waker: &Waker) {
        if let Some(entry) = self.entries.get_mut(key.0 as usize) {
            entry.waker.clone_from(waker);
        }
    }

    /// Whether an entry is still to fire.
    pub(super) fn is_armed(&self, key: Key) -> bool {
        let entry = self.entries.get(key.0 as usize);
        entry.is_some_and(|entry| entry.at != NOT_ARMED)
    }

    /// Has an entry fire at `at`, or at the next tick if that has passed.
    pub(super) fn arm(&mut self, key: Key, at: Tick) {
        self.disarm(key);
        let at = at.max(self.now + 1);
        let first = self.slots[slot(at)];
        if let Some(entry) = self.entries.get_mut(key.0 as usize) {
            (entry.at, entry.previous, entry.next) = (at, NOBODY, first);
            self.set_previous(first, key.0);
            self.set_first(slot(at), key.0);
        }
    }

    /// Fires what is due up to `now`.
    pub(super) fn advance(&mut self, now: Tick) {
        let passed = now.saturating_sub(self.now).min(SLOTS as Tick);
        self.now = self.now.max(now);
        for back in (0..passed).rev() {
            self.fire(slot(self.now - back));
        }
    }

    /// When to advance next: no entry is due before.
    pub(super) fn next(&self) -> Option<Tick> {
        let after = slot(self.now + 1);
        let (word, bit) = (after / 64, after % 64);
        let words = self.occupied.len();
        // The first word once more at the end: its bits before `after` are a turn away.
        (0..=words).find_map(|step| {
            let bits = self.occupied[(word + step) % words];
            let bits = match step {
                0 => bits >> bit << bit,
                _ => bits,
            };
            (bits != 0).then(|| {
                let found = (word + step) * 64 + bits.trailing_zeros() as usize;
                self.now + 1 + (found - after) as Tick
            })
        })
    }

    /// Wakes every entry, and leaves it armed.
    pub(super) fn wake_all(&self) {
        for (_, entry) in &self.entries {
            entry.waker.wake_by_ref();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn fire(&mut self, slot: usize) {
        let mut at = self.slots[slot];
        while let Some(entry) = self.entries.get(at as usize) {
            let (key, next) = (Key(at), entry.next);
            if entry.at <= self.now {
                entry.waker.wake_by_ref();
                self.disarm(key);
            }
            at = next;
        }
    }

    fn disarm(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(key.0 as usize) else {
            return;
        };
        if entry.at == NOT_ARMED {
            return;
        }
        let slot = slot(entry.at);
        let (previous, next) = (entry.previous, entry.next);
        entry.at = NOT_ARMED;
        self.set_previous(next, previous);
        match self.entries.get_mut(previous as usize) {
            Some(entry) => entry.next = next,
            None => self.set_first(slot, next),
        }
    }

    fn set_previous(&mut self, of: u32, previous: u32) {
        if let Some(entry) = self.entries.get_mut(of as usize) {
            entry.previous = previous;
        }
    }

    fn set_first(&mut self, slot: usize, first: u32) {
        self.slots[slot] = first;
        let bit = 1 << (slot % 64);
        if first == NOBODY {
            self.occupied[slot / 64] &= !bit;
        } else {
            self.occupied[slot / 64] |= bit;
        }
    }
}

fn slot(tick: Tick) -> usize {
    (tick % SLOTS as Tick) as usize
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        task::Wake,
    };

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arm(usize, Tick),
        Remove(usize),
        Advance(Tick),
    }

    fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
        use proptest::prelude::*;
        let ticks = || prop_oneof![0..200u64, 0..20_000u64];
        let step = prop_oneof![
            (0..8usize, ticks()).prop_map(|(who, after)| Step::Arm(who, after)),
            (0..8usize).prop_map(Step::Remove),
            ticks().prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest::proptest! {
        /// Against the obvious: a map from entry to time.
        #[test]
        fn each_fires_once_when_it_is_due_and_never_before(steps in steps()) {
            let mut wheel = Wheel::default();
            let mut now = 0;
            let mut keys: BTreeMap<usize, (Key, Arc<Count>)> = BTreeMap::new();
            let mut due: BTreeMap<usize, Tick> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Arm(who, after) => {
                        let (key, _) = keys.entry(who).or_insert_with(|| {
                            let count = Arc::new(Count::default());
                            (wheel.insert(Arc::clone(&count).into()), count)
                        });
                        wheel.arm(*key, now + after);
                        due.insert(who, (now + after).max(now + 1));
                    }
                    Step::Remove(who) => {
                        if let Some((key, _)) = keys.remove(&who) {
                            wheel.remove(key);
                            due.remove(&who);
                        }
                    }
                    Step::Advance(by) => {
                        now += by;
                        wheel.advance(now);
                    }
                }
                for (who, (key, count)) in &keys {
                    let is_fired = due.get(who).is_some_and(|at| *at <= now);
                    if is_fired {
                        due.remove(who);
                    }
                    assert_eq!(count.0.swap(0, Ordering::Relaxed), u32::from(is_fired));
                    assert_eq!(wheel.is_armed(*key), due.contains_key(who));
                }
                // It asks to be advanced in time, and asks for nothing when nobody waits.
                assert_eq!(wheel.next().is_some(), !due.is_empty());
                assert!(due.values().all(|at| wheel.next() <= Some(*at)));
                assert!(wheel.next().is_none_or(|next| next > now));
            }
        }
    }
}
