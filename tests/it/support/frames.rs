//! An HTTP/2 client that says exactly the frames it is given and reads what comes back, under a deadline.
//!
//! By itself it only acknowledges lbd's SETTINGS and answers its PINGs, as every client must.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use super::frame::{Frame, PREFACE, code, encode, flag, kind, number, setting, settings};
use super::hpack;
use super::wait;
use super::wire::Reader;

/// How lbd takes what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The head of an answer that is not interim.
    Answer(u16),
    /// RST_STREAM.
    Reset(u32),
    /// GOAWAY.
    GoAway(u32),
    /// The connection ends without a word.
    Closed,
}

/// One connection.
pub(crate) struct Frames {
    reader: Reader<OwnedReadHalf>,
    /// None once [`Frames::flood`] has it.
    writer: Option<OwnedWriteHalf>,
    /// What lbd said in its first frame.
    settings: Vec<(u16, u32)>,
}

impl Frames {
    /// Connects and says nothing.
    pub(crate) async fn silent(addr: SocketAddr) -> Self {
        let stream = wait::within("connecting", TcpStream::connect(addr)).await;
        let (reader, writer) = stream.expect("the proxy accepts").into_split();
        Self {
            reader: Reader::new(reader),
            writer: Some(writer),
            settings: Vec::new(),
        }
    }

    /// Connects and exchanges prefaces.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let mut client = Self::silent(addr).await;
        // Without a dynamic table, every answer can be read by itself.
        let first = settings(&[(setting::HEADER_TABLE_SIZE, 0)]);
        client.send([PREFACE, &first].concat()).await;
        let first = client.next().await.expect("lbd's preface");
        assert_eq!(
            (first.kind, first.flags, first.stream),
            (kind::SETTINGS, 0, 0)
        );
        let parts = first.payload.chunks_exact(6);
        client.settings = parts
            .map(|part| (u16::from_be_bytes([part[0], part[1]]), number(&part[2..])))
            .collect();
        client
    }

    /// What lbd said for a setting.
    pub(crate) fn setting(&self, name: u16) -> Option<u32> {
        let mut all = self.settings.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let writer = self.writer.as_mut().expect("the writer is here");
        let sent = wait::within("sending", writer.write_all(bytes.as_ref())).await;
        sent.expect("the proxy takes what the client says");
    }

    /// Sends what `said` gives for 0, 1, and so on below `times`, until lbd does not take it any longer.
    pub(crate) fn flood(
        &mut self,
        times: u32,
        said: impl Fn(u32) -> Vec<u8> + Send + 'static,
    ) -> JoinHandle<()> {
        let mut writer = self.writer.take().expect("the writer is here");
        tokio::spawn(async move {
            for i in 0..times {
                if writer.write_all(&said(i)).await.is_err() {
                    break;
                }
            }
            // Ending the task would end our side of the connection.
            std::future::pending().await
        })
    }

    /// The next frame, or the end of the connection.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        let frame = wait::within("a frame", self.read()).await?;
        let is_question = matches!(frame.kind, kind::SETTINGS | kind::PING);
        if is_question && !frame.has(flag::ACK) {
            // An acknowledged PING has the payload of the PING, acknowledged SETTINGS have none.
            let payload: &[u8] = match frame.kind {
                kind::PING => &frame.payload,
                _ => &[],
            };
            let ack = encode(frame.kind, flag::ACK, 0, payload);
            if let Some(writer) = &mut self.writer {
                // A connection that ends says so when it is read.
                let _ = wait::within("sending", writer.write_all(&ack)).await;
            }
        }
        Ok(frame)
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let head = self.reader.exactly(9).await?;
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: number(&head[5..]),
            payload: self.reader.exactly(length).await?,
        })
    }

    /// The next frame of this type.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await;
            let frame = frame.unwrap_or_else(|error| panic!("no frame of type {kind}: {error}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The first that lbd says of `stream`, or of the connection. Stream 0: of the connection alone.
    pub(crate) async fn verdict(&mut self, stream: u32) -> Verdict {
        loop {
            let Ok(frame) = self.next().await else {
                return Verdict::Closed;
            };
            match frame.kind {
                kind::GOAWAY => return Verdict::GoAway(frame.code()),
                kind::RST_STREAM if frame.stream == stream => return Verdict::Reset(frame.code()),
                kind::HEADERS if frame.stream == stream => match hpack::status(&frame.payload) {
                    100..200 => {}
                    status => return Verdict::Answer(status),
                },
                _ => {}
            }
        }
    }

    /// The whole answer on `stream`: its status and its body.
    pub(crate) async fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let mut status = None;
        let mut body: Vec<u8> = Vec::new();
        loop {
            let frame = self.next().await.expect("a whole answer");
            let is_error = match frame.kind {
                kind::GOAWAY => frame.code() != code::NO_ERROR,
                kind::RST_STREAM => frame.stream == stream,
                _ => false,
            };
            assert!(!is_error, "{frame:?} instead of an answer");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::DATA => body.extend(&frame.payload),
                kind::HEADERS if status.is_none() => {
                    status = Some(hpack::status(&frame.payload)).filter(|code| *code >= 200);
                }
                // Trailers.
                kind::HEADERS => {}
                _ => continue,
            }
            if frame.has(flag::END_STREAM) {
                return (status.expect("an answer has a head"), body);
            }
        }
    }

    /// The connection ends, whatever is said before.
    pub(crate) async fn ends(&mut self) {
        while self.next().await.is_ok() {}
    }
}
