use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: FailureLimit = FailureLimit {
    max_fails: 3,
    fail_timeout: Duration::from_secs(8),
};

const WARM: Admission = Admission::Admitted { warmth: 1.0 };

fn admission(health: &Health, now: Instant) -> Admission {
    health.admission(now, Duration::ZERO)
}

fn take_out(health: &Health, now: Instant) {
    for _ in 0..LIMIT.max_fails {
        health.failed(now, false, LIMIT, "closed");
    }
    assert!(matches!(
        admission(health, now),
        Admission::Refused { until: Some(_) }
    ));
}

#[test]
fn failures_that_age_out_of_the_window_do_not_add_up() {
    let (health, start) = (Health::default(), Instant::now());
    // nginx takes this peer out after the third (nginx issue 599).
    for i in 0..20 {
        assert_eq!(
            health.failed(start + SECOND * 5 * i, false, LIMIT, "closed"),
            None,
            "failure {i}"
        );
    }
}

#[test]
fn max_fails_within_the_window_take_it_out_for_fail_timeout() {
    let (health, start) = (Health::default(), Instant::now());
    assert_eq!(health.failed(start, false, LIMIT, "closed"), None);
    assert_eq!(health.failed(start + SECOND, false, LIMIT, "closed"), None);
    let change = health.failed(start + SECOND * 2, false, LIMIT, "closed");
    assert_eq!(
        change,
        Some(Change::WentOut {
            lasting: Some(LIMIT.fail_timeout),
            failures: 3
        })
    );
    let until = start + SECOND * 10;
    assert_eq!(
        admission(&health, until - SECOND),
        Admission::Refused { until: Some(until) }
    );
    assert_eq!(admission(&health, until), Admission::Probe);
}

#[test]
fn exactly_one_request_probes() {
    let (health, start) = (Health::default(), Instant::now());
    take_out(&health, start);
    let later = start + LIMIT.fail_timeout;
    assert!(health.claim_probe(later));
    assert!(!health.claim_probe(later));
    assert_eq!(
        admission(&health, later),
        Admission::Refused { until: None }
    );
}

#[test]
fn a_probe_that_succeeds_brings_it_back_and_one_that_fails_costs_another_timeout() {
    let (health, start) = (Health::default(), Instant::now());
    take_out(&health, start);
    let later = start + LIMIT.fail_timeout;
    assert!(health.claim_probe(later));
    assert_eq!(
        health.failed(later, true, LIMIT, "closed"),
        Some(Change::StaysOut {
            lasting: LIMIT.fail_timeout
        })
    );
    let again = later + LIMIT.fail_timeout;
    assert_eq!(
        admission(&health, again - SECOND),
        Admission::Refused { until: Some(again) }
    );
    assert!(health.claim_probe(again));
    assert_eq!(
        health.succeeded(again, true),
        Some(Change::CameBack {
            after: LIMIT.fail_timeout * 2
        })
    );
    assert_eq!(admission(&health, again), WARM);
}

#[test]
fn an_abandoned_probe_decides_nothing_and_the_next_request_probes() {
    let (health, start) = (Health::default(), Instant::now());
    take_out(&health, start);
    let later = start + LIMIT.fail_timeout;
    assert!(health.claim_probe(later));
    health.probe_abandoned(later);
    assert_eq!(admission(&health, later), Admission::Probe);
}

#[test]
fn a_late_success_of_an_ordinary_request_does_not_bring_it_back() {
    let (health, start) = (Health::default(), Instant::now());
    take_out(&health, start);
    assert_eq!(health.succeeded(start, false), None);
    assert!(matches!(
        admission(&health, start),
        Admission::Refused { .. }
    ));
}

#[test]
fn max_fails_zero_never_takes_it_out() {
    let (health, now) = (Health::default(), Instant::now());
    for _ in 0..100 {
        assert_eq!(
            health.failed(
                now,
                false,
                FailureLimit {
                    max_fails: 0,
                    ..LIMIT
                },
                "closed",
            ),
            None
        );
    }
    assert_eq!(admission(&health, now), WARM);
}

#[test]
fn clearing_admits_at_once() {
    let (health, now) = (Health::default(), Instant::now());
    take_out(&health, now);
    health.forgive(now, false);
    assert_eq!(admission(&health, now), WARM);
}

