//! Labels and annotations: names, and templates that will render.
//!
//! A label is part of what an alert is called. One that shows a number would make a new alert of each new value, so a
//! label's template may read labels only (`P3`).

use std::sync::Arc;

use super::{RuleChecker, label_name};
use crate::rule::diagnostic::{Code, Place};
use crate::rule::plan::{Key, Let};
use crate::rule::template::{Template, TemplateError, TemplateKind};
use crate::rule::yaml::inside;
use crate::rule::yaml::read::At;

/// Labels or annotations.
pub(super) type Templates = Vec<(Arc<str>, Arc<Template>)>;

impl RuleChecker<'_> {
    /// The rule's labels and those of its group that it does not have itself.
    pub(super) fn labels(&mut self, by: &[(Key, Place)]) -> Templates {
        let own = self.raw.labels.get().map_or(&[][..], |labels| &labels.list[..]);
        let shared = self.group.raw.labels.get().map_or(&[][..], |labels| &labels.list[..]);
        let inherited = shared.iter().filter(|(name, _)| !own.iter().any(|(mine, _)| mine.value == name.value));
        let known = self.known_labels(by, &[]);
        let mut out = Vec::new();
        for (name, text) in own.iter().chain(inherited) {
            self.label_is_free(name, by);
            let Some(template) = self.template(text, known.as_deref(), &[]) else { continue };
            if let Some(part) = template.value_use() {
                let place = inside(self.log, text.place, &text.value, part);
                self.log
                    .error(Code::LabelNotStable, place, format!("label `{}` depends on a value", name.value))
                    .label("changes from step to step")
                    .hint("an alert is known by its labels; put the value into an annotation");
                continue;
            }
            out.push((Arc::from(name.value.as_str()), Arc::new(template)));
        }
        self.count_labels(by, out.len());
        out
    }

    fn label_is_free(&mut self, name: &At<String>, by: &[(Key, Place)]) {
        if let Err(reason) = label_name(&name.value) {
            self.log.error(Code::BadName, name.place, format!("`{}` cannot be a label: {reason}", name.value));
        } else if let Some((_, place)) = by.iter().find(|(key, _)| *key.name == *name.value) {
            self.log
                .error(Code::DuplicateName, name.place, format!("`{}` is a key of `by` already", name.value))
                .label("would make different groups look the same")
                .related(*place, "this key")
                .hint("rename the label, or the key: `expression AS name`");
        }
    }

    pub(super) fn annotations(&mut self, by: &[(Key, Place)], labels: &Templates, lets: &[Let]) -> Templates {
        let raw = self.raw.annotations.get().map_or(&[][..], |annotations| &annotations.list[..]);
        let own: Vec<&str> = labels.iter().map(|(name, _)| &**name).collect();
        let known = self.known_labels(by, &own);
        let numbers = lets.iter().filter(|let_| let_.aggregate.is_number()).map(|let_| &*let_.name).collect::<Vec<_>>();
        // A let that is broken has a name all the same.
        let written = self.raw.r#let.get().into_iter();
        let names = written.flat_map(|map| map.list.iter().map(|(name, _)| name).chain(&map.unusable));
        let broken = names.map(|name| name.value.as_str()).filter(|name| !lets.iter().any(|let_| *let_.name == **name));
        let lets: Vec<&str> = numbers.into_iter().chain(broken).collect();
        let mut out = Vec::new();
        for (name, text) in raw {
            if let Err(reason) = label_name(&name.value) {
                self.log.error(
                    Code::BadName,
                    name.place,
                    format!("`{}` cannot be an annotation: {reason}", name.value),
                );
            }
            if let Some(template) = self.template(text, known.as_deref(), &lets) {
                out.push((Arc::from(name.value.as_str()), Arc::new(template)));
            }
        }
        out
    }

    /// Every label a template may read; `None` where a key of `by` is broken, so that nobody knows.
    fn known_labels<'n>(&self, by: &'n [(Key, Place)], own: &[&'n str]) -> Option<Vec<&'n str>> {
        let listed = self.raw.by.get().map_or(0, |by| by.0.len());
        let whole = listed == by.len() && (self.raw.by.is_missing() || self.raw.by.get().is_some());
        whole.then(|| by.iter().map(|(key, _)| &*key.name).chain(own.iter().copied()).chain(["alertname"]).collect())
    }

    fn template(&mut self, text: &At<String>, labels: Option<&[&str]>, lets: &[&str]) -> Option<Template> {
        let template = match Template::compile(&text.value, TemplateKind::Text) {
            Ok(template) => template,
            Err(errors) => {
                self.template_errors(text, errors);
                return None;
            }
        };
        let errors = template.check(labels, lets);
        let sound = errors.is_empty();
        // A label that reads values is told so, and not that the names are unknown.
        if lets.is_empty() && template.value_use().is_some() {
            return Some(template);
        }
        self.template_errors(text, errors);
        sound.then_some(template)
    }

    fn template_errors(&mut self, text: &At<String>, errors: Vec<TemplateError>) {
        for error in errors {
            let place = inside(self.log, text.place, &text.value, error.span);
            let note = self.log.error(Code::BadTemplate, place, error.message);
            note.hint = error.hint;
        }
    }
}
