//! The alerts that are shipped.

use serde_json::json;

use super::{Prometheus, Site, mentions_what_there_is};
use crate::harness::{Dir, process::Finished, until};
use crate::support::{are_here, outcome, program};

pub(super) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus-alerts.yml");

/// `promtool ARGS`, which is to find no fault.
fn promtool(args: &[&str]) -> Finished {
    let ended = outcome(program("promtool").args(args));
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    ended
}

/// At each of these times so many alerts of this name fire, where Prometheus gets these samples of each series, one
/// every five seconds.
fn fires(alert: &str, series: &[(&str, &str)], times: &[(&str, u32)]) {
    if !are_here(&["promtool"]) {
        return;
    }
    let selector = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
    let inputs = series.iter();
    let inputs: Vec<_> = inputs
        .map(|(series, values)| json!({ "series": series, "values": values }))
        .collect();
    let expected = times.iter().map(|(time, count)| {
        json!({
            "expr": format!("count({selector}) or vector(0)"),
            "eval_time": time,
            "exp_samples": [{ "labels": "{}", "value": count }],
        })
    });
    let expected: Vec<_> = expected.collect();
    let test = json!({
        "rule_files": [FILE],
        "evaluation_interval": "5s",
        "tests": [{
            "interval": "5s",
            "input_series": inputs,
            "promql_expr_test": expected,
        }],
    });
    let dir = Dir::new();
    let file = dir.write("test.json", &test.to_string());
    promtool(&["test", "rules", &file.display().to_string()]);
}

// === the file ===

#[test]
fn promtool_finds_no_fault_with_the_alerts() {
    if !are_here(&["promtool"]) {
        return;
    }
    let ended = promtool(&["check", "rules", FILE]);
    assert!(ended.out.contains("SUCCESS"), "{}", ended.out);
    assert_eq!(ended.err, "");
}

#[test]
fn the_alerts_are_about_what_lbd_tells() {
    mentions_what_there_is(FILE);
}

#[test]
fn a_dark_pool_becomes_an_alert_that_names_it() {
    let Some(site) = Site::start(&["prometheus"], "") else {
        return;
    };
    let prometheus = Prometheus::start(&site.admin);
    let alert = until("there is an alert", || {
        let mut alerts = prometheus.alerts().into_iter();
        alerts.find(|alert| alert["labels"]["alertname"] == "LbdPoolDark")
    });
    assert_eq!(alert["labels"]["pool"], "dark", "{alert}");
    assert_eq!(alert["labels"]["severity"], "critical", "{alert}");
    for text in ["summary", "description"] {
        let text = alert["annotations"][text].as_str().expect("a text");
        assert!(text.contains("ool dark "), "{text}");
    }
}

// === each of them ===

#[test]
fn lbd_is_down_after_a_minute_without_an_answer() {
    let gone = [("up{job=\"lbd\"}", "1 0+0x30")];
    fires("LbdDown", &gone, &[("60s", 0), ("65s", 1)]);
}

#[test]
fn lbd_is_down_if_nobody_is_asked() {
    fires("LbdDown", &[], &[("55s", 0), ("60s", 1)]);
}

#[test]
fn a_pool_is_dark_after_fifteen_seconds_without_a_live_server() {
    let dark = [("lbd_pool_live_servers{pool=\"app\"}", "0+0x20")];
    fires("LbdPoolDark", &dark, &[("10s", 0), ("15s", 1)]);
}

#[test]
fn a_pool_that_is_dark_for_ten_seconds_at_a_time_is_not_told_of() {
    let twice = [("lbd_pool_live_servers{pool=\"app\"}", "1 0 0 1 0 0 1+0x20")];
    fires("LbdPoolDark", &twice, &[("10s", 0), ("25s", 0), ("60s", 0)]);
}

#[test]
fn requests_that_find_nobody_are_told_of() {
    let found_nobody = [("lbd_pool_dark_requests_total{pool=\"app\"}", "0 0 0 1+1x20")];
    fires(
        "LbdRequestsUnserved",
        &found_nobody,
        &[("25s", 0), ("30s", 1)],
    );
}

#[test]
fn a_server_is_told_of_once_it_is_out_for_a_minute() {
    let out = [("lbd_server_up{pool=\"app\",server=\"a\"}", "0+0x30")];
    fires("LbdServerOut", &out, &[("55s", 0), ("60s", 1)]);
}

