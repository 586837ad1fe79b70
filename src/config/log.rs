//! `[log]`: what lbd says of itself, and where it notes each request.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::reader::{Value, nearest};

/// The table `[log]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// A tracing filter; `RUST_LOG` overrides it.
    pub level: String,
    /// Where access lines go.
    pub access: AccessTarget,
    /// How an access line looks.
    pub access_format: AccessFormat,
}

/// Where access lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccessTarget {
    /// To this file, made if absent, appended to, opened again on USR1 and HUP.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
}

/// How an access line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessFormat {
    /// nginx's `combined`, and after it the host, the time, and every attempt.
    Combined,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            access: AccessTarget::Stdout,
            access_format: AccessFormat::Combined,
        }
    }
}

impl Log {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[log]")?;
        let default = Self::default();
        let log = Self {
            level: section
                .get("level")
                .and_then(|v| read_level(&v))
                .unwrap_or(default.level),
            access: section
                .get("access")
                .and_then(|v| read_access(&v))
                .unwrap_or(default.access),
            access_format: section
                .get("access_format")
                .and_then(|v| {
                    v.word(&[
                        ("combined", AccessFormat::Combined),
                        ("json", AccessFormat::Json),
                    ])
                })
                .unwrap_or(default.access_format),
        };
        section.finish();
        Some(log)
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What nginx users write, and what it is called here.
const NGINX_LEVELS: [(&str, &str); 5] = [
    ("warning", "warn"),
    ("notice", "info"),
    ("crit", "error"),
    ("alert", "error"),
    ("emerg", "error"),
];

fn read_level(value: &Value<'_>) -> Option<String> {
    let level = value.string()?;
    // tracing takes a word that is no level for the name of a module, and would then say nothing at all.
    let wrong = level.split(',').map(str::trim).find(|part| {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
        !LEVELS.contains(&level.to_ascii_lowercase().as_str())
    });
    if let Some(wrong) = wrong {
        let meant = NGINX_LEVELS
            .iter()
            .find(|(nginx, _)| *nginx == wrong)
            .map(|(_, level)| *level);
        let help = match meant.or_else(|| nearest(wrong, LEVELS.into_iter())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "error, warn, info, debug, trace or off, also for a part: \"info,lbd::upstream=debug\"".to_owned(),
        };
        value.fault(format!("has an unknown level \"{wrong}\""), &help);
        return None;
    }
    if EnvFilter::try_new(level.as_str()).is_err() {
        value.fault(
            format!("is no log filter: \"{}\"", *level),
            "such as \"info\" or \"info,lbd::upstream=debug\"",
        );
        return None;
    }
    Some(level.value)
}

fn read_access(value: &Value<'_>) -> Option<AccessTarget> {
    let target = value.string()?;
    match target.as_str() {
        "off" => Some(AccessTarget::Off),
        "stdout" => Some(AccessTarget::Stdout),
        path if path.starts_with('/') => {
            let path = PathBuf::from(path);
            if path.is_dir() {
                value.fault(
                    "is a directory",
                    "name a file in it: \"/var/log/lbd/access.log\"",
                );
                return None;
            }
            if path.parent().is_some_and(|directory| !directory.is_dir()) {
                value.fault(
                    "names a directory that is not there",
                    "make it first, and let lbd's user write to it",
                );
                return None;
            }
            Some(AccessTarget::File(path))
        }
        other => {
            value.fault(
                format!("is no place for access lines: \"{other}\""),
                "\"off\", \"stdout\", or a path that starts with a slash",
            );
            None
        }
    }
}
