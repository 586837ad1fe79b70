//! A response on its way out: its head, its body as it comes, its end.
//!
//! What is short waits until it must go, so that a head and a short body are one write.

use std::{cell::RefCell, future::poll_fn, io, task::Poll};

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{
    client::{ClientOutput, Http2Output, ResponseSink},
    h1::{write_chunk_start, write_last_chunk},
    h2::{HeadFields, Outgoing},
    headers::{write_informational, write_informational_fields},
    message::{Fields, Framing, ResponseHead},
};
use crate::net::{Deadline, Stream};

/// Payload up to this size is copied behind its framing and sent with it; more is sent from where it lies.
const COPIED: usize = 8 << 10;

/// A response of which the head is written and nothing is sent.
pub(super) struct Outbound<'c> {
    wire: Wire<'c>,
    output: ClientOutput<'c>,
}

enum Wire<'c> {
    Http1 {
        stream: &'c Stream,
        /// The head, then framing and short payload that are not sent yet.
        staged: Vec<u8>,
        is_chunked: bool,
        is_first: bool,
    },
    Http2 {
        output: &'c RefCell<Http2Output>,
        head: Option<Box<Response<()>>>,
        /// Payload that is not sent yet.
        staged: Vec<u8>,
    },
}

/// The head of a response as its client's version has it.
pub(super) enum ResponseText {
    Http1(Vec<u8>),
    Http2(Box<Response<()>>),
}

impl ResponseText {
    /// HTTP/2's, of `status` and `fields`.
    pub(super) fn http2(status: StatusCode, fields: HeadFields) -> Self {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields.map;
        Self::Http2(Box::new(response))
    }
}

impl<'c> Outbound<'c> {
    /// A response that begins with `head`, to a client of the same version, with a body framed by `framing`.
    pub(super) fn new(output: ClientOutput<'c>, head: ResponseText, framing: Framing) -> Self {
        let wire = match (output.sink, head) {
            (ResponseSink::Http1(stream), ResponseText::Http1(staged)) => Wire::Http1 {
                stream,
                staged,
                is_chunked: framing == Framing::Chunked,
                is_first: true,
            },
            (ResponseSink::Http2(output), ResponseText::Http2(head)) => Wire::Http2 {
                output,
                head: Some(head),
                staged: Vec::new(),
            },
            (ResponseSink::Http1(_), ResponseText::Http2(_))
            | (ResponseSink::Http2(_), ResponseText::Http1(_)) => {
                unreachable!("a head is written for the client that it is for")
            }
        };
        Self { wire, output }
    }

