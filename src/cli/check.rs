//! `lbd check` and `-t`.

use std::{path::Path, process::ExitCode};

use super::{
    EXIT_CONFIG,
    terminal::{complain, say},
};
use crate::config::{self, Loaded, SourceFile};

/// Loads `path`, as a start or a reload does, and prints whatever there is to say about it.
pub(super) fn load(path: &Path) -> Result<Loaded, ExitCode> {
    let file = SourceFile::read(path).map_err(|error| {
        complain(format_args!("lbd: cannot read {}: {error}", path.display()));
        ExitCode::from(EXIT_CONFIG)
    })?;
    match config::load(&file) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                complain(&loaded.warnings);
            }
            Ok(loaded)
        }
        Err(report) => {
            complain(&report);
            complain(format_args!(
                "{}: {}",
                path.display(),
                count(report.errors(), "error")
            ));
            Err(ExitCode::from(EXIT_CONFIG))
        }
    }
}

/// Checks each of `files`.
pub(super) fn check(files: &[impl AsRef<Path>]) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for file in files {
        let file = file.as_ref();
        match load(file) {
            Ok(loaded) if loaded.warnings.is_empty() => {
                say(format_args!("{}: good", file.display()))
            }
            Ok(loaded) => say(format_args!(
                "{}: good, with {}",
                file.display(),
                count(loaded.warnings.warnings(), "warning")
            )),
            Err(code) => outcome = code,
        }
    }
    outcome
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
