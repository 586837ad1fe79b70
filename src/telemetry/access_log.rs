//! How access lines get from the workers to the disk.
//!
//! A worker formats a line into a buffer of its own and hands full buffers to one writer thread
//! through a bounded channel. A disk or a pipe that does not take them can therefore never hold up
//! a request: when the channel is full the lines are dropped, counted, and the count is logged.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{
    access_format::{write_combined, write_json},
    access_record::{AccessRecord, LineFormat},
    clock::Clock,
    counter::Counter,
};

/// A worker hands its buffer on at this size.
const BUFFER_SIZE: usize = 32 << 10;
/// Full buffers that may wait for the disk: 8 MB of lines.
const QUEUE: usize = 256;
/// How often lost lines are complained of.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// The process's access log: a thread that writes, and the way to it. Clones share it.
#[derive(Clone, Debug)]
pub struct AccessLog {
    messages: SyncSender<Message>,
    dropped: Arc<Counter>,
    /// The sink to change to. Beside the queue, for that may be full of lines that nobody takes.
    next: Arc<Mutex<Option<AccessSink>>>,
}

/// An open place for access lines.
#[derive(Debug)]
pub struct AccessSink(Option<Output>);

#[derive(Debug)]
enum Output {
    File(File),
    Stdout,
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    /// Look for another sink.
    Switch,
    /// Everything before this is written; the sender is told by its channel.
    Written(SyncSender<()>),
}

impl AccessSink {
    /// Nowhere.
    pub fn off() -> Self {
        Self(None)
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self(Some(Output::Stdout))
    }

    /// The file at `path`, which is created if absent and appended to.
    ///
    /// # Errors
    /// The operating system's, with the path.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("access log {}: {error}", path.display()),
            )
        })?;
        Ok(Self(Some(Output::File(file))))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            None => Ok(()),
            Some(Output::File(file)) => file.write_all(lines),
            Some(Output::Stdout) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
        }
    }
}

impl AccessLog {
    /// Starts the writer thread. It ends when every clone of the log is gone.
    ///
    /// # Errors
    /// The system's, if it gives no thread.
    pub fn start(sink: AccessSink) -> io::Result<Self> {
        let (messages, received) = sync_channel(QUEUE);
        let log = Self {
            messages,
            dropped: Arc::default(),
            next: Arc::default(),
        };
        let (dropped, next) = (Arc::clone(&log.dropped), Arc::clone(&log.next));
        let write = move || write_all(&received, sink, &next, &dropped);
        thread::Builder::new()
            .name("lbd-access-log".to_owned())
            .spawn(write)?;
        Ok(log)
    }

    /// Writes to `sink` from now on; how a log is rotated or moved. Lines that were handed on before
    /// may go to either.
    pub fn switch(&self, sink: AccessSink) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        // If the queue is full, the next line in it will do.
        let _ = self.messages.try_send(Message::Switch);
    }

    /// Waits until everything that was handed on before is written, `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        if self.messages.try_send(Message::Written(done)).is_ok() {
            let _ = written.recv_timeout(patience);
        }
    }
}

/// The writer thread.
fn write_all(
    messages: &Receiver<Message>,
    mut sink: AccessSink,
    next: &Mutex<Option<AccessSink>>,
    dropped: &Counter,
) {
    let mut told = 0;
    loop {
        let message = messages.recv_timeout(COMPLAINT_INTERVAL);
        if let Some(new) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sink = new;
        }
        match message {
            Ok(Message::Lines(lines)) => {
                if let Err(error) = sink.write(&lines) {
                    if dropped.total() == told {
                        tracing::error!(
                            "access log: {error}; lines are lost until it can be written again"
                        );
                    }
                    dropped.add(count_lines(&lines));
                }
            }
            Ok(Message::Switch) => {}
            Ok(Message::Written(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => {
                let lost = dropped.total();
                if lost > told {
                    tracing::error!(
                        "access log: {} lines lost, {lost} since the start",
                        lost - told
                    );
                    told = lost;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// One worker's end of the access log.
#[derive(Debug)]
pub struct AccessWriter {
    log: AccessLog,
    buffer: RefCell<Vec<u8>>,
}

impl AccessWriter {
    /// A writer with an empty buffer.
    pub fn new(log: AccessLog) -> Self {
        Self {
            log,
            buffer: RefCell::default(),
        }
    }

    /// Adds one line.
    pub fn write(&self, format: LineFormat, record: &AccessRecord<'_>, clock: &Clock) {
        let mut buffer = self.buffer.borrow_mut();
        match format {
            LineFormat::Combined => write_combined(&mut buffer, record, clock),
            LineFormat::Json => write_json(&mut buffer, record, clock),
        }
        if buffer.len() >= BUFFER_SIZE {
            self.hand_on(&mut buffer);
        }
    }

    /// Hands on what has been added; to be called about once a second.
    pub fn flush(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if !buffer.is_empty() {
            self.hand_on(&mut buffer);
        }
    }

    fn hand_on(&self, buffer: &mut Vec<u8>) {
        let full = std::mem::replace(buffer, Vec::with_capacity(BUFFER_SIZE + 1024));
        match self.log.messages.try_send(Message::Lines(full)) {
            Ok(()) => {}
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Lines(mut lines) = message {
                    self.log.dropped.add(count_lines(&lines));
                    lines.clear();
                    *buffer = lines;
                }
            }
        }
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        self.flush();
    }
}
