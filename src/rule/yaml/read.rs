//! From [`Node`]s to structs, noting every mistake on the way.
//!
//! [`yaml_map!`] declares a struct once and gives it a reader and, through schemars, a JSON Schema: the keys a file
//! may have, their documentation and what `foghorn schema` prints cannot drift apart. Every field is [`Given`], so the
//! checks that follow can tell "not there" (perhaps an error) from "there but wrong" (said already).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Node, Scalar, ScalarKind, Value};
use crate::model::time::Millis;
use crate::rule::diagnostic::{Code, Diagnostic, Diagnostics, Place, suggest};
use crate::rule::suggest::nearest;

/// What can be read from a node. `None` means that the reason has been noted.
pub trait Read: Sized {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self>;
}

/// A key's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Given<T> {
    /// The key is not there, or has no value.
    #[default]
    No,
    /// It is there, and what is wrong with it has been noted.
    Unusable,
    Yes(T),
}

impl<T> Given<T> {
    pub fn get(&self) -> Option<&T> {
        match self {
            Given::Yes(value) => Some(value),
            Given::No | Given::Unusable => None,
        }
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, Given::No)
    }

    fn read_from(node: &Node, log: &mut Diagnostics) -> Self
    where
        T: Read,
    {
        match node.value {
            Value::Null => Given::No,
            Value::Broken => Given::Unusable,
            _ => T::read(node, log).map_or(Given::Unusable, Given::Yes),
        }
    }
}

impl<T: Copy> Given<At<T>> {
    /// The bare value, or what applies without one.
    pub fn or(&self, default: T) -> T {
        self.get().map_or(default, |at| at.value)
    }
}

impl Given<At<String>> {
    pub fn text(&self) -> Option<&str> {
        self.get().map(|at| at.value.as_str())
    }
}

/// A value and its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T: Read> Read for At<T> {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        Some(At { value: T::read(node, log)?, place: node.place })
    }
}

/// A map with keys of the user's choice, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T> {
    pub list: Vec<(At<String>, T)>,
    /// Keys whose values were wrong: known names without a meaning.
    pub unusable: Vec<At<String>>,
}

impl<T: Read> Read for Entries<T> {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wrong_shape(node, "a map (`name: value`)", log);
            return None;
        };
        let mut out = Entries { list: Vec::with_capacity(entries.len()), unusable: Vec::new() };
        for (key, value) in entries {
            let name = At { value: key.name.clone(), place: key.place };
            let read = match value.value {
                Value::Broken => None,
                Value::Null => {
                    log.error(Code::WrongShape, key.place, format!("`{}` has no value", key.name));
                    None
                }
                _ => T::read(value, log),
            };
            match read {
                Some(value) => out.list.push((name, value)),
                None => out.unusable.push(name),
            }
        }
        Some(out)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        let Value::List(items) = &node.value else {
            wrong_shape(node, "a list", log).hint("write `- ` before each item, or `[a, b]`");
            return None;
        };
        let out: Vec<T> =
            items.iter().filter(|item| item.value != Value::Broken).filter_map(|item| T::read(item, log)).collect();
        (items.is_empty() || !out.is_empty()).then_some(out)
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::List(_) => {
                // All or nothing: what is listed here belongs together, and half of it would mislead later checks.
                let before = log.errors();
                let list = Vec::read(node, log)?;
                let broken =
                    matches!(&node.value, Value::List(items) if items.iter().any(|i| i.value == Value::Broken));
                (log.errors() == before && !broken).then_some(OneOrMany(list))
            }
            _ => T::read(node, log).map(|one| OneOrMany(vec![one])),
        }
    }
}

/// A single value as shorthand, or a map that says everything.
#[derive(Clone, Debug, PartialEq)]
pub enum ShortOrFull<S, F> {
    Short(S),
    Full(F),
}

impl<S: Read, F: Read> Read for ShortOrFull<S, F> {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Map(_) => F::read(node, log).map(ShortOrFull::Full),
            _ => S::read(node, log).map(ShortOrFull::Short),
        }
    }
}

/// As it is, for what is read later with more knowledge.
impl Read for Node {
    fn read(node: &Node, _: &mut Diagnostics) -> Option<Self> {
        Some(node.clone())
    }
}

/// Any single value, as it was written: `1.10` and `true` are texts where a text is wanted.
impl Read for String {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        scalar(node, "text", log).map(|scalar| scalar.text.clone())
    }
}

impl Read for bool {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        match scalar(node, "true or false", log)? {
            Scalar { kind: ScalarKind::Bool(value), .. } => Some(*value),
            Scalar { text, .. } => {
                let message = format!("`{text}` is neither `true` nor `false`");
                log.error(Code::BadValue, node.place, message);
                None
            }
        }
    }
}