/// It is tried again now and then, and counts as live when it is time to.
#[test]
fn a_server_that_only_requests_judge_is_told_of_too() {
    let out = [
        ("lbd_server_up{pool=\"app\",server=\"a\"}", "0 0 1+0x60"),
        (
            "lbd_server_out_seconds_total{pool=\"app\",server=\"a\"}",
            "0+5x60",
        ),
    ];
    fires("LbdServerOut", &out, &[("120s", 0), ("180s", 1)]);
}

#[test]
fn errors_are_told_of_if_they_are_one_in_ten_and_not_one_in_fifty() {
    let errors = "lbd_listener_requests_total{listener=\"public\",code=\"5xx\"}";
    let others = "lbd_listener_requests_total{listener=\"public\",code=\"2xx\"}";
    let many = [(errors, "0+1x60"), (others, "0+9x60")];
    fires("LbdHighErrorRate", &many, &[("120s", 0), ("180s", 1)]);
    let few = [(errors, "0+1x60"), (others, "0+49x60")];
    fires("LbdHighErrorRate", &few, &[("300s", 0)]);
}

#[test]
fn one_error_where_nobody_else_asks_is_not_told_of() {
    let alone = "lbd_listener_requests_total{listener=\"public\",code=\"5xx\"}";
    fires(
        "LbdHighErrorRate",
        &[(alone, "0 1+0x60")],
        &[("180s", 0), ("300s", 0)],
    );
}

#[test]
fn a_listener_is_slow_if_two_in_a_hundred_wait_for_ten_minutes() {
    let [fast, all] = ["2.0", "+Inf"].map(|le| {
        let name = "lbd_listener_request_duration_seconds_bucket";
        format!("{name}{{listener=\"public\",le=\"{le}\"}}")
    });
    let five = all.replace("+Inf", "5.0");
    let all_of = |within| {
        [
            (&*fast, within),
            (&*five, "0+100x150"),
            (&*all, "0+100x150"),
        ]
    };
    fires("LbdSlow", &all_of("0+98x150"), &[("600s", 0), ("660s", 1)]);
    fires("LbdSlow", &all_of("0+100x150"), &[("660s", 0)]);
}

#[test]
fn a_pool_that_needs_a_fifth_more_tries_is_told_of() {
    let retried = [
        ("lbd_pool_requests_total{pool=\"app\"}", "0+10x80"),
        ("lbd_pool_retries_total{pool=\"app\"}", "0+2x80"),
    ];
    fires("LbdRetries", &retried, &[("300s", 0), ("360s", 1)]);
}

#[test]
fn a_reload_that_failed_is_told_of_at_once() {
    let failed = [("lbd_config_last_reload_successful", "1 0+0x10")];
    fires("LbdReloadFailed", &failed, &[("0s", 0), ("5s", 1)]);
}

#[test]
fn a_certificate_is_told_of_two_weeks_before_its_end() {
    let certificate = "lbd_certificate_not_after_timestamp_seconds{file=\"a.pem\"}";
    let two_weeks_and_a_minute = [(certificate, "1209660+0x30")];
    let times = [("60s", 0), ("65s", 1)];
    fires("LbdCertificateEndsSoon", &two_weeks_and_a_minute, &times);
}

#[test]
fn a_certificate_that_has_ended_ends_soon_no_more() {
    let certificate = "lbd_certificate_not_after_timestamp_seconds{file=\"a.pem\"}";
    let a_minute = [(certificate, "60+0x30")];
    fires(
        "LbdCertificateEndsSoon",
        &a_minute,
        &[("55s", 1), ("60s", 0)],
    );
    fires("LbdCertificateEnded", &a_minute, &[("55s", 0), ("60s", 1)]);
}

#[test]
fn a_connection_that_is_refused_is_told_of() {
    let name = "lbd_listener_connections_refused_total{listener=\"public\"}";
    fires(
        "LbdConnectionsRefused",
        &[(name, "0 0 1+0x10")],
        &[("5s", 0), ("10s", 1)],
    );
}

#[test]
fn lost_lines_of_the_access_log_are_told_of() {
    let name = "lbd_access_log_lines_dropped_total";
    fires(
        "LbdAccessLogLost",
        &[(name, "0 0 7+0x10")],
        &[("5s", 0), ("10s", 1)],
    );
}
