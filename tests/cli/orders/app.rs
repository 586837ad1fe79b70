//! A server that comes and goes.

use std::{
    io::{BufRead, BufReader, Write},
    mem,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use socket2::{Domain, Socket, Type};

use crate::harness::until;

/// Says its name to every request, on a port that stays ours while it is away.
#[derive(Debug)]
pub(super) struct App {
    /// Bound, and never listening: nobody else is given the port.
    port: Socket,
    record: Arc<Record>,
    running: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Record {
    name: &'static str,
    ends: AtomicBool,
    requests: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
}

impl App {
    pub(super) fn start(name: &'static str) -> Self {
        let record = Record {
            name,
            ends: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            connections: Mutex::default(),
        };
        let mut app = Self {
            port: socket(SocketAddr::from(([127, 0, 0, 1], 0))),
            record: Arc::new(record),
            running: None,
        };
        app.start_again();
        app
    }

    pub(super) fn addr(&self) -> SocketAddr {
        let addr = self
            .port
            .local_addr()
            .ok()
            .and_then(|addr| addr.as_socket());
        addr.expect("a bound socket has an address")
    }

    /// How many requests of users it has answered.
    pub(super) fn requests(&self) -> usize {
        self.record.requests.load(Ordering::SeqCst)
    }

    /// Ends as a killed process does: port and connections are gone when this returns.
    pub(super) fn stop(&mut self) {
        let running = self.running.take().expect("only a running server stops");
        self.record.ends.store(true, Ordering::SeqCst);
        // Wakes it; it does not serve this one.
        drop(TcpStream::connect(self.addr()));
        running.join().expect("it does not panic");
        // A child that is just being started has its sockets, too, until it is another program.
        until("nobody listens", || TcpStream::connect(self.addr()).err());
        let mut connections = self.record.connections.lock().expect("no panic");
        for connection in connections.drain(..) {
            // One that is closed already is closed.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Starts a stopped server where it was.
    pub(super) fn start_again(&mut self) {
        let listening = socket(self.addr());
        listening.listen(128).expect("the port is ours");
        self.record.ends.store(false, Ordering::SeqCst);
        let record = Arc::clone(&self.record);
        self.running = Some(thread::spawn(move || serve(&listening.into(), &record)));
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
    }
}

fn socket(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&addr.into()).expect("a free port");
    socket
}

fn serve(listener: &TcpListener, record: &Arc<Record>) {
    for stream in listener.incoming() {
        if record.ends.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.expect("a connection");
        let mut connections = record.connections.lock().expect("no panic");
        connections.push(stream.try_clone().expect("a descriptor"));
        let record = Arc::clone(record);
        // It ends with its connection.
        thread::spawn(move || answer_all(&stream, &record));
    }
}

/// Answers requests without bodies until the connection ends, and counts those that are no checks.
fn answer_all(stream: &TcpStream, record: &Record) {
    let name = record.name;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    );
    let mut is_check = false;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        is_check |= line.starts_with("GET /check ");
        if line.is_empty() {
            if !mem::take(&mut is_check) {
                record.requests.fetch_add(1, Ordering::SeqCst);
            }
            if (&*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
