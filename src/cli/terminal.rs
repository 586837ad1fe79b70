//! Words for the person at the terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

/// Clears a terminal, and goes to its first line.
pub(super) const CLEAR: &str = "\x1b[2J\x1b[H";

/// Writes a line to standard output. A reader that has gone needs no line.
pub(super) fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The same; `false` once there is nobody who reads.
pub(super) fn is_heard(text: impl Display) -> bool {
    writeln!(io::stdout(), "{text}").is_ok()
}

/// Writes a line to standard error.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Colours, where standard output is a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    colours: bool,
}

impl Style {
    /// Colours only on a terminal, and not where `NO_COLOR` is set.
    pub(super) fn of_stdout() -> Self {
        Self {
            colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    pub(super) fn green(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}
