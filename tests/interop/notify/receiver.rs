//! Somebody who is told over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use super::KEY;
use crate::harness::until;

/// What every one of them says, and chat services beside it, where they have taken a message.
const BODY: &str = r#"{"errcode":0,"errmsg":"ok","code":0}"#;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) target: String,
    pub(super) head: String,
    pub(super) body: String,
}

impl Post {
    pub(super) fn json(&self) -> Value {
        let body = &self.body;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

/// Takes a request on each connection, one after the other. It ends with the tests.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) addr: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    /// The first request is answered with the first of these statuses and so on, and every one behind them as the last.
    pub(super) fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let taken = Arc::clone(&posts);
        thread::spawn(move || {
            let last = statuses.last().expect("a status");
            let mut left = statuses.iter();
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let Some(post) = take(&stream) else { continue };
                taken.lock().expect("no panic under the lock").push(post);
                answer(&stream, *left.next().unwrap_or(last));
            }
        });
        Self { addr, posts }
    }

    /// Where it is told, with a key that is for nobody else.
    pub(super) fn url(&self) -> String {
        url(self.addr)
    }

    /// All that it has got so far.
    pub(super) fn posts(&self) -> Vec<Post> {
        let posts = self.posts.lock();
        posts.expect("no panic under the lock").clone()
    }

    /// All that it has got, once that is so much.
    pub(super) fn wait_for(&self, count: usize) -> Vec<Post> {
        until(&format!("the receiver is told {count} times"), || {
            let posts = self.posts();
            (posts.len() >= count).then_some(posts)
        })
    }
}

/// Where whoever is at `addr` is told.
pub(super) fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/robot/send?access_token={KEY}")
}

/// The request that comes; `None` if the connection ends before.
fn take(stream: &TcpStream) -> Option<Post> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse().ok());
    let mut body = vec![0; length.expect("a body with a length")];
    reader.read_exact(&mut body).ok()?;
    let target = head.split(' ').nth(1).expect("a target").to_owned();
    let body = String::from_utf8(body).expect("UTF-8");
    Some(Post { target, head, body })
}

/// Whoever has asked may have left.
fn answer(mut stream: &TcpStream, status: u16) {
    let length = BODY.len();
    let fields =
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close");
    let answer = format!("HTTP/1.1 {status} Said\r\n{fields}\r\n\r\n{BODY}");
    let _ = stream.write_all(answer.as_bytes());
}
