//! Labels and annotations: names, and templates that will render.

use std::sync::Arc;

use super::{RuleChecker, label_name};
use crate::rule::diagnostic::{Code, Place};
use crate::rule::plan::{Key, Let};
use crate::rule::yaml::read::At;

impl RuleChecker<'_> {
    /// The rule's labels and those of its group that it does not have itself.
    pub(super) fn labels(&mut self, by: &[(Key, Place)]) -> Vec<(Arc<str>, Arc<str>)> {
        let own = self.raw.labels.get().map_or(&[][..], |labels| &labels.0);
        let shared = self.group.raw.labels.get().map_or(&[][..], |labels| &labels.0);
        let inherited = shared.iter().filter(|(name, _)| !own.iter().any(|(mine, _)| mine.value == name.value));
        let mut out = Vec::new();
        for (name, text) in own.iter().chain(inherited) {
            if let Err(reason) = label_name(&name.value) {
                self.log.error(Code::BadName, name.place, format!("`{}` cannot be a label: {reason}", name.value));
                continue;
            }
            if let Some((_, place)) = by.iter().find(|(key, _)| *key.name == *name.value) {
                self.log
                    .error(Code::DuplicateName, name.place, format!("`{}` is a key of `by` already", name.value))
                    .label("would make different groups look the same")
                    .related(*place, "this key")
                    .hint("rename the label, or the key: `expression AS name`");
                continue;
            }
            out.push((Arc::from(name.value.as_str()), Arc::from(text.value.as_str())));
        }
        self.count_labels(by, out.len());
        out
    }

    pub(super) fn annotations(&mut self, _by: &[(Key, Place)], _lets: &[Let]) -> Vec<(Arc<str>, Arc<str>)> {
        let raw = self.raw.annotations.get().map_or(&[][..], |annotations| &annotations.0);
        raw.iter().filter_map(|(name, text)| self.annotation(name, text)).collect()
    }

    fn annotation(&mut self, name: &At<String>, text: &At<String>) -> Option<(Arc<str>, Arc<str>)> {
        if let Err(reason) = label_name(&name.value) {
            self.log.error(Code::BadName, name.place, format!("`{}` cannot be an annotation: {reason}", name.value));
            return None;
        }
        Some((Arc::from(name.value.as_str()), Arc::from(text.value.as_str())))
    }
}
