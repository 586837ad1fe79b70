//! What is shipped is good: every file in `config/` and `examples/` passes `lbd check`.

use std::{fs, path::Path};

use lbd::config::{SourceFile, load};

#[test]
fn every_shipped_file_is_good_and_without_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["config", "examples"] {
        let mut seen = 0;
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                seen += 1;
                let file = SourceFile::read(&path).unwrap();
                let report = load(&file).map_or_else(|report| report, |loaded| loaded.warnings);
                assert!(report.is_empty(), "{report}");
            }
        }
        assert!(seen > 0, "no file was seen in {directory}");
    }
}

/// A cluster must be able to keep what it has: the values of the annotated file are the nginx ones.
#[test]
fn the_cluster_file_says_what_its_nginx_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/lb.toml");
    let config = load(&SourceFile::read(&path).unwrap()).unwrap().config;
    assert_eq!(config.listeners[0].bind[0].port(), 8100);
    let pools: Vec<_> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["UserService", "app_a", "app_b"]);
    for pool in &config.pools {
        assert_eq!(
            (pool.timeouts.send.as_secs(), pool.timeouts.read.as_secs()),
            (5, 5)
        );
        for server in &pool.servers {
            assert_eq!((server.max_fails, server.fail_timeout.as_secs()), (30, 20));
        }
    }
}

#[test]
fn the_file_in_the_readme_is_good() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let blocks: Vec<_> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty(), "the README shows no file");
    for block in blocks {
        let report = load(&SourceFile::new("README.md", block));
        let report = report.map_or_else(|report| report, |loaded| loaded.warnings);
        assert!(report.is_empty(), "{report}");
    }
}
