//! Both ends of the rows where no HTTP is spoken, or none any longer: a server that sends back what it
//! is sent, and clients that each send a message, wait for its echo and send the next.
//! `benches/versus` builds it and puts a proxy between the two:
//!
//!     echo serve-ws                                            prints its port and serves WebSocket
//!     echo serve-udp
//!     echo load-ws 127.0.0.1:8000 --clients 64 --seconds 5     prints one line of JSON
//!     echo load-udp 127.0.0.1:8000 --clients 64 --seconds 5
//!
//! One thread has all clients, and one all tunnels of the server: each visits its own in turn. It
//! sleeps until the one whose turn it is has something, and finds those behind it ready when it
//! wakes, so that both together cost less than a proxy does, which is to be the one that is busy.
//! Whatever is not the very echo that was due is an error, and ends that client.

#![expect(clippy::disallowed_types, reason = "no time is paused here")]

use std::{
    collections::VecDeque,
    env,
    io::{self, Error, ErrorKind, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

const WS_MESSAGE: usize = 100;
const UDP_MESSAGE: usize = 64;
/// How long either end waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);

// RFC 6455's own example: every client sends this key, which has this answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// How the frames of a client and of a server begin: whole and binary; masked or not, and the length.
const MASKED: [u8; 2] = [0x82, 0x80 | WS_MESSAGE as u8];
const PLAIN: [u8; 2] = [0x82, WS_MESSAGE as u8];
const MASK: usize = 4;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["serve-ws"] => serve_tunnels(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?),
        ["serve-udp"] => serve_datagrams(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?),
        [verb, address, "--clients", count, "--seconds", seconds] => {
            let address = parsed(address)?;
            let (count, seconds) = (parsed(count)?, parsed(seconds)?);
            match verb {
                "load-ws" => load(|client| Tunnel::open(address, client), count, seconds),
                "load-udp" => load(|client| Datagrams::open(address, client), count, seconds),
                _ => Err(wrong(verb)),
            }
        }
        // `cargo bench` runs every bench: this one has nothing to measure by itself.
        [] | [.., "--bench"] => Ok(()),
        _ => Err(wrong(&words.join(" "))),
    }
}

fn parsed<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| wrong(word))
}

fn wrong(words: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("what is `{words}`?"))
}

fn serve_tunnels(listener: &TcpListener) -> io::Result<()> {
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    let (tunnels, opened) = mpsc::channel();
    thread::spawn(move || echo_frames(&opened));
    loop {
        let (mut stream, _) = listener.accept()?;
        // The client of one that fails counts it.
        if accept_upgrade(&mut stream).is_ok() && tunnels.send(stream).is_err() {
            return Err(Error::other("the thread of the tunnels has ended"));
        }
    }
}

fn accept_upgrade(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = read_head(stream)?;
    if !has_line(&head, "upgrade: websocket") || !head.contains(KEY) {
        stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")?;
        return Err(Error::other("no Upgrade"));
    }
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
    let head = format!("{upgraded}\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
    stream.write_all(head.as_bytes())
}

/// Serves all tunnels in turn. One that stays open and is silent holds up the others.
fn echo_frames(opened: &Receiver<TcpStream>) {
    let mut tunnels = VecDeque::new();
    while let Some(mut tunnel) = tunnels.pop_front().or_else(|| opened.recv().ok()) {
        tunnels.extend(opened.try_iter());
        match echo_frame(&mut tunnel) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => {}
            _ => tunnels.push_back(tunnel),
        }
    }
}

fn echo_frame(tunnel: &mut TcpStream) -> io::Result<()> {
    let mut frame = [0; MASKED.len() + MASK + WS_MESSAGE];
    tunnel.read_exact(&mut frame)?;
    let (start, rest) = frame.split_at_mut(MASKED.len());
    let (mask, payload) = rest.split_at_mut(MASK);
    if start != MASKED {
        return Err(Error::other("not a frame of a client"));
    }
    apply(mask, payload);
    // The echo's first octets are where the mask was.
    mask[MASK - PLAIN.len()..].copy_from_slice(&PLAIN);
    tunnel.write_all(&frame[MASKED.len() + MASK - PLAIN.len()..])
}

fn serve_datagrams(socket: &UdpSocket) -> io::Result<()> {
    writeln!(io::stdout(), "{}", socket.local_addr()?.port())?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

/// The head of a request or an answer, behind which nothing comes unasked.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(Error::other("closed before the end of a head")),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    String::from_utf8(head).map_err(Error::other)
}

fn has_line(head: &str, wanted: &str) -> bool {
    head.lines().any(|line| line.eq_ignore_ascii_case(wanted))
}

fn apply(mask: &[u8], payload: &mut [u8]) {
    for (octet, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *octet ^= mask;
    }
}

/// A client's messages, no two of which are the same, nor the same as another client's.
struct Message<const LENGTH: usize> {
    octets: [u8; LENGTH],
    sent: u64,
}

impl<const LENGTH: usize> Message<LENGTH> {
    fn of(client: u64) -> Self {
        let mut octets = [b'e'; LENGTH];
        octets[..8].copy_from_slice(&client.to_le_bytes());
        Self { octets, sent: 0 }
    }

