//! `retry`: when another server is tried (nginx `proxy_next_upstream` and its `_tries`, `_timeout`).

use std::time::Duration;

use super::reader::Value;

/// When another server is tried (nginx `proxy_next_upstream` and its `_tries`, `_timeout`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// What makes lbd turn to the next server.
    pub on: RetryOn,
    /// Servers to try at most; 0: each once.
    pub tries: u32,
    /// No further try starts after this time; zero: no limit.
    pub timeout: Duration,
    /// Whether POST, PATCH and LOCK may be sent a second time.
    pub non_idempotent: bool,
    /// How long a server that answered with a listed status, where another did not, is passed over on the same route;
    /// zero: it is not.
    pub memory: Duration,
    /// Of a hundred requests, how many may be tried again; `None`: all of them.
    pub budget: Option<u32>,
}

/// What makes lbd turn to the next server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RetryOn {
    /// A connection that fails, or breaks before the response head is complete.
    pub error: bool,
    /// A server that does not connect or answer in time.
    pub timeout: bool,
    /// An answer that is empty or is no HTTP.
    pub invalid_header: bool,
    /// Answers with these status codes.
    pub statuses: Vec<u16>,
    /// gRPC answers without a message whose `grpc-status` is 14 (unavailable).
    pub grpc_unavailable: bool,
}

/// What a route may say differently from its pool; absent parts are the pool's.
#[derive(Clone, Debug, Default)]
pub struct RetryOverrides {
    on: Option<RetryOn>,
    tries: Option<u32>,
    timeout: Option<Duration>,
    non_idempotent: Option<bool>,
    memory: Option<Duration>,
    budget: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: RetryOn {
                error: true,
                timeout: true,
                invalid_header: true,
                statuses: Vec::new(),
                grpc_unavailable: false,
            },
            tries: 0,
            timeout: Duration::ZERO,
            non_idempotent: false,
            memory: Duration::from_secs(5),
            budget: None,
        }
    }
}

impl Retry {
    /// This policy with what `overrides` says differently.
    pub fn with(&self, overrides: &RetryOverrides) -> Self {
        Self {
            on: overrides.on.clone().unwrap_or_else(|| self.on.clone()),
            tries: overrides.tries.unwrap_or(self.tries),
            timeout: overrides.timeout.unwrap_or(self.timeout),
            non_idempotent: overrides.non_idempotent.unwrap_or(self.non_idempotent),
            memory: overrides.memory.unwrap_or(self.memory),
            budget: overrides.budget.or(self.budget),
        }
    }
}

const RETRY_STATUSES: [(&str, u16); 7] = [
    ("http_403", 403),
    ("http_404", 404),
    ("http_429", 429),
    ("http_500", 500),
    ("http_502", 502),
    ("http_503", 503),
    ("http_504", 504),
];

impl RetryOverrides {
    /// Reads `retry` of a pool, or of a route.
    pub(super) fn read(value: &Value<'_>, of_pool: bool) -> Option<Self> {
        let section = value.section("retry")?;
        let budget = section.get("budget");
        if let Some(budget) = &budget
            && !of_pool
        {
            budget.fault("is for a pool as a whole", "move it to the pool's `retry`");
        }
        let overrides = Self {
            on: section.get("on").map(|v| RetryOn::read(&v)),
            tries: section
                .get("tries")
                .and_then(|v| v.integer(0..=1000))
                .map(|n| n.value),
            timeout: section.get("timeout").and_then(|v| v.duration()),
            non_idempotent: section.get("non_idempotent").and_then(|v| v.boolean()),
            memory: section.get("memory").and_then(|v| v.duration()),
            budget: budget.and_then(|v| v.percent()),
        };
        section.finish();
        Some(overrides)
    }
}

impl RetryOn {
    /// Reads the words of `on`; `[]` or `"off"` is never.
    fn read(value: &Value<'_>) -> Self {
        let mut on = Self::default();
        if value.is_string() && value.string().is_some_and(|word| *word == "off") {
            return on;
        }
        for item in value.array().unwrap_or_default() {
            on.read_word(&item);
        }
        on
    }

    fn read_word(&mut self, item: &Value<'_>) {
        let words: Vec<(&str, u16)> = [
            ("error", 0),
            ("timeout", 1),
            ("invalid_header", 2),
            ("grpc_unavailable", 3),
        ]
        .into_iter()
        .chain(RETRY_STATUSES)
        .collect();
        if item.is_string() && item.string().is_some_and(|word| *word == "non_idempotent") {
            item.fault(
                "has \"non_idempotent\" among its words",
                "it is a key beside `on`: non_idempotent = true",
            );
            return;
        }
        match item.word(&words) {
            Some(0) => self.error = true,
            Some(1) => self.timeout = true,
            Some(2) => self.invalid_header = true,
            Some(3) => self.grpc_unavailable = true,
            Some(status) => self.statuses.push(status),
            None => {}
        }
    }
}
