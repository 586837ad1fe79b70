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
mod counter;
mod seldom;
mod troubles;

// Bytes instead of `std::fmt`.
mod text;

pub use self::{
    access_log::{AccessLog, AccessSink, AccessWriter},
    access_record::{AccessRecord, Attempt, AttemptResult, LineFormat},
    attempts::Attempts,
    clock::{Clock, time_of_day_in},
    counter::Counter,
    event_log::EventLog,
    held_record::HeldRecord,
    seldom::Seldom,
    text::{write_ip, write_number},
    troubles::Troubles,
};
