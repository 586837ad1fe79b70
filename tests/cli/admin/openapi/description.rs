//! The description, and what is as it says.

use serde_json::Value;

use super::{
    super::{Admin, Answer},
    schema,
};

/// The description.
#[derive(Debug)]
pub(super) struct Description(Value);

impl Description {
    pub(super) fn of(admin: &Admin) -> Self {
        let answer = admin.get("/api/v1/openapi.json");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/json"));
        Self(answer.json())
    }

    /// All of it.
    pub(super) fn whole(&self) -> &Value {
        &self.0
    }

    pub(super) fn paths(&self) -> Vec<&str> {
        let paths = self.0["paths"].as_object().expect("paths");
        paths.keys().map(String::as_str).collect()
    }

    /// The methods that `path` has.
    pub(super) fn methods(&self, path: &str) -> Vec<&'static str> {
        let item = &self.0["paths"][path];
        let all = ["get", "post", "put", "patch", "delete"].into_iter();
        all.filter(|method| item.get(method).is_some()).collect()
    }

    /// What can stand behind `path` for a look: nothing, and each parameter by itself.
    pub(super) fn queries(&self, path: &str) -> Vec<String> {
        let item = &self.0["paths"][path];
        let lists = [&item["parameters"], &item["get"]["parameters"]];
        let all = lists.into_iter().filter_map(Value::as_array).flatten();
        let all = all.map(|parameter| schema::resolve(&self.0, parameter));
        let of_query = all.filter(|parameter| parameter["in"] == "query");
        let each = of_query.map(|parameter| {
            let name = parameter["name"].as_str().expect("a name");
            let kind = &schema::resolve(&self.0, &parameter["schema"])["type"];
            assert_eq!(kind, "integer", "{path}: {name}");
            format!("?{name}=1")
        });
        [String::new()].into_iter().chain(each).collect()
    }

    /// `answer` is one of those that are described for `method` of `path`.
    pub(super) fn holds(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("{method} {path}: {}", answer.status);
        let responses = &self.0["paths"][path][method]["responses"];
        let response = responses.get(answer.status.to_string());
        let response = response.unwrap_or_else(|| panic!("{what} is not described: {answer:?}"));
        let content = schema::resolve(&self.0, response)["content"].as_object();
        let kind = essence(answer.field("content-type").unwrap_or_default());
        let mut kinds = content.into_iter().flatten();
        let described = kinds.find(|(described, _)| essence(described) == kind);
        let (_, described) =
            described.unwrap_or_else(|| panic!("{what}: {kind} is not described: {answer:?}"));
        if kind == "application/json" {
            let schema = described.get("schema").expect("a schema of it");
            let faults = schema::faults(&self.0, schema, &answer.json());
            assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
        }
    }

    /// `body` is what `method` of `path` wants.
    pub(super) fn takes(&self, method: &str, path: &str, body: &Value) {
        let wanted = &self.0["paths"][path][method]["requestBody"];
        let content = &schema::resolve(&self.0, wanted)["content"];
        let schema = content["application/json"].get("schema");
        let schema = schema.unwrap_or_else(|| panic!("{method} {path}: no body is described"));
        let faults = schema::faults(&self.0, schema, body);
        assert!(faults.is_empty(), "{method} {path}: {}", faults.join("\n"));
    }
}

/// A media type without its parameters.
fn essence(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}
