//! Message bodies as they arrive (RFC 9112 sections 6 and 7), decoded where they lie.

use crate::http::message::{Fields, Framing, MAX_FIELDS};

/// Trailer sections and chunk extensions beyond these are an attack or a mistake.
const MAX_TRAILER: usize = 16 << 10;
const MAX_EXTENSION: usize = 4 << 10;

/// Takes the payload out of a body, whatever frames it.
#[derive(Debug)]
pub(in super::super) struct Decoder {
    state: State,
    trailers: Option<Fields>,
}

#[derive(Debug)]
enum State {
    Length(u64),
    UntilClose,
    Chunk(Chunk),
    /// Something else says where it ends.
    Elsewhere,
    Done,
}

/// Within a chunked body, what comes next.
#[derive(Debug)]
enum Chunk {
    /// Digits of a chunk's size.
    Size {
        size: u64,
        digits: u8,
    },
    /// An extension, which means nothing to lbd.
    Extension {
        size: u64,
        seen: usize,
    },
    /// The line feed after a size.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// The carriage return, then the line feed after data.
    DataEnd {
        carriage_return: bool,
    },
    Trailer(Vec<u8>),
}

/// How far one call of [`Decoder::decode`] came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in super::super) struct Step {
    /// Bytes of the input that are done with.
    pub(in super::super) consumed: usize,
    /// Bytes of payload, now at the front of the input.
    pub(in super::super) produced: usize,
}

/// A body that is not what its framing says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in super::super) enum BodyError {
    #[error("invalid chunk")]
    InvalidChunk,
    #[error("invalid trailer")]
    InvalidTrailer,
    #[error("body ended early")]
    Truncated,
}

impl Decoder {
    pub(in super::super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunk(Chunk::START),
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: None,
        }
    }

    /// For a body of which something else takes the framing off, and says when it is [over](Self::finish).
    pub(in super::super) fn elsewhere(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            _ => State::Elsewhere,
        };
        Self {
            state,
            trailers: None,
        }
    }

    /// The body is over, with these trailer fields.
    pub(in super::super) fn finish(&mut self, trailers: Option<Fields>) {
        self.state = State::Done;
        self.trailers = trailers;
    }

    /// Whether all of the body has been decoded.
    pub(in super::super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailer fields of a chunked body that is done.
    pub(in super::super) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Decodes as much of `bytes` as belongs to the body, moving the payload to the front.
    pub(in super::super) fn decode(&mut self, bytes: &mut [u8]) -> Result<Step, BodyError> {
        match &mut self.state {
            State::Done => Ok(Step::default()),
            State::UntilClose | State::Elsewhere => Ok(Step {
                consumed: bytes.len(),
                produced: bytes.len(),
            }),
            State::Length(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= n as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(Step {
                    consumed: n,
                    produced: n,
                })
            }
            State::Chunk(_) => self.decode_chunks(bytes),
        }
    }

    /// The connection has ended. Only a body that ends there is whole.
    pub(in super::super) fn end(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Done => Ok(()),
            State::Length(_) | State::Chunk(_) | State::Elsewhere => Err(BodyError::Truncated),
        }
    }

    fn decode_chunks(&mut self, bytes: &mut [u8]) -> Result<Step, BodyError> {
        let mut step = Step::default();
        while let State::Chunk(chunk) = &mut self.state {
            let Some(next) = bytes.get(step.consumed) else {
                break;
            };
            if let Chunk::Data { left } = chunk {
                let available = bytes.len() - step.consumed;
                let n = usize::try_from(*left).map_or(available, |left| left.min(available));
                bytes.copy_within(step.consumed..step.consumed + n, step.produced);
                step.consumed += n;
                step.produced += n;
                *left -= n as u64;
                if *left == 0 {
                    *chunk = Chunk::DataEnd {
                        carriage_return: false,
                    };
                }
                continue;
            }
            step.consumed += 1;
            if let Some(trailer) = chunk.take(*next)? {
                self.trailers = parse_trailer(&trailer)?;
                self.state = State::Done;
            }
        }
        Ok(step)
    }
}

impl Chunk {
    const START: Self = Self::Size { size: 0, digits: 0 };

