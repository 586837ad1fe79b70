//! Telling people what happens, while nobody looks: over webhooks, and by a program.
//!
//! What happens within `delay` is told together, and what is over by then is not told at all: a server that is restarted
//! wakes nobody. Nothing here holds up anything else; who cannot be reached is tried again, and then it is given up.

mod condense;
mod message;

use std::{process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::Command,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use self::{condense::condense, message::Message};
use crate::{
    config::{Notify, Webhook},
    net::Outbound,
    server::Reloader,
    telemetry::{Event, Seldom},
};

/// After how long one who could not be told is told again.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];
/// Messages that may be on their way at a time.
const MOST: usize = 64;
/// How long the program may take.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(30);

/// Tells whoever the file names what happens, for as long as the server lives.
pub(super) async fn run(reloader: Arc<Reloader>) {
    let events = reloader.events().clone();
    let places = Arc::new(Semaphore::new(MOST));
    let mut since = 0;
    loop {
        events.newer_than(since).await;
        if let Some(notify) = &reloader.config().notify {
            tokio::time::sleep(notify.delay).await;
        }
        let (happened, last) = events.since(since, usize::MAX);
        since = last;
        // As it is now: a reload may be what has happened.
        let config = reloader.config();
        let Some(notify) = &config.notify else {
            continue;
        };
        let mut told = condense(happened);
        told.retain(|event| notify.events.contains(event.kind.name()));
        if !told.is_empty() {
            tell(notify, &Arc::from(told), &places);
        }
    }
}

/// Tells everybody, each in a task of its own.
fn tell(notify: &Notify, events: &Arc<[Event]>, places: &Arc<Semaphore>) {
    for webhook in &notify.webhooks {
        let Some(place) = place(places) else {
            return;
        };
        let (webhook, events) = (webhook.clone(), Arc::clone(events));
        tokio::spawn(async move { post(&webhook, &events, place).await });
    }
    if !notify.command.is_empty()
        && let Some(place) = place(places)
    {
        let (command, events) = (notify.command.clone(), Arc::clone(events));
        tokio::spawn(async move { execute(&command, &events, place).await });
    }
}

/// A place among the messages that are on their way.
fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(60));
    let place = Arc::clone(places).try_acquire_owned().ok();
    if place.is_none()
        && let Some(others) = COMPLAINTS.due()
    {
        tracing::error!(
            others,
            "notify: {MOST} messages are on their way; no more are sent"
        );
    }
    place
}

async fn post(webhook: &Webhook, events: &[Event], _place: OwnedSemaphorePermit) {
    let label = &webhook.label;
    let client = match Outbound::new(Arc::clone(&webhook.authorities.roots)) {
        Ok(client) => client,
        Err(error) => return tracing::error!("notify: {label}: {error}"),
    };
    let mut pauses = AGAIN.iter();
    loop {
        // Made anew each time: a signature is good for some minutes only.
        let message = Message::new(webhook, events);
        let answer = client
            .post(&message.url, "application/json", message.body)
            .await;
        let reason = match answer {
            Ok((status, body)) => match message::objection(status, &body) {
                None => return,
                Some(reason) => reason,
            },
            Err(reason) => reason,
        };
        let Some(pause) = pauses.next() else {
            let count = events.len();
            return tracing::error!("notify: {label} was not told of {count} events: {reason}");
        };
        tracing::debug!("notify: {label}: {reason}; again in {pause:?}");
        tokio::time::sleep(*pause).await;
    }
}

/// Runs the program, with the events as JSON on its standard input.
async fn execute(command: &[String], events: &[Event], _place: OwnedSemaphorePermit) {
    let Some((program, arguments)) = command.split_first() else {
        return;
    };
    let finished = tokio::time::timeout(PROGRAM_PATIENCE, async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that does not read has its reasons.
            let _ = input.write_all(&message::in_json(events)).await;
        }
        child.wait().await
    });
    match finished.await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::error!("notify: {program}: {status}"),
        Ok(Err(error)) => tracing::error!("notify: {program}: {error}"),
        Err(_) => tracing::error!("notify: {program} took longer than {PROGRAM_PATIENCE:?}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{config::EVENTS, telemetry::EventKind};

    #[test]
    fn the_file_names_events_as_they_are_called() {
        assert_eq!(EventKind::ALL.map(EventKind::name), EVENTS);
    }
}
