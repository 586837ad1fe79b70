//! `lbd explain`: what would become of a request.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    check,
    steer::{Running, report},
    terminal::{complain, say},
};
use crate::{control::Ask, http::Question, server::explain_file};

/// Explains `question` by what the lbd that serves `file` knows now; if none runs, or `by_file`, by the file alone.
pub(super) fn explain(
    file: &Path,
    control: Option<PathBuf>,
    by_file: bool,
    question: Question,
) -> ExitCode {
    if !by_file {
        match Running::new(file, control).ask(&Ask::Explain(question.clone())) {
            Ok(Some(reply)) => return report(&reply),
            Ok(None) => complain("lbd: no running lbd answers; this is by the file alone"),
            Err(code) => return code,
        }
    }
    let loaded = match check::load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let explained = match runtime {
        Ok(runtime) => runtime.block_on(explain_file(&loaded.config, &question)),
        Err(error) => Err(error.to_string()),
    };
    match explained {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(format_args!("lbd: {why}"));
            ExitCode::FAILURE
        }
    }
}
