//! The house's floors: imports point down only, and rooms on one floor do not know each other.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// From the ground up. A room that is missing here is a fault, too.
const FLOORS: [&[&str]; 7] = [
    &["config", "telemetry"],
    &["net"],
    &["upstream"],
    &["http", "stream"],
    &["server"],
    &["control"],
    &["cli"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The rooms that `text` names as `crate::room`, also within `use crate::{…}`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(first_names(list)),
            None => rooms.extend(name(rest)),
        }
    }
    rooms
}

/// The first name of each member of a brace list, whose own brace is open.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut member, mut names) = (1, String::new(), Vec::new());
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            names.extend(name(member.trim()));
            member.clear();
        } else {
            member.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

#[test]
fn imports_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files).unwrap();
    let (mut seen, mut faults) = (0, Vec::new());
    for file in files {
        let place = file.strip_prefix(&root).unwrap();
        let own = place
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .replace(".rs", "");
        if ["lib", "main"].contains(&own.as_str()) {
            continue;
        }
        let own_floor = floor(&own).unwrap_or_else(|| panic!("{} is on no floor", place.display()));
        for room in rooms_named(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            let is_down = floor(&room).is_some_and(|floor| floor < own_floor);
            if room != own && !is_down {
                faults.push(format!("{} imports crate::{room}", place.display()));
            }
        }
    }
    assert!(
        seen > 20,
        "only {seen} imports were seen: the test no longer reads the code"
    );
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_test_itself_sees_every_kind_of_import() {
    let text = "use crate::net::Stream;\nuse crate::{\n    config::{self, Config},\n    upstream,\n};\nlet x: crate::http::Site;";
    assert_eq!(rooms_named(text), ["net", "config", "upstream", "http"]);
}
