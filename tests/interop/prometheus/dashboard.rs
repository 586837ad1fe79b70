//! The dashboard for Grafana that is shipped.

use std::fs;

use serde_json::Value;

use super::{Prometheus, Site, mentions_what_there_is, secure_listener};
use crate::harness::until;
use crate::support::{Ca, are_here, tls};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/grafana-dashboard.json");

/// What its panels ask, of every lbd and of every pool, each under the panel's title.
fn queries() -> Vec<(String, String)> {
    let text = fs::read_to_string(FILE).expect("it is shipped");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (text_of(&panel["title"]), query_of(&target["expr"])))
    });
    queries.collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// As Grafana asks it where all of everything is chosen.
fn query_of(expr: &Value) -> String {
    let query = text_of(expr)
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        .replace("$pool", ".*");
    assert!(!query.contains('$'), "{query}");
    query
}

#[test]
fn the_dashboard_is_about_what_lbd_tells() {
    mentions_what_there_is(FILE);
}

#[test]
fn every_panel_has_something_to_show() {
    if !are_here(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let more = secure_listener("127.0.0.3", &tls(&[&ca.ecdsa(&["app.test"])], ""));
    let Some(site) = Site::start(&["prometheus"], &more) else {
        return;
    };
    let prometheus = Prometheus::start(&site.admin);
    prometheus.until_lbd_is_up();
    site.is_used();
    for (title, query) in queries() {
        until(&format!("{title} shows something: {query}"), || {
            let shown = prometheus.ask(&query);
            shown.iter().any(|value| !value.is_nan()).then_some(())
        });
    }
}