const PATIENCE: Patience = Patience { rise: 2, fall: 3 };

/// A peer that is checked, and has been found good.
fn checked(now: Instant) -> Health {
    let health = Health::default();
    health.begin(now, Some(PATIENCE), true);
    assert_eq!(admission(&health, now), Admission::Unchecked);
    assert_eq!(
        health.checked(now, Ok(()), PATIENCE, false),
        Some(Judged::Began)
    );
    assert_eq!(admission(&health, now), WARM);
    health
}

#[test]
fn one_that_is_checked_comes_back_by_checks_and_never_by_a_request() {
    let now = Instant::now();
    let health = checked(now);
    health.failed(now, false, LIMIT, "closed");
    health.failed(now, false, LIMIT, "closed");
    let change = health.failed(now, false, LIMIT, "closed");
    assert!(matches!(
        change,
        Some(Change::WentOut { lasting: None, .. })
    ));
    let later = now + LIMIT.fail_timeout * 2;
    assert_eq!(admission(&health, later), Admission::Unchecked);
    assert!(!health.claim_probe(later));
    assert_eq!(health.checked(later, Ok(()), PATIENCE, false), None);
    let judged = health.checked(later, Ok(()), PATIENCE, false);
    assert!(matches!(judged, Some(Judged::CameBack { results: 2, .. })));
    assert_eq!(admission(&health, later), WARM);
}

#[test]
fn a_reload_keeps_what_checks_found_and_has_what_requests_found_looked_at_again() {
    let now = Instant::now();
    let health = checked(now);
    for _ in 0..PATIENCE.fall {
        health.checked(now, Err("answered 503"), PATIENCE, false);
    }
    health.begin(now, Some(PATIENCE), false);
    assert!(matches!(
        health.condition(now, Duration::ZERO),
        Condition::Out { .. }
    ));
    let health = checked(now);
    for _ in 0..LIMIT.max_fails {
        health.failed(now, false, LIMIT, "closed");
    }
    assert!(health.is_out_by_requests());
    let judged = health.checked(now, Ok(()), PATIENCE, true);
    assert!(matches!(judged, Some(Judged::CameBack { .. })));
    health.begin(now, Some(PATIENCE), false);
    assert_eq!(health.condition(now, Duration::ZERO), Condition::Good);
}

#[test]
fn one_that_requests_take_out_while_a_reload_is_under_way_is_forgiven_by_the_next_good_check() {
    let now = Instant::now();
    let health = checked(now);
    for _ in 0..LIMIT.max_fails {
        health.failed(now, false, LIMIT, "closed");
    }
    assert!(health.begin(now, Some(PATIENCE), false));
    let judged = health.checked(now, Ok(()), PATIENCE, false);
    assert!(matches!(judged, Some(Judged::CameBack { .. })));
}

#[test]
fn one_that_served_well_is_good_when_checks_are_added_and_free_when_they_go() {
    let (health, now) = (Health::default(), Instant::now());
    health.begin(now, None, true);
    health.begin(now, Some(PATIENCE), false);
    assert_eq!(health.condition(now, Duration::ZERO), Condition::Good);
    for _ in 0..PATIENCE.fall {
        health.checked(now, Err("answered 503"), PATIENCE, false);
    }
    health.begin(now, None, false);
    assert_eq!(health.condition(now, Duration::ZERO), Condition::Good);
}

#[test]
fn one_that_is_back_warms_up() {
    let start = Instant::now();
    let health = checked(start);
    for _ in 0..PATIENCE.fall {
        health.checked(start, Err("answered 503"), PATIENCE, false);
    }
    for _ in 0..PATIENCE.rise {
        health.checked(start, Ok(()), PATIENCE, false);
    }
    let warmth = |seconds: u32| health.admission(start + SECOND * seconds, SECOND * 10);
    assert_eq!(warmth(0), Admission::Admitted { warmth: 0.0 });
    assert_eq!(warmth(5), Admission::Admitted { warmth: 0.5 });
    assert_eq!(warmth(20), WARM);
}

#[test]
fn one_that_is_spared_is_used_although_it_is_out() {
    let (health, now) = (Health::default(), Instant::now());
    take_out(&health, now);
    health.spare(true);
    assert_eq!(admission(&health, now), WARM);
    health.spare(false);
    assert!(matches!(admission(&health, now), Admission::Refused { .. }));
}
