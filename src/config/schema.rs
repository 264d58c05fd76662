//! The JSON Schema of the files, made from the very structs that read them.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::{RawConfig, RawStream};
use crate::rule::syntax::RawRuleFile;
use crate::rule::yaml::read::Entries;

/// Of `foghorn.yaml`.
pub fn config() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawConfig>();
    schema.insert("title".to_owned(), "Foghorn configuration".into());
    tidy(schema.to_value())
}

/// Of rule files. `streams` is described here, since rules themselves know nothing of how streams are written.
pub fn rules() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut streams = generator.subschema_for::<Entries<RawStream>>();
    let mut schema = generator.into_root_schema_for::<RawRuleFile>();
    schema.insert("title".to_owned(), "Foghorn rules".into());
    let place = schema.pointer_mut("/properties/streams").expect("rule files have `streams`");
    if let Some(description) = place.get("description") {
        streams.insert("description".to_owned(), description.clone());
    }
    *place = streams.to_value();
    tidy(schema.to_value())
}

/// Without the marks of how it is made: the `Raw` of our struct names, and line breaks where our comments wrap.
fn tidy(value: Value) -> Value {
    const MARK: &str = "Raw";
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("description", Value::String(text)) => (key, Value::String(text.replace('\n', " "))),
                    ("$ref", Value::String(text)) => (key, Value::String(text.replace(MARK, ""))),
                    ("$defs", Value::Object(defs)) => {
                        let renamed = defs.into_iter().map(|(name, def)| (name.replace(MARK, ""), tidy(def)));
                        (key, Value::Object(renamed.collect()))
                    }
                    (_, value) => (key, tidy(value)),
                })
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(tidy).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` leads somewhere, and every property is explained where its type does not explain it.
    fn check(schema: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        walk(schema, schema, "", &mut problems);
        problems
    }

    fn walk(root: &Value, node: &Value, path: &str, problems: &mut Vec<String>) {
        match node {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str)
                    && root.pointer(target.trim_start_matches('#')).is_none()
                {
                    problems.push(format!("{path}: {target} is not there"));
                }
                // In a list of properties, one called `properties` is a key of ours, not a keyword of the schema's.
                if let Some(Value::Object(properties)) =
                    map.get("properties").filter(|_| !path.ends_with("/properties"))
                {
                    for (key, property) in properties {
                        if property.get("description").is_none() && property.get("$ref").is_none() {
                            problems.push(format!("{path}/{key}: not explained"));
                        }
                    }
                }
                for (key, value) in map {
                    walk(root, value, &format!("{path}/{key}"), problems);
                }
            }
            Value::Array(list) => list.iter().for_each(|item| walk(root, item, path, problems)),
            _ => {}
        }
    }

    #[test]
    fn both_schemas_hold_together() {
        assert_eq!(check(&config()), [""; 0]);
        assert_eq!(check(&rules()), [""; 0]);
        let unknown = rules();
        assert_eq!(unknown["additionalProperties"], false);
        assert!(unknown["$defs"]["Stream"]["properties"]["lateness"].is_object());
    }
}
