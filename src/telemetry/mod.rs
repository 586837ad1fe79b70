//! What lbd says about its work: counters, its own log, and one access line for each request.

// Lines that lbd writes about itself.
mod event_log;

// Lines about requests: what one holds, how it looks, how it gets to the disk.
mod access_format;
mod access_log;
mod access_record;
mod attempts;
mod held_record;

// The time of day, formatted once a second.
mod clock;
mod seldom;

// Counts.
mod counter;
mod histogram;
mod stats;
mod stripes;
mod totals;

// What has happened of late.
mod events;

// Which traces requests are part of.
mod trace_context;
mod tracer;

// Bytes instead of `std::fmt`.
mod text;

pub use self::{
    access_log::{AccessLog, AccessSink, AccessWriter},
    access_record::{AccessRecord, Attempt, AttemptResult, LineFormat},
    attempts::Attempts,
    clock::{Clock, time_of_day_in},
    counter::Counter,
    event_log::EventLog,
    events::{Event, EventKind, Events, Severity},
    held_record::HeldRecord,
    histogram::{Durations, Histogram, METRIC_BOUNDS},
    seldom::Seldom,
    stats::{CLIENT_LEFT, Codes, FAILURES, ListenerStats, PoolStats, RequestStats, ServerStats},
    stripes::{Striped, Tally, become_worker, expect_workers},
    text::{write_ip, write_number},
    totals::{CodeTotals, DurationClasses, Latency, RequestTotals},
    trace_context::TraceContext,
    tracer::{Traced, Tracer},
};
