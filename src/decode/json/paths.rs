//! What to do with the value of each key: the fields' paths as a small tree.
//!
//! A *context* is an object on the way to some field: the event itself (context 0), `http` of the path
//! `["http", "latency"]`. Whatever is not on the way is skipped.

use std::sync::Arc;

use crate::decode::DecoderError;
use crate::model::schema::{FieldSpec, FieldType, TimeSource};

/// What becomes of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Skip,
    Str(u16),
    Int(u16),
    Float(u16),
    Bool(u16),
    /// The event's time.
    Time,
    /// The value is an object with fields in it: go in, in this context.
    Enter(u16),
    /// Several fields, or a field and the time, stand at the same place: index into [`Paths::shared`].
    Shared(u16),
}

#[derive(Debug, Default)]
struct Context {
    /// Few, so a scan that looks at the length first beats a map.
    children: Vec<(Box<[u8]>, Action)>,
}

#[derive(Debug)]
pub(super) struct Paths {
    contexts: Vec<Context>,
    shared: Vec<Vec<Action>>,
}

impl Paths {
    pub fn new(fields: &[FieldSpec], needed: &[usize], time: &TimeSource) -> Result<Paths, DecoderError> {
        let mut paths = Paths { contexts: vec![Context::default()], shared: Vec::new() };
        for id in needed {
            let field = &fields[*id];
            let index = u16::try_from(*id).map_err(|_| DecoderError::TooManyFields { fields: fields.len() })?;
            let action = match field.ty {
                FieldType::String => Action::Str(index),
                FieldType::Int => Action::Int(index),
                FieldType::Float => Action::Float(index),
                FieldType::Bool => Action::Bool(index),
            };
            paths.add(&field.path, action, || format!("field `{}`", field.name))?;
        }
        if let TimeSource::Path(path) = time {
            paths.add(path, Action::Time, || "the event time".into())?;
        }
        Ok(paths)
    }

    pub fn contexts(&self) -> usize {
        self.contexts.len()
    }

    #[inline]
    pub fn action(&self, context: u16, key: &[u8]) -> Action {
        let children = &self.contexts[usize::from(context)].children;
        children.iter().find(|(name, _)| **name == *key).map_or(Action::Skip, |(_, action)| *action)
    }

    pub fn shared(&self, index: u16) -> &[Action] {
        &self.shared[usize::from(index)]
    }

    fn add(&mut self, path: &[Arc<str>], action: Action, who: impl Fn() -> String) -> Result<(), DecoderError> {
        let Some((last, outer)) = path.split_last() else {
            return Err(DecoderError::NoPath { who: who() });
        };
        let conflict = |depth: usize| DecoderError::PathConflict { who: who(), path: path[..=depth].join(".") };
        let mut context = 0;
        for (depth, key) in outer.iter().enumerate() {
            context = match self.action(context, key.as_bytes()) {
                Action::Enter(inner) => inner,
                Action::Skip => {
                    let inner = self.contexts.len() as u16;
                    self.contexts.push(Context::default());
                    self.put(context, key, Action::Enter(inner));
                    inner
                }
                _ => return Err(conflict(depth)),
            };
        }
        match self.action(context, last.as_bytes()) {
            Action::Skip => self.put(context, last, action),
            Action::Enter(_) => return Err(conflict(outer.len())),
            Action::Shared(index) => self.shared[usize::from(index)].push(action),
            first => {
                self.shared.push(vec![first, action]);
                let shared = Action::Shared((self.shared.len() - 1) as u16);
                let children = &mut self.contexts[usize::from(context)].children;
                children.iter_mut().filter(|(name, _)| **name == *last.as_bytes()).for_each(|(_, it)| *it = shared);
            }
        }
        Ok(())
    }

    fn put(&mut self, context: u16, key: &str, action: Action) {
        self.contexts[usize::from(context)].children.push((key.as_bytes().into(), action));
    }
}
