//! Active health: what checks say about a peer.
//!
//! One result decides of a peer of which nothing is known; after that, `fall` bad results in a row take it out and
//! `rise` good ones bring it back.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::config::HealthCheck;

/// How many results in a row change a verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct Patience {
    pub(in super::super) rise: u32,
    pub(in super::super) fall: u32,
}

impl Patience {
    /// What the file says.
    pub(in super::super) fn of(check: &HealthCheck) -> Self {
        Self {
            rise: check.rise,
            fall: check.fall,
        }
    }
}

/// What is thought of a peer.
#[derive(Clone, Debug, Default)]
pub(super) enum Verdict {
    /// It is not checked.
    #[default]
    None,
    /// It was not checked yet, and gets no requests until it was.
    Pending,
    Good {
        /// Bad results since the last good one.
        streak: u32,
    },
    Bad {
        since: Instant,
        /// Good results since the last bad one.
        streak: u32,
        reason: Arc<str>,
        /// If requests took it out, rather than checks: until when it stays out, whatever checks say.
        by_requests: Option<Instant>,
    },
}

/// What a result changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Judged {
    /// The first check was good.
    Began,
    /// So many bad ones, the last for this reason.
    WentOut { results: u32, reason: Arc<str> },
    /// So many good ones, after the peer had been out for this long.
    CameBack { results: u32, after: Duration },
}

impl Verdict {
    /// Whether the last result speaks against it.
    pub(super) fn is_doubtful(&self) -> bool {
        match self {
            Self::None => false,
            Self::Pending => true,
            Self::Good { streak } => *streak > 0,
            Self::Bad { streak, .. } => *streak > 0,
        }
    }

    /// Whether requests took it out, and no check has spoken since.
    pub(super) fn is_by_requests(&self) -> bool {
        matches!(
            self,
            Self::Bad {
                by_requests: Some(_),
                ..
            }
        )
    }

    /// Has the next result decide, if requests took it out.
    pub(super) fn forgive(&mut self, patience: Patience) {
        if let Self::Bad {
            by_requests: by_requests @ Some(_),
            streak,
            ..
        } = self
        {
            *by_requests = None;
            *streak = patience.rise.saturating_sub(1);
        }
    }

    /// Takes a result in; a bad one says why.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        result: Result<(), &str>,
        patience: Patience,
    ) -> Option<Judged> {
        let bad = |reason: &str| Self::Bad {
            since: now,
            streak: 0,
            reason: reason.into(),
            by_requests: None,
        };
        match (&mut *self, result) {
            (Self::None, _) => None,
            (Self::Pending, Ok(())) => {
                *self = Self::Good { streak: 0 };
                Some(Judged::Began)
            }
            (Self::Pending, Err(reason)) => {
                *self = bad(reason);
                Some(Judged::WentOut {
                    results: 1,
                    reason: reason.into(),
                })
            }
            (Self::Good { streak }, Ok(())) => {
                *streak = 0;
                None
            }
            (Self::Good { streak }, Err(reason)) => {
                *streak += 1;
                let results = *streak;
                if results < patience.fall {
                    return None;
                }
                *self = bad(reason);
                let reason = reason.into();
                Some(Judged::WentOut { results, reason })
            }
            (
                Self::Bad {
                    since,
                    streak,
                    by_requests,
                    ..
                },
                Ok(()),
            ) => {
                *streak += 1;
                let (results, after) = (*streak, now.duration_since(*since));
                let is_too_soon = by_requests.is_some_and(|until| now < until);
                if results < patience.rise || is_too_soon {
                    return None;
                }
                *self = Self::Good { streak: 0 };
                Some(Judged::CameBack { results, after })
            }
            (Self::Bad { streak, reason, .. }, Err(last)) => {
                *streak = 0;
                if **reason != *last {
                    *reason = last.into();
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { rise: 2, fall: 3 };

    /// What each result changes; `x` is a bad one.
    fn story(mut verdict: Verdict, results: &str) -> String {
        let now = Instant::now();
        let tell = |result| {
            let result = if result == 'x' {
                Err("answered 503")
            } else {
                Ok(())
            };
            match verdict.hear(now, result, PATIENCE) {
                None => '-',
                Some(Judged::Began) => 'b',
                Some(Judged::WentOut { .. }) => 'o',
                Some(Judged::CameBack { .. }) => 'i',
            }
        };
        results.chars().map(tell).collect()
    }

    #[test]
    fn the_first_result_decides() {
        assert_eq!(story(Verdict::Pending, ".."), "b-");
        assert_eq!(story(Verdict::Pending, "x.."), "o-i");
    }

    #[test]
    fn only_results_in_a_row_change_a_verdict() {
        let good = Verdict::Good { streak: 0 };
        assert_eq!(story(good.clone(), "xx.xxx"), "-----o");
        assert_eq!(story(good, "xxx.x..x"), "--o---i-");
    }

    #[test]
    fn what_is_not_checked_has_no_verdict() {
        assert_eq!(story(Verdict::None, "xxxx"), "----");
    }

    #[test]
    fn the_last_reason_stands() {
        let (mut verdict, now) = (Verdict::Pending, Instant::now());
        let _ = verdict.hear(now, Err("connection refused"), PATIENCE);
        let _ = verdict.hear(now, Err("answered 503"), PATIENCE);
        let Verdict::Bad { reason, .. } = verdict else {
            panic!("it is good");
        };
        assert_eq!(&*reason, "answered 503");
    }
}
