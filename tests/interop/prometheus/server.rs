//! Prometheus itself, and what it knows.

use std::process::Stdio;

use serde_json::Value;

use super::alerts;
use crate::harness::{Dir, Process, until};
use crate::support::{Fetched, Port, curl, program};

const CONFIG: &str = "global: { scrape_interval: 500ms, evaluation_interval: 200ms }
rule_files: [\"@ALERTS@\"]
scrape_configs: [{ job_name: lbd, static_configs: [{ targets: [\"@LBD@\"] }] }]
";

/// It asks lbd, and has the alerts that are shipped. Killed on drop.
#[derive(Debug)]
pub(super) struct Prometheus {
    // Before `dir`, so that nobody writes there when it is removed.
    _process: Process,
    _dir: Dir,
    port: Port,
}

impl Prometheus {
    /// It asks at the address `lbd`.
    pub(super) fn start(lbd: &str) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        let config = CONFIG
            .replace("@ALERTS@", alerts::FILE)
            .replace("@LBD@", lbd);
        let [config, data] = [dir.write("prometheus.yml", &config), dir.file("data")];
        let mut prometheus = program("prometheus");
        prometheus
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={port}"))
            .arg("--log.level=warn");
        let process = Process::spawn(prometheus.stdin(Stdio::null()));
        port.until_it_listens();
        Self {
            _process: process,
            _dir: dir,
            port,
        }
    }

    /// It waits five seconds before it asks anybody for the first time.
    pub(super) fn until_lbd_is_up(&self) {
        until("Prometheus has lbd's metrics", || {
            let is_up = self.ask("up{job=\"lbd\"}") == [1.0];
            is_up.then_some(())
        });
    }

    /// What it answers to `query`: the value of each series.
    pub(super) fn ask(&self, query: &str) -> Vec<f64> {
        let answer = self.get(
            "query",
            &["-G", "--data-urlencode", &format!("query={query}")],
        );
        // It says what is wrong with a query, and that it has only begun.
        assert_ne!(answer.status, 400, "{query}: {}", answer.text());
        let results = elements(&answer, "/data/result");
        let values = results.iter().map(|result| result["value"][1].as_str());
        values
            .map(|value| {
                value
                    .and_then(|value| value.parse().ok())
                    .expect("a number")
            })
            .collect()
    }

    /// The alerts that are pending or fire.
    pub(super) fn alerts(&self) -> Vec<Value> {
        elements(&self.get("alerts", &[]), "/data/alerts")
    }

    fn get(&self, what: &str, args: &[&str]) -> Fetched {
        let url = format!("http://{}/api/v1/{what}", self.port);
        curl(&[args, &[url.as_str()]].concat())
    }
}

/// What the array at `pointer` holds; nothing if there is none.
fn elements(answer: &Fetched, pointer: &str) -> Vec<Value> {
    let answer: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let array = answer.as_ref().and_then(|answer| answer.pointer(pointer));
    array.and_then(Value::as_array).cloned().unwrap_or_default()
}
