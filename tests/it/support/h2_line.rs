//! A stream of HTTP/2 as one end of a connection, and how it is asked for (RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2::request;
use super::line::Line;

const VERSION: [(&str, &str); 1] = [("sec-websocket-version", "13")];

/// A request for a WebSocket with these further fields.
pub(crate) fn websocket(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request("CONNECT", path, &[&VERSION[..], fields].concat());
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

/// The client's end of a stream whose answer has come.
pub(crate) fn line(answer: Response<RecvStream>, upload: SendStream<Bytes>) -> H2Line {
    let (download, upload) = halves(answer, upload);
    Line::new(download, upload)
}

pub(crate) type H2Line = Line<Download, Upload>;

/// The same for those who need no more than the halves.
pub(crate) fn halves(
    answer: Response<RecvStream>,
    upload: SendStream<Bytes>,
) -> (Download, Upload) {
    let download = Download {
        stream: answer.into_body(),
        unread: Bytes::new(),
    };
    (download, Upload(upload))
}

/// What comes over a stream. It makes room for as much as is read of it.
pub(crate) struct Download {
    stream: RecvStream,
    unread: Bytes,
}

impl AsyncRead for Download {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            let Some(piece) = ready!(self.stream.poll_data(cx)) else {
                return Poll::Ready(Ok(()));
            };
            self.unread = piece.map_err(io::Error::other)?;
            let length = self.unread.len();
            let freed = self.stream.flow_control().release_capacity(length);
            freed.map_err(io::Error::other)?;
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// What goes over a stream, never more than there is room for.
pub(crate) struct Upload(SendStream<Bytes>);

impl Upload {
    /// Ends the stream with RST_STREAM.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.0.send_reset(reason);
    }
}

impl AsyncWrite for Upload {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.capacity() == 0 {
            self.0.reserve_capacity(bytes.len());
            match ready!(self.0.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = self.0.capacity().min(bytes.len());
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        let sent = self.0.send_data(piece, false);
        Poll::Ready(sent.map(|()| length).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.0.send_data(Bytes::new(), true);
        Poll::Ready(sent.map_err(io::Error::other))
    }
}