    fn next(&mut self) -> &[u8; LENGTH] {
        self.sent += 1;
        self.octets[8..16].copy_from_slice(&self.sent.to_le_bytes());
        &self.octets
    }

    fn check(&self, echo: &[u8]) -> io::Result<()> {
        if echo == self.octets {
            return Ok(());
        }
        Err(Error::other("not the echo that was due"))
    }
}

trait Client {
    fn send(&mut self) -> io::Result<()>;
    /// Waits for the echo of what was sent last.
    fn receive(&mut self) -> io::Result<()>;
}

struct Tunnel {
    stream: TcpStream,
    message: Message<WS_MESSAGE>,
}

impl Tunnel {
    fn open(address: SocketAddr, client: u64) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        let head = format!("GET /echo HTTP/1.1\r\nHost: {address}\r\n{upgrade}");
        stream.write_all(format!("{head}\r\nSec-WebSocket-Key: {KEY}\r\n\r\n").as_bytes())?;
        let head = read_head(&mut stream)?;
        let wanted = ["connection: upgrade", "upgrade: websocket"];
        let is_upgraded = wanted.iter().all(|line| has_line(&head, line)) && head.contains(ACCEPT);
        if !is_upgraded || !head.starts_with("HTTP/1.1 101 ") {
            return Err(Error::other(format!("not a tunnel: {head}")));
        }
        let message = Message::of(client);
        Ok(Self { stream, message })
    }
}

impl Client for Tunnel {
    fn send(&mut self) -> io::Result<()> {
        let mut frame = [0; MASKED.len() + MASK + WS_MESSAGE];
        let (start, rest) = frame.split_at_mut(MASKED.len());
        let (mask, payload) = rest.split_at_mut(MASK);
        start.copy_from_slice(&MASKED);
        payload.copy_from_slice(self.message.next());
        mask.copy_from_slice(&(self.message.sent as u32 ^ 0x5aa5_c33c).to_le_bytes());
        apply(mask, payload);
        self.stream.write_all(&frame)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut frame = [0; PLAIN.len() + WS_MESSAGE];
        self.stream.read_exact(&mut frame)?;
        match frame.strip_prefix(&PLAIN) {
            Some(payload) => self.message.check(payload),
            None => Err(Error::other("not a frame of the server")),
        }
    }
}

struct Datagrams {
    socket: UdpSocket,
    message: Message<UDP_MESSAGE>,
}

impl Datagrams {
    fn open(address: SocketAddr, client: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let message = Message::of(client);
        Ok(Self { socket, message })
    }
}

impl Client for Datagrams {
    fn send(&mut self) -> io::Result<()> {
        self.socket.send(self.message.next()).map(drop)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; UDP_MESSAGE + 1];
        let length = self.socket.recv(&mut buffer)?;
        self.message.check(&buffer[..length])
    }
}

/// What came of a run.
#[derive(Default)]
struct Tally {
    /// Microseconds of each round trip.
    took: Vec<u32>,
    errors: Vec<Error>,
}

/// Has so many clients send and wait for so many seconds, and says what came of it.
fn load<C: Client>(
    open: impl Fn(u64) -> io::Result<C>,
    count: u64,
    seconds: u64,
) -> io::Result<()> {
    let mut tally = Tally::default();
    let clients = (0..count).filter_map(|client| tally.noted(open(client)));
    let clients: Vec<C> = clients.collect();
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut under_way = VecDeque::with_capacity(clients.len());
    for mut client in clients {
        let sent = Instant::now();
        if tally.noted(client.send()).is_some() {
            under_way.push_back((client, sent));
        }
    }
    while let Some((mut client, sent)) = under_way.pop_front() {
        if tally.noted(client.receive()).is_none() {
            continue;
        }
        let now = Instant::now();
        tally.took.push((now - sent).as_micros() as u32);
        if now < end && tally.noted(client.send()).is_some() {
            under_way.push_back((client, now));
        }
    }
    tally.tell(began.elapsed())
}

impl Tally {
    /// The good outcome; an error is kept.
    fn noted<T>(&mut self, outcome: io::Result<T>) -> Option<T> {
        outcome.map_err(|error| self.errors.push(error)).ok()
    }

    fn tell(&mut self, length: Duration) -> io::Result<()> {
        self.took.sort_unstable();
        let (round_trips, errors) = (self.took.len(), self.errors.len());
        let at = |percent| self.took.get(round_trips * percent / 100).unwrap_or(&0);
        let (p50, p99, max) = (at(50), at(99), self.took.last().unwrap_or(&0));
        let sum: u64 = self.took.iter().copied().map(u64::from).sum();
        let mean = sum / round_trips.max(1) as u64;
        let (seconds, first) = (length.as_secs_f64(), self.errors.first());
        let first = first.map(Error::to_string).unwrap_or_default();
        let counts = format!(r#""round_trips":{round_trips},"errors":{errors},"first":{first:?}"#);
        let times = format!(r#""p50_us":{p50},"p99_us":{p99},"mean_us":{mean},"max_us":{max}"#);
        writeln!(io::stdout(), r#"{{{counts},"seconds":{seconds},{times}}}"#)
    }
}
