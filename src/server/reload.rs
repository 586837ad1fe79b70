//! The one way of reloading, whoever asks: SIGHUP, `lbd reload`, the API.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use jiff::Timestamp;

use super::{
    EditWish, EditWishError, OrderError, Ordered, ReloadStatus, ReloadTotals, Server, StartError,
    Status, Wish,
};
use crate::{
    config::{self, Certificate, Config, Report, SourceFile},
    http::Question,
    telemetry::{EventKind, EventLog, Events, Severity},
    upstream::ServerStatus,
};

/// Loads the file again and has the server follow it.
#[derive(Debug)]
pub struct Reloader {
    file: PathBuf,
    server: Arc<Server>,
    log: EventLog,
    /// What is served now.
    current: ArcSwap<Config>,
    /// Held while a reload is under way.
    alone: tokio::sync::Mutex<()>,
    history: Mutex<History>,
}

/// What came of reloads.
#[derive(Debug, Default)]
struct History {
    last: Option<ReloadStatus>,
    totals: ReloadTotals,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// The file has faults.
    #[error("{0}")]
    Faulty(Report),
    /// A certificate that is not in use yet has ended already: what is in use is better.
    #[error("certificate {file} has expired on {last_day}: the one in use stays")]
    Expired {
        /// The file.
        file: String,
        /// Its last day.
        last_day: String,
    },
    /// An address or the access log cannot be had.
    #[error("{0}")]
    Refused(#[from] StartError),
}

impl Reloader {
    /// A reloader of `file`, of which `config` is served by `server`.
    pub fn new(file: PathBuf, config: Config, server: Arc<Server>, log: EventLog) -> Self {
        Self {
            file,
            server,
            log,
            current: ArcSwap::from_pointee(config),
            alone: tokio::sync::Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// Loads and checks the file, and serves what it says, because `by` wants it. Gives its warnings, too.
    ///
    /// # Errors
    /// [`ReloadError`]; everything is then as it was.
    pub async fn reload(&self, by: &str) -> Result<Report, ReloadError> {
        let result = self.try_reload().await;
        let (severity, kind, message) = match &result {
            Ok(_) => {
                let message = format!("reloaded {}", self.file.display());
                (Severity::Info, EventKind::Reloaded, message)
            }
            Err(error) => {
                let text = error.to_string();
                // What has several lines has them all below its heading.
                let gap = if text.contains('\n') { '\n' } else { ' ' };
                let message = format!("reload failed, nothing is changed:{gap}{text}");
                (Severity::Error, EventKind::ReloadFailed, message)
            }
        };
        let events = self.server.events();
        events.tell(severity, kind, (None, None), message.clone());
        // Replaced as a whole.
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => history.totals.good += 1,
            Err(_) => history.totals.failed += 1,
        }
        history.last = Some(ReloadStatus {
            at: Timestamp::now(),
            ok: result.is_ok(),
            by: by.to_owned(),
            message,
        });
        result
    }

    async fn try_reload(&self) -> Result<Report, ReloadError> {
        let _alone = self.alone.lock().await;
        let current = self.current.load_full();
        let file = SourceFile::read(&self.file);
        let file = file.map_err(|error| ReloadError::Unreadable {
            file: self.file.clone(),
            error,
        })?;
        let loaded = config::load(&file).map_err(ReloadError::Faulty)?;
        refuse_expired(&loaded.config, &current)?;
        for (key, differs) in [
            ("control", loaded.config.control != current.control),
            ("pid", loaded.config.pid != current.pid),
            ("state_file", loaded.config.state_file != current.state_file),
            (
                "admin.bind",
                admin_bind(&loaded.config) != admin_bind(&current),
            ),
        ] {
            if differs {
                tracing::warn!("a new `{key}` takes effect at the next start");
            }
        }
        self.server.reload(loaded.config.clone()).await?;
        self.log.set_level(&loaded.config.log.level);
        self.current.store(Arc::new(loaded.config));
        Ok(loaded.warnings)
    }

    /// Opens the access log again.
    ///
    /// # Errors
    /// The operating system's; lines go on to the old file.
    pub fn reopen_log(&self) -> io::Result<()> {
        self.server.reopen_log(&self.current.load().log.access)
    }

    /// Does what an operator wants of a server of a pool.
    ///
    /// # Errors
    /// There is no such pool or server.
    pub fn order(&self, wish: &Wish) -> Result<Ordered, OrderError> {
        self.server.order(wish)
    }

    /// Changes a pool's list of servers as `wish` says.
    ///
    /// # Errors
    /// [`EditWishError`]; everything is then as it was.
    pub async fn edit(&self, wish: &EditWish) -> Result<Ordered, EditWishError> {
        self.server.edit(wish).await
    }

    /// What is to be told of the servers of `pool` that `server` stands for.
    ///
    /// # Errors
    /// There is no such pool or server.
    pub fn servers(&self, pool: &str, server: &str) -> Result<Vec<ServerStatus>, OrderError> {
        self.server.servers(pool, server)
    }

    /// What would become of a request now.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn explain(&self, question: &Question) -> Result<String, String> {
        self.server.explain(&self.current.load(), question)
    }

    /// What is to be told of all of it.
    pub fn status(&self) -> Status {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            file: self.file.display().to_string(),
            generation: history.totals.good + 1,
            last_reload: history.last.clone(),
            reloads: history.totals,
            ..self.server.status()
        }
    }

    /// What has happened of late.
    pub fn events(&self) -> &Events {
        self.server.events()
    }

    /// What is served now.
    pub fn config(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Whether the server has been told to end.
    pub fn is_ending(&self) -> bool {
        self.server.is_ending()
    }

    /// How long requests in flight are waited for, by what is served now.
    pub fn shutdown_timeout(&self) -> std::time::Duration {
        self.current.load().shutdown_timeout
    }
}

fn admin_bind(config: &Config) -> Option<SocketAddr> {
    config.admin.as_ref().map(|admin| admin.bind.value)
}

/// A certificate that expired while it was in use refuses nothing: other changes may be urgent.
fn refuse_expired(next: &Config, current: &Config) -> Result<(), ReloadError> {
    let is_in_use = |certificate: &Certificate| {
        let mut used = current.certificates();
        used.any(|used| used.certified.cert == certificate.certified.cert)
    };
    let mut expired = next.certificates().filter(|next| next.has_expired());
    match expired.find(|certificate| !is_in_use(certificate)) {
        Some(certificate) => Err(ReloadError::Expired {
            file: certificate.file.value.clone(),
            last_day: certificate.last_day(),
        }),
        None => Ok(()),
    }
}