    /// Takes one byte that is not data; gives the trailer section when it is complete.
    fn take(&mut self, byte: u8) -> Result<Option<Vec<u8>>, BodyError> {
        *self = match (&mut *self, byte) {
            (Self::Size { size, digits }, b) if b.is_ascii_hexdigit() => {
                // Sixteen digits fill a u64; leading zeros count, for nobody needs them.
                if *digits == 16 {
                    return Err(BodyError::InvalidChunk);
                }
                let digit = char::from(b).to_digit(16).unwrap_or_default();
                Self::Size {
                    size: *size << 4 | u64::from(digit),
                    digits: *digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(BodyError::InvalidChunk),
            (Self::Size { size, .. }, b'\r') => Self::SizeEnd { size: *size },
            (Self::Size { size, .. }, b';') => Self::Extension {
                size: *size,
                seen: 0,
            },
            (Self::Extension { size, .. }, b'\r') => Self::SizeEnd { size: *size },
            (Self::Extension { size, seen }, b)
                if *seen < MAX_EXTENSION && (b == b'\t' || b >= b' ' && b != 0x7f) =>
            {
                Self::Extension {
                    size: *size,
                    seen: *seen + 1,
                }
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailer(Vec::new()),
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: *size },
            (
                Self::DataEnd {
                    carriage_return: false,
                },
                b'\r',
            ) => Self::DataEnd {
                carriage_return: true,
            },
            (
                Self::DataEnd {
                    carriage_return: true,
                },
                b'\n',
            ) => Self::START,
            (Self::Trailer(seen), b) => {
                seen.push(b);
                if seen == b"\r\n" || seen.ends_with(b"\r\n\r\n") {
                    return Ok(Some(std::mem::take(seen)));
                }
                if seen.len() >= MAX_TRAILER {
                    return Err(BodyError::InvalidTrailer);
                }
                return Ok(None);
            }
            _ => return Err(BodyError::InvalidChunk),
        };
        Ok(None)
    }
}

fn parse_trailer(section: &[u8]) -> Result<Option<Fields>, BodyError> {
    if section == b"\r\n" {
        return Ok(None);
    }
    let mut found = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(section, &mut found) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => {
            Ok(Some(Fields::parsed(section, fields)))
        }
        _ => Err(BodyError::InvalidTrailer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` in pieces of `piece` bytes: payload, bytes left over, trailers.
    fn decode(
        framing: Framing,
        input: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, usize, Option<Fields>), BodyError> {
        let mut decoder = Decoder::new(framing);
        let (mut payload, mut used) = (Vec::new(), 0);
        for piece in input.chunks(piece) {
            let mut piece = piece.to_vec();
            let step = decoder.decode(&mut piece)?;
            payload.extend_from_slice(&piece[..step.produced]);
            used += step.consumed;
            if decoder.is_done() {
                return Ok((payload, input.len() - used, decoder.take_trailers()));
            }
        }
        decoder.end()?;
        Ok((payload, 0, None))
    }

    #[test]
    fn chunks_become_one_payload_however_they_arrive() {
        let input = b"5\r\nhello\r\n1;x=\"y\"\r\n \r\n00A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nrest";
        for piece in 1..=input.len() {
            let (payload, _, trailers) = decode(Framing::Chunked, input, piece).unwrap();
            assert_eq!(payload, b"hello 0123456789", "in pieces of {piece}");
            assert_eq!(trailers.unwrap().named("x-t"), Some(&b"1"[..]));
        }
        assert_eq!(decode(Framing::Chunked, input, input.len()).unwrap().1, 4);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for input in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\n",
            "5\r\nhello0\r\n",
            "5\r\nhelloX\n",
            "5\r\nhello\n0\r\n\r\n",
            "0x5\r\nhello\r\n",
            "00000000000000005\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;\n\r\nhello",
            "0\r\nX : 1\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
        ] {
            for piece in [1, input.len()] {
                let result = decode(Framing::Chunked, input.as_bytes(), piece);
                assert!(
                    matches!(
                        result,
                        Err(BodyError::InvalidChunk | BodyError::InvalidTrailer)
                    ),
                    "{input:?}: {result:?}"
                );
            }
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        let extension = format!("5;{}\r\n", "a".repeat(MAX_EXTENSION + 1));
        assert!(decode(Framing::Chunked, extension.as_bytes(), 100).is_err());
        let trailer = format!("0\r\nX: {}", "a".repeat(MAX_TRAILER));
        assert!(decode(Framing::Chunked, trailer.as_bytes(), 100).is_err());
    }

    #[test]
    fn a_length_is_kept_to_the_byte() {
        assert_eq!(
            decode(Framing::Length(5), b"helloGET", 3).unwrap().0,
            b"hello"
        );
        assert_eq!(
            decode(Framing::Length(5), b"hell", 3).unwrap_err(),
            BodyError::Truncated
        );
        assert_eq!(decode(Framing::UntilClose, b"hell", 3).unwrap().0, b"hell");
        assert_eq!(
            decode(Framing::Chunked, b"5\r\nhello\r\n", 3).unwrap_err(),
            BodyError::Truncated
        );
    }

    proptest::proptest! {
        #[test]
        fn encoding_and_decoding_give_the_same_payload(payload: Vec<Vec<u8>>, piece in 1usize..50) {
            let mut wire = Vec::new();
            let chunks: Vec<_> = payload.iter().filter(|chunk| !chunk.is_empty()).collect();
            for (i, chunk) in chunks.iter().enumerate() {
                super::super::write_chunk_start(&mut wire, chunk.len(), i == 0);
                wire.extend_from_slice(chunk);
            }
            super::super::write_last_chunk(&mut wire, None, chunks.is_empty());
            assert_eq!(decode(Framing::Chunked, &wire, piece).unwrap().0, payload.concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, piece in 1usize..50) {
            let _ = decode(Framing::Chunked, &bytes, piece);
        }
    }
}