    /// Where it goes to.
    pub(super) fn output(&self) -> &ClientOutput<'c> {
        &self.output
    }

    /// Sends `payload`, or keeps it until more comes.
    pub(super) async fn payload(&mut self, payload: &[u8]) -> io::Result<()> {
        if payload.is_empty() {
            return Ok(());
        }
        match &mut self.wire {
            Wire::Http1 {
                stream,
                staged,
                is_chunked,
                is_first,
            } => {
                if *is_chunked {
                    write_chunk_start(staged, payload.len(), *is_first);
                    *is_first = false;
                }
                if payload.len() <= COPIED {
                    staged.extend_from_slice(payload);
                    return Ok(());
                }
                let ClientOutput {
                    timer, patience, ..
                } = self.output;
                stream.write_all(staged, payload, timer, patience).await?;
                staged.clear();
                Ok(())
            }
            Wire::Http2 { staged, .. } if staged.is_empty() && payload.len() <= COPIED => {
                staged.extend_from_slice(payload);
                Ok(())
            }
            Wire::Http2 { .. } => {
                self.flush().await?;
                self.send(payload, false).await
            }
        }
    }

    /// Sends what was kept, the head if nothing else.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match &mut self.wire {
            Wire::Http1 { stream, staged, .. } => {
                let ClientOutput {
                    timer, patience, ..
                } = self.output;
                stream.write_all(staged, &[], timer, patience).await?;
                staged.clear();
                Ok(())
            }
            Wire::Http2 {
                output,
                head,
                staged,
            } => {
                send_head(output, head, false)?;
                if staged.is_empty() {
                    return Ok(());
                }
                let kept = std::mem::take(staged);
                self.send(&kept, false).await
            }
        }
    }

    /// Ends it, with trailer fields where there are any and the version has a place for them.
    pub(super) async fn finish(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        match &mut self.wire {
            Wire::Http1 {
                staged,
                is_chunked,
                is_first,
                ..
            } => {
                if *is_chunked {
                    write_last_chunk(staged, trailers, *is_first);
                }
                self.flush().await
            }
            Wire::Http2 {
                output,
                head,
                staged,
            } => {
                let is_last = trailers.is_none();
                send_head(output, head, is_last && staged.is_empty())?;
                let kept = std::mem::take(staged);
                if !kept.is_empty() {
                    self.send(&kept, is_last).await?;
                }
                self.end(trailers)
            }
        }
    }

    /// Ends an HTTP/2 stream that has not ended with its last payload.
    fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        if let Wire::Http2 { output, .. } = &self.wire {
            output.borrow_mut().end(trailers)?;
        }
        Ok(())
    }

    /// Sends `payload` on an HTTP/2 stream as the client makes room for it.
    async fn send(&mut self, mut payload: &[u8], ends: bool) -> io::Result<()> {
        let Wire::Http2 { output, .. } = &self.wire else {
            return Ok(());
        };
        let ClientOutput {
            timer, patience, ..
        } = self.output;
        while !payload.is_empty() {
            let send = poll_fn(|cx| match &mut output.borrow_mut().body {
                Some(body) => body.poll_send(cx, payload, ends, timer).map_err(broken),
                None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            });
            let sent = timer.limit(Deadline::After(patience), send).await;
            payload = &payload[sent.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?..];
        }
        output.borrow_mut().is_ended |= ends;
        Ok(())
    }
}

/// Sends the head of an HTTP/2 response, if it is not sent yet.
fn send_head(
    output: &RefCell<Http2Output>,
    head: &mut Option<Box<Response<()>>>,
    ends: bool,
) -> io::Result<()> {
    if let Some(head) = head.take() {
        let mut output = output.borrow_mut();
        let body = output.respond.send_response(*head, ends).map_err(broken)?;
        output.body = Some(Outgoing::new(body));
        output.is_ended = ends;
    }
    Ok(())
}

impl Http2Output {
    pub(super) fn new(respond: h2::server::SendResponse<Bytes>) -> Self {
        Self {
            respond,
            body: None,
            is_ended: false,
        }
    }

    /// Ends the stream, if it has not ended.
    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> io::Result<()> {
        if let (false, Some(body)) = (self.is_ended, &mut self.body) {
            self.is_ended = true;
            body.finish(trailers).map_err(broken)?;
        }
        Ok(())
    }

    /// Breaks the stream off, if it has not ended.
    pub(super) fn reset(&mut self, reason: h2::Reason) {
        match &mut self.body {
            _ if self.is_ended => {}
            Some(body) => body.reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

impl ClientOutput<'_> {
    /// Sends an informational response.
    pub(super) async fn informational(&self, head: &ResponseHead) -> io::Result<()> {
        match self.sink {
            ResponseSink::Http1(stream) => {
                let mut out = Vec::with_capacity(256);
                write_informational(&mut out, head);
                stream.write_all(&out, &[], self.timer, self.patience).await
            }
            ResponseSink::Http2(output) => {
                let mut fields = HeadFields::default();
                write_informational_fields(&mut fields, head);
                let mut response = Response::new(());
                *response.status_mut() = head.status;
                *response.headers_mut() = fields.map;
                let sent = output.borrow_mut().respond.send_informational(response);
                sent.map_err(broken)
            }
        }
    }
}

fn broken(_: h2::Error) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
