//! Certificates that come to their end.

use std::collections::HashMap;

use crate::{
    config::Certificate,
    telemetry::{EventKind, Events, Severity},
};

const DAY: i64 = 24 * 60 * 60;
/// Days before the end on which it is said.
const NOTICES: [i64; 3] = [30, 7, 1];

/// What has been said of certificates that are in use.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// The last notice for each file and the end that it had then.
    given: HashMap<(String, i64), i64>,
}

/// Something to say.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Notice {
    /// It ends within so many days.
    Ends(i64),
    /// It has ended.
    Ended,
}

impl Expiry {
    /// Says in the log what is due for `certificates`.
    pub(super) fn look<'c>(
        &mut self,
        certificates: impl Iterator<Item = &'c Certificate>,
        events: &Events,
    ) {
        for certificate in certificates {
            let (file, last_day) = (certificate.file.as_str(), certificate.last_day());
            let due = self.due(file, certificate.not_after, certificate.seconds_left());
            let (severity, kind, text) = match due {
                Some(Notice::Ends(days)) => {
                    let plural = if days == 1 { "" } else { "s" };
                    let text = format!(
                        "certificate {file} ends on {last_day}, in less than {days} day{plural}: renew it and reload"
                    );
                    (Severity::Warning, EventKind::CertificateEnds, text)
                }
                Some(Notice::Ended) => {
                    let text = format!(
                        "certificate {file} has ended on {last_day}: those who are shown it refuse it"
                    );
                    (Severity::Error, EventKind::CertificateEnded, text)
                }
                None => continue,
            };
            events.tell(severity, kind, (None, Some(file)), text);
        }
    }

    /// What is to be said now, if it has not been.
    fn due(&mut self, file: &str, not_after: i64, left: i64) -> Option<Notice> {
        let days = if left <= 0 {
            0
        } else {
            let passed = |days: &&i64| left <= **days * DAY;
            *NOTICES.iter().rev().find(passed)?
        };
        let last = self.given.insert((file.to_owned(), not_after), days);
        if last.is_some_and(|last| last <= days) {
            return None;
        }
        Some(match days {
            0 => Notice::Ended,
            days => Notice::Ends(days),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_is_given_once() {
        let mut expiry = Expiry::default();
        let mut said = Vec::new();
        for day in (-2..=40).rev() {
            said.extend(expiry.due("hq.pem", 1, day * DAY));
            said.extend(expiry.due("hq.pem", 1, day * DAY - 5));
        }
        let notices = [
            Notice::Ends(30),
            Notice::Ends(7),
            Notice::Ends(1),
            Notice::Ended,
        ];
        assert_eq!(said, notices);
    }

    #[test]
    fn a_renewed_certificate_begins_anew() {
        let mut expiry = Expiry::default();
        assert_eq!(expiry.due("hq.pem", 1, DAY / 2), Some(Notice::Ends(1)));
        assert_eq!(expiry.due("hq.pem", 2, 90 * DAY), None);
        assert_eq!(expiry.due("hq.pem", 2, 20 * DAY), Some(Notice::Ends(30)));
    }
}
