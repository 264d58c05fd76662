//! Which records are asked for: the same words on the command line and in the API.
//!
//! Asking for an alert asks for its story, as the journal tells it: the records about it, and about the groups that such
//! an alert has joined, whoever else was in them. That is what "was I told?" needs; a delivery names groups, not alerts.

use std::str::FromStr;

use super::Kind;
use crate::model::{Millis, WallTime};

/// Records given back at once where nothing is said.
pub const LIMIT_DEFAULT: usize = 100;

/// … and at most, through the API.
pub const LIMIT_MAX: usize = 1_000;

/// Labels one question may name.
pub const LABELS_MAX: usize = 16;

/// What is asked for. The newest that match come back, at most `limit` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Not before.
    pub since: Option<WallTime>,
    /// Before.
    pub until: Option<WallTime>,
    /// The rule's name.
    pub alert: Option<String>,
    /// All of them.
    pub labels: Vec<(String, String)>,
    /// Any of them; empty for all.
    pub kinds: Vec<Kind>,
    /// Only what stands before this place: where the page before ended.
    pub before: Option<i64>,
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            since: None,
            until: None,
            alert: None,
            labels: Vec::new(),
            kinds: Vec::new(),
            before: None,
            limit: LIMIT_DEFAULT,
        }
    }
}

/// Why a question makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("unknown parameter `{0}`; there are: since, until, alert, label, kind, limit, cursor")]
    Parameter(String),
    #[error(
        "`{0}` is no point in time; write RFC 3339 such as `2026-03-01T12:00:00Z`, seconds since 1970, or how long ago, such as `2h`"
    )]
    Moment(String),
    #[error("`{0}` is no label; write `name=value`")]
    Label(String),
    #[error("more than {LABELS_MAX} labels")]
    TooManyLabels,
    #[error("unknown kind `{0}`; there are: alert, delivery, rules, operator, run, partition")]
    Kind(String),
    #[error("`{0}` is no limit; write a number from 1 to {LIMIT_MAX}")]
    Limit(String),
    #[error("`{0}` is no cursor; use `next` of the answer before")]
    Cursor(String),
}

impl Filter {
    /// From a query string's pairs; `label` and `kind` may be repeated. What is empty is not asked.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: WallTime,
    ) -> Result<Filter, FilterError> {
        let mut filter = Filter::default();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name {
                "since" => filter.since = Some(moment(value, now)?),
                "until" => filter.until = Some(moment(value, now)?),
                "alert" => filter.alert = Some(value.to_owned()),
                "label" => filter.add_label(value)?,
                "kind" => filter.kinds.extend(kinds(value)?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    filter.limit = limit.ok_or_else(|| FilterError::Limit(value.to_owned()))?;
                }
                "cursor" => {
                    filter.before = Some(value.parse().map_err(|_| FilterError::Cursor(value.to_owned()))?);
                }
                _ => return Err(FilterError::Parameter(name.to_owned())),
            }
        }
        Ok(filter)
    }

    /// `name=value`
    pub fn add_label(&mut self, text: &str) -> Result<(), FilterError> {
        let (name, value) = text.split_once('=').ok_or_else(|| FilterError::Label(text.to_owned()))?;
        if self.labels.len() == LABELS_MAX {
            return Err(FilterError::TooManyLabels);
        }
        self.labels.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Whether it asks for an alert, and so for its story.
    pub fn is_story(&self) -> bool {
        self.alert.is_some() || !self.labels.is_empty()
    }
}

/// `alert,delivery`
pub fn kinds(text: &str) -> Result<Vec<Kind>, FilterError> {
    let kind = |name: &str| Kind::named(name).ok_or_else(|| FilterError::Kind(name.to_owned()));
    text.split(',').map(|name| kind(name.trim())).collect()
}

/// RFC 3339, seconds since 1970, or how long before `now`.
pub fn moment(text: &str, now: WallTime) -> Result<WallTime, FilterError> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Ok(WallTime(stamp.as_millisecond()));
    }
    if let Ok(ago) = Millis::from_str(text) {
        return Ok(now - ago);
    }
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() < 1e12 => Ok(WallTime((seconds * 1e3) as i64)),
        _ => Err(FilterError::Moment(text.to_owned())),
    }
}
