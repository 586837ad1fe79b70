//! `lbd -c lb.toml`: the whole of starting up, in order.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{check, terminal::complain};
use crate::{
    config::Config,
    control::Control,
    server::{Reloader, Server},
    telemetry::EventLog,
};

/// Serves `file` until told to stop.
pub(super) fn run(file: &Path) -> ExitCode {
    let loaded = match check::load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match serve(file, loaded.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("lbd: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &Path, config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let log = EventLog::start(&config.log.level);
    raise_descriptor_limit();
    refuse_huge_pages();
    // A reload must find the file wherever the process may go.
    let file = std::path::absolute(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let control = Control::open(&config)?;
        let server = Arc::new(Server::start(config.clone()).await?);
        let _pid_file = PidFile::write(config.pid.clone())?;
        let reloader = Arc::new(Reloader::new(file, config, Arc::clone(&server), log));
        control.run(server, reloader).await?;
        Ok(())
    })
}

/// Thousands of idle connections are small pieces of memory, here and there: in pages of 2 MB they take half as much again.
fn refuse_huge_pages() {
    // A system that knows no such thing has no such pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Each request takes two descriptors: whatever the system lets us have is not too much.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
        .is_err()
    {
        tracing::warn!(
            "the limit of open files stays at {}",
            current.unwrap_or_default()
        );
    }
}

/// The file that holds the process id while it runs.
#[derive(Debug)]
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: Option<PathBuf>) -> io::Result<Self> {
        if let Some(path) = &path {
            fs::write(path, format!("{}\n", std::process::id())).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("pid file {}: {error}", path.display()),
                )
            })?;
        }
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let is_ours = fs::read_to_string(path)
                .is_ok_and(|text| text.trim() == std::process::id().to_string());
            if is_ours {
                // If it is gone meanwhile, so much the better.
                let _ = fs::remove_file(path);
            }
        }
    }
}
