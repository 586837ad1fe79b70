//! lbd's own log: one line an event, to standard error.
//!
//! On a terminal it is coloured; under systemd the journal stamps each line itself, so the time is
//! left out. `RUST_LOG` wins over the file's `[log] level`, which a reload may change.

use std::io::{self, IsTerminal};

use jiff::Zoned;
use tracing_subscriber::{
    EnvFilter, Registry, fmt,
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// The running log, for changing its level.
#[derive(Clone, Debug)]
pub struct EventLog {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
}

impl EventLog {
    /// Starts the log for the whole process with `level`, a tracing filter. A second start changes nothing.
    pub fn start(level: &str) -> Self {
        let from_environment = std::env::var("RUST_LOG")
            .ok()
            .and_then(|text| EnvFilter::try_new(text).ok());
        let overridden = from_environment.is_some();
        let filter = from_environment.unwrap_or_else(|| EnvFilter::new(level));
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false);
        let registry = tracing_subscriber::registry().with(filter);
        let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
            registry.with(lines.without_time()).try_init()
        } else {
            registry.with(lines.with_timer(LocalTime)).try_init()
        };
        Self {
            filter: (started.is_ok() && !overridden).then_some(handle),
        }
    }

    /// Follows a new `level`, unless `RUST_LOG` decides.
    pub fn set_level(&self, level: &str) {
        if let Some(handle) = &self.filter
            && let Ok(filter) = EnvFilter::try_new(level)
        {
            // Fails only when the log itself is gone.
            let _ = handle.reload(filter);
        }
    }
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f"))
    }
}
