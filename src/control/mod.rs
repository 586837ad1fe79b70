//! Let an operator steer the running server: signals, the control socket, the service manager.
//!
//! All of it runs on the control thread. Whatever arrives becomes one of a few `Request`s, so that
//! `kill -HUP`, `lbd reload` and `lbd -s reload` cannot come to differ.

mod signals;
mod socket;
mod systemd;

use std::{io, path::PathBuf, sync::Arc};

use tokio::sync::mpsc;

pub use self::socket::{Reply, Verb, ask, bind, candidates};
use self::{signals::Signals, socket::ControlSocket};
use crate::server::{Reloader, Server};

/// What an operator can ask of the running server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Reload,
    Reopen,
    /// End within the shutdown timeout.
    Stop,
    /// End when the last request has.
    Quit,
}

/// Steers `server` until it has ended.
///
/// # Errors
/// The operating system's, if it delivers no signals.
pub async fn run(
    server: Arc<Server>,
    reloader: Arc<Reloader>,
    socket: Option<(PathBuf, std::os::unix::net::UnixListener)>,
) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let (requests, mut requested) = mpsc::unbounded_channel();
    let _socket = match socket {
        Some((path, listener)) => Some(ControlSocket::serve(
            path,
            listener,
            Arc::clone(&reloader),
            requests,
        )?),
        None => None,
    };
    let watchdog = tokio::spawn(systemd::feed_watchdog(Arc::clone(&server)));
    systemd::ready();
    let ending = loop {
        let request = tokio::select! {
            request = signals.next() => request,
            Some(request) = requested.recv() => request,
        };
        match request {
            Request::Reload => reload(&reloader).await,
            Request::Reopen => reopen(&reloader).await,
            Request::Stop | Request::Quit => break request,
        }
    };
    systemd::stopping();
    end(&server, &reloader, ending, signals, requested).await;
    watchdog.abort();
    Ok(())
}

/// Ends `server`; a further request to stop hurries: QUIT, then TERM, then TERM again.
async fn end(
    server: &Server,
    reloader: &Reloader,
    ending: Request,
    mut signals: Signals,
    mut requested: mpsc::UnboundedReceiver<Request>,
) {
    let timeout = reloader.shutdown_timeout().await;
    let mut deadline = (ending == Request::Stop).then_some(timeout);
    loop {
        match deadline {
            Some(deadline) => tracing::info!("stopping: requests in flight have {deadline:?}"),
            None => tracing::info!("stopping when the last request has ended"),
        }
        let shutdown = server.shutdown(deadline);
        tokio::pin!(shutdown);
        loop {
            let request = tokio::select! {
                () = &mut shutdown => return tracing::info!("stopped"),
                request = signals.next() => request,
                Some(request) = requested.recv() => request,
            };
            match request {
                Request::Stop if deadline.is_some() => {
                    return tracing::warn!("stopped at once, as asked again");
                }
                Request::Stop => break deadline = Some(timeout),
                Request::Reload | Request::Reopen | Request::Quit => {}
            }
        }
    }
}

/// A reload that nobody waits for: its outcome goes to the log.
async fn reload(reloader: &Reloader) {
    systemd::reloading();
    match reloader.reload().await {
        Ok(warnings) => {
            tracing::info!("reloaded");
            if !warnings.is_empty() {
                tracing::warn!("the file has warnings:\n{warnings}");
            }
        }
        Err(error) => tracing::error!("reload failed, nothing is changed:\n{error}"),
    }
    systemd::ready();
}

async fn reopen(reloader: &Reloader) {
    match reloader.reopen_log().await {
        Ok(()) => tracing::info!("access log reopened"),
        Err(error) => tracing::error!("{error}; lines go on to the old file"),
    }
}