impl Read for f64 {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        match scalar(node, "a number", log)?.kind {
            ScalarKind::Int(value) => Some(value as f64),
            ScalarKind::Float(value) if value.is_finite() => Some(value),
            _ => {
                log.error(Code::BadValue, node.place, format!("`{}` is not a number", text(node)));
                None
            }
        }
    }
}

impl Read for Millis {
    fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
        let scalar = scalar(node, "a length of time such as `30s`", log)?;
        match scalar.text.parse() {
            Ok(length) => Some(length),
            Err(error) => {
                log.error(Code::BadDuration, node.place, error.to_string());
                None
            }
        }
    }
}

macro_rules! read_integer {
    ($($ty:ty),*) => {
        $(impl Read for $ty {
            fn read(node: &Node, log: &mut Diagnostics) -> Option<Self> {
                let found = match scalar(node, "a whole number", log)?.kind {
                    ScalarKind::Int(value) => <$ty>::try_from(value).ok(),
                    _ => None,
                };
                if found.is_none() {
                    let message = format!("`{}` is not a whole number from {} to {}", text(node), <$ty>::MIN, <$ty>::MAX);
                    log.error(Code::BadValue, node.place, message);
                }
                found
            }
        })*
    };
}

read_integer!(u8, i16, u16, u32, u64, usize);

fn text(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        _ => "",
    }
}

fn scalar<'a>(node: &'a Node, wanted: &str, log: &mut Diagnostics) -> Option<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => {
            wrong_shape(node, wanted, log);
            None
        }
    }
}

/// Notes that `node` is something else than `wanted`.
pub fn wrong_shape<'a>(node: &Node, wanted: &str, log: &'a mut Diagnostics) -> &'a mut Diagnostic {
    log.error(Code::WrongShape, node.place, format!("{wanted} is wanted here, not {}", node.kind()))
}

/// A reader over one map: notes the keys it does not have, then hands out values by key.
#[derive(Debug)]
pub struct MapReader<'a> {
    entries: &'a [(super::Key, Node)],
    /// Keys that a wrong one was meant to be, or stands in for: nobody needs to be told that they are missing.
    meant: Vec<&'a str>,
}

impl<'a> MapReader<'a> {
    /// `known` are the keys of the map.
    pub fn new(node: &'a Node, known: &[&'a str], foreign: Foreign<'a>, log: &mut Diagnostics) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wrong_shape(node, "a map (`key: value`)", log);
            return None;
        };
        let mut reader = MapReader { entries, meant: Vec::new() };
        for (key, value) in entries.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            reader.refuse(key, value, known, foreign, log);
        }
        Some(reader)
    }

    fn refuse(
        &mut self,
        key: &super::Key,
        value: &Node,
        known: &[&'a str],
        foreign: Foreign<'a>,
        log: &mut Diagnostics,
    ) {
        let name = key.name.as_str();
        if foreign.secrets.contains(&name) {
            redact(value, log);
            self.meant.extend(known.iter().filter(|known| known.strip_suffix("_file") == Some(name)));
            log.error(Code::LiteralSecret, key.place, format!("`{name}` would put a secret into this file")).hint(
                format!(
                    "put it into a file of its own and say `{name}_file: PATH`, or into an environment variable and \
                     say `{name}_env: NAME`"
                ),
            );
            return;
        }
        // A misspelt secret is one all the same, and reports end up in logs.
        if SECRET_WORDS.iter().any(|word| name.to_lowercase().contains(word)) {
            redact(value, log);
        }
        let note = log.error(Code::UnknownKey, key.place, format!("unknown key `{name}`"));
        match foreign.elsewhere.iter().find(|(other, ..)| *other == name) {
            Some((_, stands_for, advice)) => {
                self.meant.extend(stands_for.iter());
                note.hint(*advice);
            }
            None => {
                self.meant.extend(nearest(name, known.iter().copied()));
                note.hint(suggest(name, known, "keys"));
            }
        }
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<At<String>> {
        self.entries.iter().map(|(key, _)| At { value: key.name.clone(), place: key.place }).collect()
    }

    pub fn take<T: Read>(&self, name: &str, log: &mut Diagnostics) -> Given<T> {
        match self.entries.iter().find(|(key, _)| key.name == name) {
            Some((_, node)) => Given::read_from(node, log),
            None if self.meant.contains(&name) => Given::Unusable,
            None => Given::No,
        }
    }
}

/// Blots out every value in `node` for later reports.
pub fn redact(node: &Node, log: &mut Diagnostics) {
    match &node.value {
        Value::Null | Value::Broken => {}
        Value::Scalar(_) => log.redact(node.place),
        Value::List(items) => items.iter().for_each(|item| redact(item, log)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| redact(value, log)),
    }
}

/// Keys that do not belong into a map, but that people try.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a> {
    /// Known from other tools, with the keys they stand in for, and what to do instead.
    pub elsewhere: &'a [(&'a str, &'a [&'a str], &'a str)],
    /// Would hold a secret; there are `…_file` and `…_env` instead.
    pub secrets: &'a [&'a str],
}

