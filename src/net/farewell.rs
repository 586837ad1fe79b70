//! Ending a connection so that the other side hears all that it was told.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    stream::Stream,
    timer::{Deadline, Timer},
};

/// How long a connection is read from after the last byte was written, so that the response is not
/// lost to a reset (nginx `lingering_time`, `lingering_timeout`).
const LINGER_TOTAL: Duration = Duration::from_secs(30);

/// How patiently the client's last words are read away.
#[derive(Clone, Copy, Debug)]
pub enum Farewell {
    /// Until it has been silent for long.
    Long,
    /// The process waits for the connection to end.
    Short,
    /// It is not worth much: it was cut off.
    Curt,
}

impl Farewell {
    /// For a connection that ends by itself, or because its worker does.
    pub fn while_draining(is_draining: bool) -> Self {
        if is_draining { Self::Short } else { Self::Long }
    }

    fn silence(self) -> Duration {
        match self {
            Self::Long => Duration::from_secs(5),
            Self::Short | Self::Curt => Duration::from_millis(500),
        }
    }

    /// Bytes that are read at most.
    fn most(self) -> usize {
        match self {
            Self::Long | Self::Short => usize::MAX,
            Self::Curt => 256 << 10,
        }
    }
}

/// Says good-bye and waits until the client has heard everything, or has had its time.
pub async fn linger(stream: &Stream, timer: &Timer, farewell: Farewell) {
    stream.shutdown();
    let end = Instant::now() + LINGER_TOTAL;
    let mut space = [0; 4096];
    let mut seen = 0;
    while seen < farewell.most() {
        let silence = Instant::now() + farewell.silence();
        match stream
            .read(&mut space, timer, Deadline::At(silence.min(end)))
            .await
        {
            Ok(n) if n > 0 => seen += n,
            Ok(_) | Err(_) => return,
        }
    }
}
