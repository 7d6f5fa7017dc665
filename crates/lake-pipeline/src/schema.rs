//! The JSON Schema of pipeline files, from the description of the settings.

use serde_json::{Map, Value, json};

use crate::settings::{FILE, Setting, Shape};

/// The JSON Schema (draft 2020-12) that editors validate and complete with.
///
/// It accepts every file that [`parse`](crate::parse) accepts, apart from keys
/// that only flags or variables give. `parse` looks closer: it knows whether a
/// cron expression comes, and whether a version requirement is one.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = of(&FILE);
    if let Value::Object(members) = &mut schema {
        members.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        members.insert("title".to_owned(), json!("lake pipeline"));
    }
    schema
}

fn of(setting: &Setting) -> Value {
    let mut schema = match &setting.shape {
        Shape::Scalar { schema, .. } => or_variable(schema()),
        Shape::OneOrMore { schema } => {
            let one = or_variable(schema());
            let list = json!({ "type": "array", "items": one, "minItems": 1 });
            Map::from_iter([("anyOf".to_owned(), json!([one, list]))])
        }
        Shape::Group(members) => group(members),
        Shape::Named { name, members } => Map::from_iter([
            ("type".to_owned(), json!("object")),
            ("minProperties".to_owned(), json!(1)),
            (
                "propertyNames".to_owned(),
                json!({ "pattern": name.pattern }),
            ),
            (
                "additionalProperties".to_owned(),
                Value::Object(group(members)),
            ),
        ]),
        Shape::Values { name, value } => Map::from_iter([
            ("type".to_owned(), json!("object")),
            (
                "propertyNames".to_owned(),
                json!({ "pattern": name.pattern }),
            ),
            ("additionalProperties".to_owned(), of(value)),
        ]),
    };
    schema.insert("description".to_owned(), json!(description(setting)));
    if let Some(example) = setting.example {
        schema.insert("examples".to_owned(), json!([example]));
    }
    Value::Object(schema)
}

fn group(members: &[&Setting]) -> Map<String, Value> {
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| (member.key.to_owned(), of(member)))
        .collect();
    let required: Vec<&str> = members
        .iter()
        .filter(|member| member.required)
        .map(|member| member.key)
        .collect();
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The same schema for a value that may also hold variables, whose content an
/// editor cannot know.
fn or_variable(value: Value) -> Map<String, Value> {
    let Value::Object(mut schema) = value else {
        return Map::new();
    };
    let choices = match schema.remove("anyOf") {
        Some(Value::Array(choices)) => choices,
        _ if schema.contains_key("pattern") || schema.contains_key("enum") => {
            vec![Value::Object(schema)]
        }
        _ => return schema,
    };
    let with_variable = json!({ "type": "string", "pattern": "\\$\\{[^}]+\\}" });
    let choices = choices.into_iter().chain([with_variable]).collect();
    Map::from_iter([("anyOf".to_owned(), Value::Array(choices))])
}

/// What editors show: the meaning, what holds without it, and who overrides it.
fn description(setting: &Setting) -> String {
    let mut text = setting.doc.to_owned();
    if let Some(default) = setting.default {
        text.push_str(" Default: ");
        text.push_str(default);
        text.push('.');
    }
    let ways: Vec<&str> = setting.ways().collect();
    if !ways.is_empty() {
        text.push_str(" Overridden by ");
        text.push_str(&ways.join(" and "));
        text.push('.');
    }
    text
}
