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
pub struct AccessSink {
    output: Option<Output>,
    /// Whether the last line was cut short.
    is_torn: bool,
}

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
        Self::to(None)
    }

    /// Standard output.
    pub fn stdout() -> Self {
        Self::to(Some(Output::Stdout))
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
        Ok(Self::to(Some(Output::File(file))))
    }

    fn to(output: Option<Output>) -> Self {
        Self {
            output,
            is_torn: false,
        }
    }

    /// Writes whole lines, beginning on a line of their own.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_part(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_part(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let written = &lines[..lines.len() - rest.len()];
                    self.is_torn = written.last().is_some_and(|b| *b != b'\n');
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn write_part(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.output {
            None => bytes.len(),
            Some(Output::File(file)) => file.write(bytes)?,
            Some(Output::Stdout) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
                bytes.len()
            }
        };
        if written == 0 {
            Err(io::ErrorKind::WriteZero.into())
        } else {
            Ok(written)
        }
    }
}

impl AccessLog {
    /// A log that nothing is ever written to, and that has no thread.
    pub fn nowhere() -> Self {
        let (messages, _) = sync_channel(0);
        Self {
            messages,
            dropped: Arc::default(),
            next: Arc::default(),
        }
    }

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

    /// Lines that were lost because the disk did not take them.
    pub fn lost(&self) -> u64 {
        self.dropped.total()
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
    let mut losses = Losses::default();
    loop {
        let message = messages.recv_timeout(COMPLAINT_INTERVAL);
        if let Some(new) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sink = new;
        }
        match message {
            Ok(Message::Lines(lines)) => match sink.write(&lines) {
                Ok(()) => losses.over(dropped.total()),
                Err(error) => {
                    dropped.add(count_lines(&lines));
                    losses.begun(&error);
                }
            },
            Ok(Message::Switch) => {}
            Ok(Message::Written(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => losses.tell(dropped.total()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What has been said of lost lines: the beginning, now and then the count, and the end.
#[derive(Debug, Default)]
struct Losses {
    is_failing: bool,
    told: u64,
}

impl Losses {
    fn begun(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!("access log: {error}; lines are lost until it can be written again");
        }
    }

    fn over(&mut self, lost: u64) {
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("access log: it is written again");
            self.tell(lost);
        }
    }

    fn tell(&mut self, lost: u64) {
        if lost > self.told {
            tracing::error!(
                "access log: {} lines lost, {lost} since the start",
                lost - self.told
            );
            self.told = lost;
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
        format.write(&mut buffer, record, clock);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_is_ended_before_the_next() {
        // A pipe takes 64 KB, then no more until somebody reads.
        let (mut reader, writer) = io::pipe().unwrap();
        set_nonblocking(&writer);
        let mut sink = AccessSink::to(Some(Output::File(File::from(std::os::fd::OwnedFd::from(
            writer,
        )))));
        let line = [vec![b'x'; 99_999], b"\n".to_vec()].concat();
        assert!(sink.write(&line).is_err());
        let mut taken = vec![0; 65_536];
        io::Read::read_exact(&mut reader, &mut taken).unwrap();
        sink.write(b"next\n").unwrap();
        let mut rest = [0; 6];
        io::Read::read_exact(&mut reader, &mut rest).unwrap();
        assert_eq!(&rest, b"\nnext\n");
    }

    fn set_nonblocking(writer: &io::PipeWriter) {
        let flags = rustix::fs::fcntl_getfl(writer).unwrap();
        rustix::fs::fcntl_setfl(writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    }
}
