//! What happens that an operator wants to know of: each is a line in the log, and is kept for a while to be looked at.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How many are kept.
const KEPT: usize = 1000;

/// What kind of thing has happened.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// lbd has started.
    Started,
    /// A server gets nothing more.
    ServerOut,
    /// It is used again.
    ServerBack,
    /// An operator has said what it is there for.
    ServerOrdered,
    /// An operator has added one.
    ServerAdded,
    /// An operator has removed one.
    ServerRemoved,
    /// An operator has changed what one may get.
    ServerChanged,
    /// A name stands for other addresses.
    ServersChanged,
    /// A pool has nobody alive.
    PoolDark,
    /// It has again.
    PoolLit,
    /// A new file is served.
    Reloaded,
    /// It is not, for it has faults.
    ReloadFailed,
    /// A certificate ends soon.
    CertificateEnds,
    /// It has ended.
    CertificateEnded,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::ServerOut,
        Self::ServerBack,
        Self::ServerOrdered,
        Self::ServerAdded,
        Self::ServerRemoved,
        Self::ServerChanged,
        Self::ServersChanged,
        Self::PoolDark,
        Self::PoolLit,
        Self::Reloaded,
        Self::ReloadFailed,
        Self::CertificateEnds,
        Self::CertificateEnded,
    ];

    /// As files and answers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::ServerOut => "server_out",
            Self::ServerBack => "server_back",
            Self::ServerOrdered => "server_ordered",
            Self::ServerAdded => "server_added",
            Self::ServerRemoved => "server_removed",
            Self::ServerChanged => "server_changed",
            Self::ServersChanged => "servers_changed",
            Self::PoolDark => "pool_dark",
            Self::PoolLit => "pool_lit",
            Self::Reloaded => "reloaded",
            Self::ReloadFailed => "reload_failed",
            Self::CertificateEnds => "certificate_ends",
            Self::CertificateEnded => "certificate_ended",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is wrong.
    Info,
    /// Something may have to be done.
    Warning,
    /// Users notice it, or will.
    Error,
}

/// Something that has happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// One more than that of the one before.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: EventKind,
    /// The pool that it is about.
    pub pool: Option<String>,
    /// The server, as the log calls it, or the file of a certificate.
    pub subject: Option<String>,
    /// The line in the log.
    pub text: String,
}

/// What has happened of late. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Kept>,
    /// Told when there is news.
    news: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    last: u64,
}

impl Events {
    /// Says that something has happened: `text` goes to the log, too.
    pub fn tell(
        &self,
        severity: Severity,
        kind: EventKind,
        (pool, subject): (Option<&str>, Option<&str>),
        text: String,
    ) {
        match severity {
            Severity::Info => tracing::info!("{text}"),
            Severity::Warning => tracing::warn!("{text}"),
            Severity::Error => tracing::error!("{text}"),
        }
        let mut kept = self.kept();
        kept.last += 1;
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        let event = Event {
            id: kept.last,
            at: Timestamp::now(),
            severity,
            kind,
            pool: pool.map(str::to_owned),
            subject: subject.map(str::to_owned),
            text,
        };
        kept.events.push_back(event);
        drop(kept);
        self.0.news.notify_waiters();
    }

    /// Those that are kept and came after the one with the id `since`, the oldest first, at most the last `limit`; and the
    /// id of the last there is.
    pub fn since(&self, since: u64, limit: usize) -> (Vec<Event>, u64) {
        let kept = self.kept();
        let newer = kept.events.iter().filter(|event| event.id > since).count();
        let skipped = kept.events.len() - newer.min(limit);
        (
            kept.events.iter().skip(skipped).cloned().collect(),
            kept.last,
        )
    }

    /// Returns once there is one behind the one with the id `since`.
    pub async fn newer_than(&self, since: u64) {
        loop {
            let mut news = std::pin::pin!(self.0.news.notified());
            // Either this hears of it, or it is there already.
            news.as_mut().enable();
            if self.kept().last > since {
                return;
            }
            news.await;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whole after each statement.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(events: &Events, text: &str) {
        let about = (Some("app"), None);
        events.tell(Severity::Info, EventKind::PoolLit, about, text.to_owned());
    }

    fn texts(found: &[Event]) -> Vec<&str> {
        found.iter().map(|event| event.text.as_str()).collect()
    }

    #[test]
    fn what_came_since_is_told_in_its_order() {
        let events = Events::default();
        ["a", "b", "c"].iter().for_each(|text| tell(&events, text));
        let (all, last) = events.since(0, 10);
        assert_eq!((texts(&all), last), (vec!["a", "b", "c"], 3));
        assert_eq!(texts(&events.since(2, 10).0), ["c"]);
        assert_eq!(texts(&events.since(0, 2).0), ["b", "c"]);
        assert_eq!(texts(&events.since(3, 10).0), [""; 0]);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let events = Events::default();
        (0..KEPT + 5).for_each(|n| tell(&events, &n.to_string()));
        let (kept, last) = events.since(0, usize::MAX);
        assert_eq!((kept.len(), last), (KEPT, KEPT as u64 + 5));
        assert_eq!(kept[0].text, "5");
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_the_next() {
        let events = Events::default();
        let hearing = events.newer_than(0);
        let telling = async { tell(&events, "news") };
        tokio::join!(hearing, telling);
        events.newer_than(0).await;
    }

    #[test]
    fn answers_call_kinds_as_files_do() {
        for kind in EventKind::ALL {
            let written = serde_json::to_string(&kind).unwrap();
            assert_eq!(written, format!("\"{}\"", kind.name()));
        }
    }
}