const SECRET_WORDS: [&str; 4] = ["passw", "secret", "token", "key"];

/// Declares a struct that mirrors a map of a file. Fields are written with their bare types and become [`Given`].
/// After the struct, `elsewhere { "key": "advice", }` answers keys that people know from other tools (with
/// `"key" ("other"): …` where it stands in for a key that then is not called missing), and
/// `secrets { "key", }` names keys that would hold a secret and exist as `key_file` and `key_env` instead.
macro_rules! yaml_map {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $ty:ty, )* }
        $( elsewhere { $( $foreign:literal $( ($($meant:literal),*) )?: $advice:literal, )* } )?
        $( secrets { $( $secret:literal, )* } )?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            /// Where the map begins.
            #[schemars(skip)]
            pub place: $crate::rule::diagnostic::Place,
            /// The keys that are there, for pointing at them.
            #[schemars(skip)]
            pub keys: Vec<$crate::rule::yaml::read::At<String>>,
            $( $(#[$field_meta])* pub $field: $crate::rule::yaml::read::Given<$ty>, )*
        }

        impl $name {
            /// Where a key stands; where it does not, where the map begins.
            pub fn place_of(&self, key: &str) -> $crate::rule::diagnostic::Place {
                let found = self.keys.iter().find(|at| at.value == key);
                found.map_or($crate::rule::yaml::start(self.place), |at| at.place)
            }
        }

        impl $crate::rule::yaml::read::Read for $name {
            fn read(
                node: &$crate::rule::yaml::Node,
                log: &mut $crate::rule::diagnostic::Diagnostics,
            ) -> Option<Self> {
                let bare = |name: &'static str| name.strip_prefix("r#").unwrap_or(name);
                let known = [$( bare(stringify!($field)), )*];
                let foreign = $crate::rule::yaml::read::Foreign {
                    elsewhere: &[$( $( ($foreign, &[$( $($meant),* )?], $advice), )* )?],
                    secrets: &[$( $( $secret, )* )?],
                };
                let map = $crate::rule::yaml::read::MapReader::new(node, &known, foreign, log)?;
                Some($name { place: node.place, keys: map.keys(), $( $field: map.take(bare(stringify!($field)), log), )* })
            }
        }
    };
}

/// Declares an enum of fixed words.
macro_rules! yaml_choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema)]
        pub enum $name {
            $( $(#[$variant_meta])* #[schemars(rename = $word)] $variant, )*
        }

        impl $crate::rule::yaml::read::Read for $name {
            fn read(
                node: &$crate::rule::yaml::Node,
                log: &mut $crate::rule::diagnostic::Diagnostics,
            ) -> Option<Self> {
                let word = String::read(node, log)?;
                match word.as_str() {
                    $( $word => Some($name::$variant), )*
                    _ => {
                        $crate::rule::yaml::read::unknown_word(node.place, &word, &[$( $word ),*], log);
                        None
                    }
                }
            }
        }
    };
}

pub(crate) use {yaml_choice, yaml_map};

/// Notes that a word is none of the words that can stand here.
pub fn unknown_word(place: Place, word: &str, known: &[&str], log: &mut Diagnostics) {
    log.error(Code::BadValue, place, format!("`{word}` is not known here")).hint(suggest(word, known, "possible"));
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// As `Option`: not required, and a key without a value is as good as no key.
impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn _schemars_private_is_option() -> bool {
        true
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": values })
    }
}

