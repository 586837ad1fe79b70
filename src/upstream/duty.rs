//! What a server is there for, by the file and by an operator's word.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use jiff::Timestamp;
use tokio::time::Instant;

/// What a server is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Duty {
    /// For everybody.
    Up,
    /// For clients that are bound to it.
    Drain,
    /// For nobody.
    Down,
}

/// What an operator has said of a server. It holds until the next word, over every reload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// Which server was named: all addresses of a name, or one address.
    pub server: Arc<str>,
    /// What it is there for.
    pub duty: Duty,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When a server that drains goes down, and what is left there is closed.
    pub deadline: Option<Instant>,
}

/// The order that stands for one server, if any.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// What requests look at.
    duty: AtomicU8,
    order: Mutex<Option<Order>>,
}

impl Duty {
    /// The three.
    pub const ALL: [Self; 3] = [Self::Up, Self::Drain, Self::Down];

    /// As commands and the file call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Drain => "drain",
            Self::Down => "down",
        }
    }

    /// The duty that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.name() == name)
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Orders {
    /// What the server is there for, if an operator has said so.
    pub(super) fn duty(&self) -> Option<Duty> {
        match self.duty.load(Ordering::Relaxed) {
            0 => None,
            number => Duty::ALL.get(usize::from(number) - 1).copied(),
        }
    }

    /// The order that stands.
    pub(super) fn order(&self) -> Option<Order> {
        self.lock().clone()
    }

    /// Gives an order, or takes the one that stands back.
    pub(super) fn give(&self, order: Option<Order>) {
        let mut standing = self.lock();
        let number = order.as_ref().map_or(0, |order| order.duty as u8 + 1);
        *standing = order;
        self.duty.store(number, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Order>> {
        // Each change is one assignment.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_order_stands_until_it_is_taken_back() {
        let orders = Orders::default();
        assert_eq!(orders.duty(), None);
        for duty in Duty::ALL {
            orders.give(Some(Order {
                server: "a:1".into(),
                duty,
                by: "root".to_owned(),
                at: Timestamp::UNIX_EPOCH,
                deadline: None,
            }));
            assert_eq!(orders.duty(), Some(duty));
            assert_eq!(Duty::named(duty.name()), Some(duty));
        }
        orders.give(None);
        assert_eq!(orders.duty(), None);
    }
}
