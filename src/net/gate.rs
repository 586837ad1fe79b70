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

use crate::telemetry::Seldom;

/// A listener's connections, of all workers, and over every reload.
#[derive(Clone, Debug)]
pub struct Gate {
    count: Arc<AtomicU32>,
    /// 0: no limit.
    most: u32,
}

/// One of a listener's connections, for as long as it lasts.
#[derive(Debug)]
pub struct Place {
    count: Arc<AtomicU32>,
    is_crowded: bool,
}

impl Gate {
    /// A gate for `most` connections, 0 for any number, beside those that came through `previous`.
    pub fn new(most: u32, previous: Option<&Self>) -> Self {
        Self {
            count: previous.map_or_else(Arc::default, |known| Arc::clone(&known.count)),
            most,
        }
    }

    /// A place for a connection; `None` if there are so many that it cannot even be told. `listener` is for the log.
    pub fn enter(&self, listener: impl std::fmt::Display) -> Option<Place> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            count: Arc::clone(&self.count),
            is_crowded: self.most > 0 && before >= self.most,
        };
        if place.is_crowded {
            complain(self.most, listener);
        }
        let told = 64 + self.most / 8;
        (!place.is_crowded || before - self.most < told).then_some(place)
    }
}

impl Place {
    /// Whether it is one too many.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!((places.len(), crowded), (8 + 64 + 1, 65));
        drop(places);
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