/// The schema of a map whose values are texts, where YAML's `1` and `true` are texts as well.
pub fn texts(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

/// The schema of a list of such maps.
pub fn lists_of_texts(generator: &mut SchemaGenerator) -> Schema {
    let item = texts(generator);
    schemars::json_schema!({ "type": "array", "items": item })
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<S: JsonSchema, F: JsonSchema> JsonSchema for ShortOrFull<S, F> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), F::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, full) = (generator.subschema_for::<S>(), generator.subschema_for::<F>());
        schemars::json_schema!({ "anyOf": [short, full] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::yaml::parse;
    use expect_test::{Expect, expect};

    yaml_choice! {
        /// A colour.
        pub enum Colour { Red = "red", Green = "green", }
    }

    yaml_map! {
        /// A thing.
        pub struct Thing {
            /// Its colour.
            #[schemars(required)]
            pub colour: At<Colour>,
            pub r#for: At<Millis>,
            pub size: At<u8>,
            pub names: OneOrMany<At<String>>,
            pub labels: Entries<At<String>>,
        }
        elsewhere { "expr" ("colour"): "use `colour`", }
        secrets { "password", }
    }

    fn check(text: &str, expect: Expect) {
        let mut log = Diagnostics::new();
        let file = log.add_file("x.yaml", text);
        let thing = parse(file, &mut log).and_then(|node| Thing::read(&node, &mut log));
        let mut out = String::new();
        if let Some(thing) = thing.filter(|_| !log.has_errors()) {
            let names: Option<Vec<&str>> =
                thing.names.get().map(|list| list.0.iter().map(|at| at.value.as_str()).collect());
            let labels: Option<Vec<&str>> =
                thing.labels.get().map(|map| map.list.iter().map(|(_, at)| at.value.as_str()).collect());
            out.push_str(&format!("{:?} {:?} {:?}\n", thing.colour.get().map(|at| at.value), names, labels));
        }
        for d in log.sorted() {
            let (line, column) = d.place.map_or((0, 0), |p| log.file(p.file).line_column(p.span.start));
            out.push_str(&format!("{line}:{column} {} ({})\n", d.message, d.hint.as_deref().unwrap_or("-")));
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn all_mistakes_of_a_map_are_noted_at_once() {
        check(
            "colour: red\nnames: a\nlabels: {version: 1.10, page: true}\nfor:\n",
            expect![[r#"
            Some(Red) Some(["a"]) Some(["1.10", "true"])
        "#]],
        );
        check(
            "names: [a, b]\n",
            expect![[r#"
            None Some(["a", "b"]) None
        "#]],
        );
        check(
            "color: red\nexpr: x\nfor: 5\nsize: 256\nnames: [{}]\nlabels: [a]\n",
            expect![[r#"
            1:1 unknown key `color` (did you mean `colour`?)
            2:1 unknown key `expr` (use `colour`)
            3:6 `5` has no unit; add one of ms, s, m, h, d, w, y (-)
            4:7 `256` is not a whole number from 0 to 255 (-)
            5:9 text is wanted here, not a map (-)
            6:9 a map (`name: value`) is wanted here, not a list (-)
        "#]],
        );
        check(
            "colour: gren\nfor: [5m]\nsize: x\nnames: {a: b}\nlabels: {a: , b: {}}\n",
            expect![[r#"
                1:9 `gren` is not known here (did you mean `green`?)
                2:6 a length of time such as `30s` is wanted here, not a list (-)
                3:7 `x` is not a whole number from 0 to 255 (-)
                4:8 text is wanted here, not a map (-)
                5:10 `a` has no value (-)
                5:18 text is wanted here, not a map (-)
            "#]],
        );
        check(
            "colour: red\npassword: hunter2\napi_token: x\n",
            expect![[r#"
                2:1 `password` would put a secret into this file (put it into a file of its own and say `password_file: PATH`, or into an environment variable and say `password_env: NAME`)
                3:1 unknown key `api_token` (keys: `colour`, `for`, `size`, `names`, `labels`)
            "#]],
        );
        check(
            "- a\n",
            expect![[r#"
            1:1 a map (`key: value`) is wanted here, not a list (-)
        "#]],
        );
    }

    #[test]
    fn the_schema_says_what_the_reader_takes() {
        let schema = schemars::schema_for!(Thing);
        expect![[r##"
            {
              "$schema": "https://json-schema.org/draft/2020-12/schema",
              "title": "Thing",
              "description": "A thing.",
              "type": "object",
              "properties": {
                "colour": {
                  "description": "Its colour.",
                  "type": "string",
                  "enum": [
                    "red",
                    "green"
                  ]
                },
                "for": {
                  "$ref": "#/$defs/Duration"
                },
                "labels": {
                  "type": "object",
                  "additionalProperties": {
                    "type": "string"
                  }
                },
                "names": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "type": "array",
                      "items": {
                        "type": "string"
                      }
                    }
                  ]
                },
                "size": {
                  "type": "integer",
                  "format": "uint8",
                  "maximum": 255,
                  "minimum": 0
                }
              },
              "additionalProperties": false,
              "required": [
                "colour"
              ],
              "$defs": {
                "Duration": {
                  "description": "A length of time: numbers with units ms, s, m, h, d, w, y, such as `30s` or `1h30m`.",
                  "type": "string",
                  "pattern": "^(0|([0-9]+(ms|[smhdwy]))+)$"
                }
              }
            }"##]]
        .assert_eq(&serde_json::to_string_pretty(&schema).expect("is JSON"));
    }
}
