//! The manual says all there is to say, in both languages: every key that the file may have, every metric, every event.
//!
//! What lbd knows is read from its source: the keys that `config` asks for, and the names that metrics have.

use std::{collections::BTreeSet, fs, path::Path};

use regex::Regex;

const MANUALS: [&str; 2] = ["README.md", "README.zh-CN.md"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `pattern` finds in each file at or below `folder`, before its tests.
fn found(folder: &str, pattern: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let mut names = BTreeSet::new();
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("a folder of the source");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let all = pattern.captures_iter(code);
            names.extend(all.map(|captures| captures[1].to_owned()));
        }
    }
    assert!(!names.is_empty(), "nothing was found in {folder:?}");
    names
}

trait Named {
    fn has(&self, name: &str) -> bool;
}

impl Named for str {
    /// Whether `name` stands there as a word of its own.
    fn has(&self, name: &str) -> bool {
        let pattern = format!("(?:^|[^a-z_]){name}(?:$|[^a-z_])");
        Regex::new(&pattern).expect("a name").is_match(self)
    }
}

/// The keys that the file may have, in whatever table.
fn keys() -> BTreeSet<String> {
    let mut keys = found("src/config", r#"\.get\(\s*"([a-z_0-9]+)"\s*\)"#);
    // Read by a helper beside them, which is called with the name.
    let by_helper = r#"\b(?:number|flag|edits|read_limit\(&?section,)\(?\s*"([a-z_]+)""#;
    keys.extend(found("src/config", by_helper));
    keys.extend(found(
        "src/config/route.rs",
        r#""(exact|regex)" => PathMatch"#,
    ));
    keys
}

/// The keys in the first column of the tables of keys.
fn documented(manual: &str) -> BTreeSet<String> {
    let text = read(manual);
    let key = Regex::new("`([a-z_0-9.]+)`").expect("a pattern");
    let mut documented = BTreeSet::new();
    let mut is_in_table = false;
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').collect();
        match cells[..] {
            ["", heading, default, ..] if ["default", "默认"].contains(&default.trim()) => {
                is_in_table = !heading.contains("check");
            }
            ["", first, ..] if is_in_table => {
                documented.extend(key.captures_iter(first).map(|found| found[1].to_owned()));
            }
            _ => is_in_table = false,
        }
    }
    documented
}

#[test]
fn every_key_is_in_both_manuals() {
    for manual in MANUALS {
        let text = read(manual);
        let missing: Vec<_> = keys().into_iter().filter(|key| !text.has(key)).collect();
        assert_eq!(missing, [""; 0], "{manual}");
    }
}

#[test]
fn every_key_of_the_tables_is_one_that_lbd_knows_and_both_have_the_same() {
    let keys = keys();
    let [english, chinese] = MANUALS.map(documented);
    assert_eq!(english, chinese);
    assert!(english.len() > 60, "{english:?}");
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let unknown: Vec<_> = english
        .iter()
        .filter(|key| !keys.contains(&last(key)))
        .collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn every_metric_is_in_both_manuals() {
    let metrics = found("src/control", r#""(lbd_[a-z0-9_]+)""#);
    for manual in MANUALS {
        let text = read(manual);
        // In a row, `_sent_bytes_total` stands for the name above it with another end.
        let is_told = |name: &String| {
            let parts: Vec<_> = name.splitn(3, '_').collect();
            let short = parts.get(2).map(|end| format!("`_{end}"));
            text.contains(&format!("`{name}")) || short.is_some_and(|short| text.contains(&short))
        };
        let missing: Vec<_> = metrics.iter().filter(|name| !is_told(name)).collect();
        assert_eq!(missing, [""; 0], "{manual}");
    }
}

#[test]
fn every_event_is_in_both_manuals() {
    for manual in MANUALS {
        let text = read(manual);
        for event in lbd::config::EVENTS {
            assert!(text.has(event), "{manual}: {event}");
        }
    }
}

#[test]
fn both_manuals_tell_as_much_of_the_log_exit_codes_the_api_and_metrics() {
    let rows = |manual: &str, heading: &str| {
        let text = read(manual);
        let (_, section) = text
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("{manual} has no {heading}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        section.lines().filter(|line| line.starts_with('|')).count()
    };
    for (english, chinese) in [
        ("What the log says", "日志里的每一行"),
        ("Exit codes", "退出码"),
        ("The API", "API"),
        ("Metrics and alerts", "指标与告警"),
    ] {
        assert_eq!(
            rows("README.md", english),
            rows("README.zh-CN.md", chinese),
            "{english}"
        );
    }
}
