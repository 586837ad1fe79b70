//! Let an operator steer the running server: signals, the control socket, the service manager.
//!
//! All of it runs on the control thread. Whatever arrives becomes one of a few `Request`s, so that
//! `kill -HUP`, `lbd reload` and `lbd -s reload` cannot come to differ.

mod admin;
mod api;
mod metrics;
mod notify;
mod page;
mod signals;
mod socket;
mod systemd;
mod user;

use std::{io, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use self::{admin::BoundAdmin, signals::Signals, socket::BoundSocket};
pub use self::{
    api::{Ask, Change, NewServer, Reply},
    socket::{ask, candidates},
};
use crate::{
    config,
    server::{Reloader, Server},
};

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

/// The ways in, open before there is anything to steer: a signal that comes while the server starts
/// is heeded when it has, rather than ending the process.
#[derive(Debug)]
pub struct Control {
    signals: Signals,
    socket: Option<BoundSocket>,
    admin: Option<BoundAdmin>,
}

impl Control {
    /// Takes over the process's signals and binds the control socket and the admin port that `config` describes. Needs
    /// a tokio runtime.
    ///
    /// # Errors
    /// Signals cannot be had, the socket or the port cannot be bound, or another lbd answers on the socket.
    pub fn open(config: &config::Config) -> io::Result<Self> {
        Ok(Self {
            socket: BoundSocket::bind(&config.control)?,
            admin: BoundAdmin::bind(config.admin.as_ref())?,
            signals: Signals::new()?,
        })
    }

    /// Steers `server` until it has ended.
    ///
    /// # Errors
    /// The socket or the port cannot be served.
    pub async fn run(self, server: Arc<Server>, reloader: Arc<Reloader>) -> io::Result<()> {
        let Self {
            mut signals,
            socket,
            admin,
        } = self;
        let (requests, mut requested) = mpsc::unbounded_channel();
        let admin = admin.map(|admin| admin.serve(&reloader, requests.clone()));
        let admin = admin.transpose()?;
        let socket = socket.map(|socket| socket.serve(Arc::clone(&reloader), requests));
        let _socket = socket.transpose()?;
        let telling = tokio::spawn(notify::run(Arc::clone(&reloader)));
        let watchdog = tokio::spawn(systemd::feed_watchdog(Arc::clone(&server)));
        systemd::ready();
        let ending = loop {
            let request = tokio::select! {
                request = signals.next() => request,
                Some(request) = requested.recv() => request,
            };
            match request {
                // A task of its own: a server that is slow to be checked does not hold up the end.
                Request::Reload => drop(tokio::spawn(reload(Arc::clone(&reloader)))),
                Request::Reopen => reopen(&reloader),
                Request::Stop | Request::Quit => break request,
            }
        };
        // A worker that is ending owes nobody a sign of life.
        watchdog.abort();
        systemd::stopping();
        // A successor may start while the last requests are waited for. Pages that are open hear of the end.
        drop(admin);
        telling.abort();
        end(&server, &reloader, ending, signals, requested).await;
        Ok(())
    }
}

/// Ends `server`; a further request to stop hurries: QUIT, then TERM, then TERM again.
async fn end(
    server: &Server,
    reloader: &Reloader,
    ending: Request,
    mut signals: Signals,
    mut requested: mpsc::UnboundedReceiver<Request>,
) {
    let timeout = reloader.shutdown_timeout();
    let mut deadline = (ending == Request::Stop).then_some(timeout);
    loop {
        match deadline {
            Some(Duration::ZERO) => tracing::warn!("stopping at once, as asked again"),
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
                Request::Stop if deadline == Some(Duration::ZERO) => {}
                // The end that is under way is given up for the other: it must not hold what that needs.
                Request::Stop if deadline.is_some() => break deadline = Some(Duration::ZERO),
                Request::Stop => break deadline = Some(timeout),
                Request::Reload | Request::Reopen | Request::Quit => {}
            }
        }
    }
}

/// A reload that nobody waits for: its outcome goes to the log.
async fn reload(reloader: Arc<Reloader>) {
    systemd::reloading();
    // What went wrong is in the log already.
    if let Ok(warnings) = reloader.reload("SIGHUP").await
        && !warnings.is_empty()
    {
        tracing::warn!("the file has warnings:\n{warnings}");
    }
    if !reloader.is_ending() {
        systemd::ready();
    }
}

fn reopen(reloader: &Reloader) {
    match reloader.reopen_log() {
        Ok(()) => tracing::info!("access log reopened"),
        Err(error) => tracing::error!("{error}; lines go on to the old file"),
    }
}
