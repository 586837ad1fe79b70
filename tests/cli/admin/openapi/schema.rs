//! As much of JSON Schema as a description of answers needs.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Words that are for readers.
const SILENT: [&str; 7] = [
    "$comment",
    "default",
    "deprecated",
    "description",
    "example",
    "examples",
    "title",
];

/// What is wrong with `value` by `schema`, a part of `root`; each with its place.
pub(super) fn faults(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, "$", &mut found);
    found
}

/// What `node` stands for, if it is a reference to another part of `root`.
pub(super) fn resolve<'r>(root: &'r Value, node: &'r Value) -> &'r Value {
    match node["$ref"].as_str() {
        None => node,
        Some(name) => {
            let pointer = name.strip_prefix('#').unwrap_or(name);
            let target = root.pointer(pointer);
            resolve(root, target.unwrap_or_else(|| panic!("there is no {name}")))
        }
    }
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    // `true` allows everything.
    let Some(words) = schema.as_object() else {
        if *schema != Value::Bool(true) {
            found.push(format!("{place}: {schema} allows nothing"));
        }
        return;
    };
    for (word, wanted) in words {
        let is_good = match word.as_str() {
            "$ref" => {
                check(root, resolve(root, schema), value, place, found);
                true
            }
            "properties" => {
                let known = wanted.as_object().into_iter().flatten();
                let there =
                    known.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
                there.for_each(|(name, schema, part)| {
                    check(root, schema, part, &format!("{place}.{name}"), found);
                });
                true
            }
            "additionalProperties" => {
                for (name, part) in unknown(words, value) {
                    check(root, wanted, part, &format!("{place}.{name}"), found);
                }
                true
            }
            "items" => {
                for (index, part) in list(value).iter().enumerate() {
                    check(root, wanted, part, &format!("{place}[{index}]"), found);
                }
                true
            }
            "allOf" => {
                list(wanted)
                    .iter()
                    .for_each(|one| check(root, one, value, place, found));
                true
            }
            "anyOf" => list(wanted)
                .iter()
                .any(|one| faults(root, one, value).is_empty()),
            "oneOf" => {
                let fits = list(wanted)
                    .iter()
                    .filter(|one| faults(root, one, value).is_empty());
                fits.count() == 1
            }
            word => is_as(value, word, wanted),
        };
        if !is_good {
            found.push(format!("{place}: {value} is not as {word}: {wanted}"));
        }
    }
}

/// Whether `value` is as one word of a schema wants it, by itself.
fn is_as(value: &Value, word: &str, wanted: &Value) -> bool {
    let limit = |holds: fn(f64, f64) -> bool| match (value.as_f64(), wanted.as_f64()) {
        (Some(number), Some(limit)) => holds(number, limit),
        _ => !value.is_number(),
    };
    match word {
        "type" if wanted.is_array() => list(wanted).iter().any(|kind| is_of(value, kind)),
        "type" => is_of(value, wanted),
        "enum" => list(wanted).contains(value),
        "const" => value == wanted,
        "required" => {
            let mut names = list(wanted).iter().filter_map(Value::as_str);
            !value.is_object() || names.all(|name| value.get(name).is_some())
        }
        "minimum" => limit(|number, least| number >= least),
        "maximum" => limit(|number, most| number <= most),
        "format" if wanted == "date-time" => value
            .as_str()
            .is_none_or(|text| text.parse::<Timestamp>().is_ok()),
        // Other formats are hints at how a number or a text is kept.
        "format" => true,
        word => SILENT.contains(&word) || word.starts_with("x-"),
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

/// What stands in `value` and not among the properties that `words` name.
fn unknown<'v>(
    words: &Map<String, Value>,
    value: &'v Value,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let known = words.get("properties").and_then(Value::as_object);
    let parts = value.as_object().into_iter().flatten();
    parts.filter(move |(name, _)| known.is_none_or(|known| !known.contains_key(*name)))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn what_breaks_a_schema_is_found_with_its_place() {
    let root = json!({
        "Thing": {
            "type": "object",
            "required": ["n", "at"],
            "additionalProperties": false,
            "properties": {
                "n": { "type": "integer", "minimum": 0 },
                "at": { "type": ["string", "null"], "format": "date-time" },
                "kind": { "enum": ["a", "b"] },
                "parts": { "type": "array", "items": { "$ref": "#/Thing" } },
            },
        },
    });
    let schema = json!({ "$ref": "#/Thing", "description": "one" });
    let places = |value: &Value| {
        let found = faults(&root, &schema, value);
        let places = found.iter().filter_map(|fault| fault.split(':').next());
        places.map(str::to_owned).collect::<Vec<_>>()
    };
    let good = json!({ "n": 1, "at": "2026-11-21T02:00:00Z" });
    assert_eq!(places(&good), [""; 0]);
    let whole = json!({ "n": 1, "at": null, "kind": "b", "parts": [good] });
    assert_eq!(places(&whole), [""; 0]);
    for (bad, place) in [
        (json!([]), "$"),
        (json!({ "n": 1 }), "$"),
        (json!({ "n": 1.5, "at": null }), "$.n"),
        (json!({ "n": -1, "at": null }), "$.n"),
        (json!({ "n": 1, "at": "yesterday" }), "$.at"),
        (json!({ "n": 1, "at": null, "kind": "c" }), "$.kind"),
        (json!({ "n": 1, "at": null, "more": 1 }), "$.more"),
        (json!({ "n": 1, "at": null, "parts": [1] }), "$.parts[0]"),
    ] {
        assert_eq!(places(&bad), [place], "{bad}");
    }
}
