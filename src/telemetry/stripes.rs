//! Counts that every request adds to, without workers getting into each other's way.
//!
//! An atomic that all workers add to travels between their processors with each request. So each worker has a stripe of
//! its own, which it alone writes and whoever wants to know the sum reads.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

thread_local! {
    /// Which stripe this thread writes. Threads that are no workers count nothing that is striped.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// How many stripes what is made from now on has.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// There will be `count` workers. To be said before anything is made that they count in.
pub fn expect_workers(count: usize) {
    COUNT.fetch_max(count, Ordering::Relaxed);
}

/// This thread is the worker `index`.
pub fn become_worker(index: usize) {
    OWN.set(index);
}

/// A number that one thread adds to and others read: no lock on the memory bus, as a shared counter needs it.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds `n`. Only the thread whose stripe it is in may.
    pub fn add(&self, n: u64) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(n), Ordering::Relaxed);
    }

    /// Replaces what it says.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One `T` for each worker.
#[derive(Debug)]
pub struct Striped<T> {
    stripes: Box<[Stripe<T>]>,
}

/// On cache lines of its own; processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe<T>(T);

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        let count = COUNT.load(Ordering::Relaxed);
        Self {
            stripes: (0..count).map(|_| Stripe::default()).collect(),
        }
    }
}

impl<T> Striped<T> {
    /// This worker's.
    pub fn own(&self) -> &T {
        // There is one for each worker of the process that it was made in.
        &self.stripes[OWN.get() % self.stripes.len()].0
    }

    /// Those of all workers, the first worker's first.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().map(|stripe| &stripe.0)
    }

    /// What `count` comes to in all of them together.
    pub fn sum(&self, count: impl Fn(&T) -> u64) -> u64 {
        self.all().map(count).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_at_once_adds_up() {
        expect_workers(4);
        let striped: Striped<Tally> = Striped::default();
        std::thread::scope(|scope| {
            for index in 0..4 {
                let striped = &striped;
                scope.spawn(move || {
                    become_worker(index);
                    (0..10_000).for_each(|_| striped.own().add(1));
                });
            }
        });
        assert_eq!(striped.sum(Tally::get), 40_000);
        assert!(striped.all().take(4).all(|tally| tally.get() == 10_000));
    }
}
