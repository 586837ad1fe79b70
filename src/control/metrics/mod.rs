//! `/metrics`: what is counted, as Prometheus and OpenMetrics have it.
//!
//! Every label comes from the file: a client cannot make a series.

mod families;

use std::{collections::HashSet, fmt};

use prometheus_client::{encoding::text, registry::Registry};

use self::families::Told;
use crate::server::Status;

/// What a scraper can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Exposition {
    /// Prometheus' own text, version 0.0.4.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// By what a scraper accepts.
    pub(super) fn accepted_by(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Plain,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// `status` as a text.
    ///
    /// # Errors
    /// A text that cannot be written to, which a text in memory always can.
    pub(super) fn of(self, status: Status) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Told(status)));
        let mut written = String::new();
        text::encode(&mut written, &registry)?;
        Ok(match self {
            Self::OpenMetrics => written,
            Self::Plain => to_plain(&written),
        })
    }
}

/// OpenMetrics names a counter without the `_total` of its samples, and has lines for units and for the end; the older
/// text does not.
fn to_plain(open: &str) -> String {
    let type_of = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        (kind == "counter").then(|| name.to_owned())
    };
    let counters: HashSet<_> = open.lines().filter_map(type_of).collect();
    let mut plain = String::with_capacity(open.len());
    for line in open.lines() {
        let described = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|mark| Some((mark, line.strip_prefix(mark)?.split_once(' ')?)));
        match described {
            Some((mark, (name, rest))) => {
                let suffix = if counters.contains(name) {
                    "_total"
                } else {
                    ""
                };
                plain.push_str(&format!("{mark}{name}{suffix} {rest}\n"));
            }
            None if line.starts_with("# ") => {}
            None => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_text_names_counters_as_their_samples_are() {
        let open = "# HELP a_b So.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n# HELP c Gauge.\n# TYPE c gauge\n\
                    # UNIT c seconds\nc 1\n# EOF\n";
        let plain = "# HELP a_b_total So.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n# HELP c Gauge.\n\
                     # TYPE c gauge\nc 1\n";
        assert_eq!(to_plain(open), plain);
    }

    #[test]
    fn a_scraper_gets_what_it_can_read() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(
            Exposition::accepted_by(Some(prometheus)),
            Exposition::OpenMetrics
        );
        assert_eq!(Exposition::accepted_by(Some("*/*")), Exposition::Plain);
        assert_eq!(Exposition::accepted_by(None), Exposition::Plain);
    }
}
