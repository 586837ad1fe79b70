//! The floor: a blind byte relay. It opens one connection to the backend for each client and copies
//! bytes without looking at them: for each request the two reads and two writes that no proxy can do
//! without. `benches/versus` builds it and measures it in two ways:
//!
//!     relay 127.0.0.1:8000 127.0.0.1:9000          around epoll_wait: what the kernel costs
//!     relay 127.0.0.1:8000 127.0.0.1:9000 tokio    in tasks: what lbd's runtime costs, too
//!
//! What lbd costs above the second is what lbd does.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener, TcpStream},
};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

const LISTENER: u64 = u64::MAX;
const EVERYTHING: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// One end of a relayed connection: slot `i` and slot `i ^ 1` are the two ends of one.
struct End {
    stream: TcpStream,
    /// What the other end sent and this one does not take yet.
    waiting: Vec<u8>,
    is_over: bool,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = |index: usize| -> Option<SocketAddr> { arguments.get(index)?.parse().ok() };
    let (Some(listen), Some(backend)) = (address(0), address(1)) else {
        // `cargo bench` runs every bench without addresses: this one has nothing to measure by itself.
        return Ok(());
    };
    match arguments.get(2).map(String::as_str) {
        Some("tokio") => run_tasks(listen, backend),
        _ => run(&TcpListener::bind(listen)?, backend),
    }
}

fn run_tasks(listen: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        loop {
            let (mut client, _) = listener.accept().await?;
            tokio::spawn(async move {
                let mut backend = tokio::net::TcpStream::connect(backend).await?;
                client.set_nodelay(true)?;
                backend.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut backend).await
            });
        }
    })
}

fn run(listener: &TcpListener, backend: SocketAddr) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(
        &epoll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut ends: Vec<Option<End>> = Vec::new();
    let mut events = [const { MaybeUninit::<Event>::uninit() }; 256];
    let mut scratch = vec![0; 64 << 10];
    loop {
        let (ready, _) = epoll::wait(&epoll, &mut events, None)?;
        for event in ready.iter() {
            match event.data.u64() {
                LISTENER => accept(&epoll, listener, backend, &mut ends)?,
                slot => relay(&mut ends, slot as usize, &mut scratch),
            }
        }
    }
}

fn accept(
    epoll: &impl std::os::fd::AsFd,
    listener: &TcpListener,
    backend: SocketAddr,
    ends: &mut Vec<Option<End>>,
) -> io::Result<()> {
    while let Ok((client, _)) = listener.accept() {
        let free = ends.iter().step_by(2).position(Option::is_none);
        let slot = free.map_or(ends.len(), |pair| pair * 2);
        if slot == ends.len() {
            ends.extend([None, None]);
        }
        for (slot, stream) in [(slot, client), (slot + 1, TcpStream::connect(backend)?)] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(epoll, &stream, EventData::new_u64(slot as u64), EVERYTHING)?;
            ends[slot] = Some(End {
                stream,
                waiting: Vec::new(),
                is_over: false,
            });
        }
    }
    Ok(())
}

/// Moves what can be moved to and from the end at `slot`; closes both ends when one is over or broken.
fn relay(ends: &mut [Option<End>], slot: usize, scratch: &mut [u8]) {
    let pair = &mut ends[slot & !1..][..2];
    // An event of this turn may be about a pair that an earlier one has closed.
    let [Some(even), Some(odd)] = pair else {
        return;
    };
    let (this, other) = if slot.is_multiple_of(2) {
        (even, odd)
    } else {
        (odd, even)
    };
    let moved = flush(this).and_then(|()| copy(this, other, scratch));
    let is_done = this.is_over && other.waiting.is_empty();
    if moved.is_err() || is_done {
        pair.fill_with(|| None);
    }
}

fn copy(from: &mut End, to: &mut End, scratch: &mut [u8]) -> io::Result<()> {
    loop {
        match from.stream.read(scratch) {
            Ok(0) => {
                from.is_over = true;
                return Ok(());
            }
            Ok(n) => {
                send(to, &scratch[..n])?;
                // Less than there was room for was all: the next byte is a new event.
                if n < scratch.len() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn send(to: &mut End, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while to.waiting.is_empty() && sent < bytes.len() {
        match to.stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    to.waiting.extend_from_slice(&bytes[sent..]);
    Ok(())
}

fn flush(end: &mut End) -> io::Result<()> {
    let waiting = std::mem::take(&mut end.waiting);
    send(end, &waiting)
}
