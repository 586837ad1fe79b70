//! `lbd completions` and `lbd man`: what shells and readers of manuals get, made from the command line's own description.

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{
    Cli,
    terminal::{complain, say},
};

/// Writes what `shell` needs to complete lbd's commands to standard output.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lbd", &mut text);
    say(String::from_utf8_lossy(&text).trim_end());
    ExitCode::SUCCESS
}

/// Writes lbd.1 and a page for each command to `directory`; without one, lbd.1 to standard output.
pub(super) fn man(directory: Option<&Path>) -> ExitCode {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        // Memory can always be written to.
        let _ = Man::new(Cli::command()).render(&mut page);
        say(String::from_utf8_lossy(&page).trim_end());
        return ExitCode::SUCCESS;
    };
    match write_all(directory) {
        Ok(pages) => {
            say(format_args!("{pages} pages in {}", directory.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("lbd: {}: {error}", directory.display()));
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)?.collect();
    let names = entries?.into_iter().map(|entry| entry.file_name());
    let ours = names.filter(|name| name.to_string_lossy().starts_with("lbd"));
    Ok(ours.count())
}
