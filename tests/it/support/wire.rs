//! HTTP/1 messages as they stand on the wire, read by a parser that forgives nothing.
//!
//! It shares no code with lbd, and it keeps the bytes beside what they mean: a test that asks what reached the other side
//! gets an answer to the byte. Whatever is malformed or could be read in two ways is an error of kind `InvalidData`, an end
//! in the middle of a message one of kind `UnexpectedEof`.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Field lines in their order, names as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> io::Result<Self> {
        let field = |line: &str| {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| invalid(format!("no colon in {line:?}")))?;
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(invalid(format!("field name {name:?}")));
            }
            if value.contains(|c: char| c.is_control() && c != '\t') {
                return Err(invalid(format!("control byte in {line:?}")));
            }
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        };
        lines.map(field).collect::<io::Result<_>>().map(Self)
    }

    /// The value of the only line with this name; a second one fails the test.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(
            all.len() <= 1,
            "{name} stands there more than once: {all:?}"
        );
        all.first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// The start line and the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Everything up to and with the empty line.
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Head {
    fn parse(bytes: Vec<u8>) -> io::Result<Self> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        if start.contains(char::is_control) {
            return Err(invalid(format!("control byte in {start:?}")));
        }
        let fields = Fields::parse(lines)?;
        Ok(Self {
            bytes,
            start,
            fields,
        })
    }

    /// What the framing fields say. `None` if there is none of them.
    pub(crate) fn framing(&self) -> io::Result<Option<Framing>> {
        let (lengths, codings) = (
            self.fields.all("content-length"),
            self.fields.all("transfer-encoding"),
        );
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
            ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                length
                    .parse()
                    .map(|n| Some(Framing::Length(n)))
                    .map_err(|_| invalid(format!("length {length}")))
            }
            _ => Err(invalid(format!(
                "ambiguous: lengths {lengths:?}, codings {codings:?}"
            ))),
        }
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

/// A whole body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// As it came, chunk lines and all.
    pub(crate) bytes: Vec<u8>,
    /// What it carries.
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// Reads messages from one side of a connection.
pub(crate) struct Reader<R> {
    source: R,
    buffered: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            buffered: Vec::new(),
        }
    }

    /// The connection itself; reading from it loses what is buffered here.
    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        let end = self.find(b"\r\n\r\n").await?;
        Head::parse(self.take(end))
    }

    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<Body> {
        let plain = |data: Vec<u8>| Body {
            bytes: data.clone(),
            data,
            trailers: Fields::default(),
        };
        match framing {
            Framing::Empty => Ok(Body::default()),
            Framing::Length(length) => self.exactly(length).await.map(plain),
            Framing::UntilClose => self.rest().await.map(plain),
            Framing::Chunked => self.chunked().await,
        }
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < length {
            self.fill().await?;
        }
        Ok(self.take(length))
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.source.read_to_end(&mut self.buffered).await?;
        Ok(self.unread())
    }

    /// What has come and nobody has asked for.
    pub(crate) fn unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffered)
    }

    async fn chunked(&mut self) -> io::Result<Body> {
        let mut body = Body::default();
        loop {
            let end = self.find(b"\r\n").await?;
            let line = self.take(end);
            let size = chunk_size(&line)?;
            body.bytes.extend(&line);
            if size == 0 {
                break;
            }
            let chunk = self.exactly(size + 2).await?;
            if !chunk.ends_with(b"\r\n") {
                return Err(invalid("a chunk does not end with CRLF"));
            }
            body.bytes.extend(&chunk);
            body.data.extend(&chunk[..size]);
        }
        let mut trailers = String::new();
        loop {
            let end = self.find(b"\r\n").await?;
            let line = self.take(end);
            body.bytes.extend(&line);
            if line == b"\r\n" {
                break;
            }
            trailers.extend(line.iter().map(|byte| char::from(*byte)));
        }
        body.trailers = Fields::parse(trailers.split_terminator("\r\n"))?;
        Ok(body)
    }

    /// Where the first `pattern` ends, reading until it is there.
    async fn find(&mut self, pattern: &[u8]) -> io::Result<usize> {
        let mut seen = 0;
        loop {
            let hit = self.buffered[seen..]
                .windows(pattern.len())
                .position(|window| window == pattern);
            if let Some(at) = hit {
                return Ok(seen + at + pattern.len());
            }
            seen = self.buffered.len().saturating_sub(pattern.len() - 1);
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.source.read_buf(&mut self.buffered).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "closed after {:?}",
                    String::from_utf8_lossy(&self.buffered[..self.buffered.len().min(200)])
                ),
            )),
            _ => Ok(()),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffered.split_off(length);
        std::mem::replace(&mut self.buffered, rest)
    }
}

fn chunk_size(line: &[u8]) -> io::Result<usize> {
    let text = String::from_utf8_lossy(line);
    let digits = text
        .trim_end_matches("\r\n")
        .split(';')
        .next()
        .unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid(format!("chunk line {text:?}")));
    }
    usize::from_str_radix(digits, 16).map_err(|_| invalid(format!("chunk line {text:?}")))
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
