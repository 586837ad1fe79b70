//! What is left to tell of what has happened in a while.

use std::collections::HashSet;

use crate::telemetry::{Event, EventKind};

/// `events` without what was over before anybody could be told: of each server and of each pool only how it stands at the
/// end, and that only if it stands differently than before.
pub(super) fn condense(events: Vec<Event>) -> Vec<Event> {
    let news: HashSet<u64> = events
        .iter()
        .filter(|event| is_news(event, &events))
        .map(|event| event.id)
        .collect();
    let mut left = events;
    left.retain(|event| news.contains(&event.id));
    left
}

/// Whether `event` says how something stands at the end of `events`, and that is not how it stood before them.
fn is_news(event: &Event, events: &[Event]) -> bool {
    let Some(family) = family(event.kind) else {
        return true;
    };
    let is_alike = |other: &&Event| {
        other.pool == event.pool
            && other.subject == event.subject
            && self::family(other.kind) == Some(family)
    };
    // Only the last reload says what is served.
    if family == Family::Reload {
        return events.iter().rfind(is_alike).map(|last| last.id) == Some(event.id);
    }
    // What came first says how it stood before: not so.
    let first = events.iter().find(is_alike).map(|first| first.kind);
    let last = events.iter().rfind(is_alike).map(|last| last.id);
    last == Some(event.id) && first == Some(event.kind)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Family {
    Server,
    Pool,
    Reload,
}

/// Kinds of which each takes the others back.
fn family(kind: EventKind) -> Option<Family> {
    match kind {
        EventKind::ServerOut | EventKind::ServerBack => Some(Family::Server),
        EventKind::PoolDark | EventKind::PoolLit => Some(Family::Pool),
        EventKind::Reloaded | EventKind::ReloadFailed => Some(Family::Reload),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::telemetry::Severity;

    /// What is left of events of these kinds, each about the server named beside it.
    fn left(happened: &[(EventKind, &str)]) -> Vec<(EventKind, String)> {
        let events = (1..).zip(happened).map(|(id, (kind, server))| Event {
            id,
            at: Timestamp::UNIX_EPOCH,
            severity: Severity::Info,
            kind: *kind,
            pool: Some("app".to_owned()),
            subject: Some((*server).to_owned()),
            text: String::new(),
        });
        let left = condense(events.collect()).into_iter();
        left.map(|event| (event.kind, event.subject.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_is_over_is_not_told() {
        use EventKind::{ServerBack as Back, ServerOut as Out};
        assert_eq!(left(&[(Out, "a"), (Back, "a")]), []);
        assert_eq!(left(&[(Back, "a"), (Out, "a")]), []);
        let one = [(Out, "a".to_owned())];
        assert_eq!(left(&[(Out, "a"), (Back, "a"), (Out, "a")]), one);
    }

    #[test]
    fn of_reloads_the_last_is_told() {
        use EventKind::{ReloadFailed as Failed, Reloaded};
        let told = |kinds: &[EventKind]| {
            let happened: Vec<_> = kinds.iter().map(|kind| (*kind, "")).collect();
            let left = left(&happened).into_iter().map(|(kind, _)| kind);
            left.collect::<Vec<_>>()
        };
        assert_eq!(told(&[Reloaded, Failed]), [Failed]);
        assert_eq!(told(&[Failed, Reloaded]), [Reloaded]);
        assert_eq!(told(&[Failed, Failed]), [Failed]);
    }

    #[test]
    fn each_server_is_told_of_by_itself() {
        use EventKind::{ServerBack as Back, ServerOrdered as Ordered, ServerOut as Out};
        let left = left(&[
            (Out, "a"),
            (Out, "b"),
            (Ordered, "a"),
            (Back, "a"),
            (Ordered, "a"),
        ]);
        let told = [(Out, "b"), (Ordered, "a"), (Ordered, "a")];
        assert_eq!(left, told.map(|(kind, server)| (kind, server.to_owned())));
    }
}
