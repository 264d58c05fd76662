//! Silences: of which alerts somebody wants to hear nothing, from when until when, and why.
//!
//! Semantics are Alertmanager's, because that is what people's tools expect: a silence is in force from its start to its
//! end, on the wall clock, and hides every alert that all its matchers match. Its past is not rewritten: other matchers,
//! or another start of one that is in force, make a new silence under another id, and the old one ends at once. The alerts
//! themselves are none of its business; what hiding one means is decided in [`super::group`].
//!
//! [`Wish`] is what somebody asked for, checked by itself; [`Silences`] is the book they all stand in, and says of a wish
//! whether it can be had now. The book reads no clock: [`Silences::settle`] tells what began and what ended by `now`, and
//! [`Silences::next_change`] when to ask again.
//!
//! - `U1` a silence is pending, then active, then expired, and never goes back
//! - `U2` what began and has not ended, as [`Silences::settle`] told it, is exactly what is active at the time it was asked
//! - `U3` the book holds at most [`SILENCES_MAX`]; one that has not expired is never forgotten

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::matcher::Matcher;
use crate::model::{Labels, Millis, WallTime};

/// Silences kept at once, expired ones included. Beyond it the one that expired first makes room; where none has expired,
/// a new one is refused as [`SilenceRefused::TooMany`].
pub const SILENCES_MAX: usize = 1_000;

/// How long an expired silence is still shown.
pub const EXPIRED_KEPT: Millis = Millis::from_secs(5 * 24 * 60 * 60);

/// Matchers of one silence. One with more is refused as [`WishError::TooManyMatchers`].
pub const MATCHERS_MAX: usize = 32;

/// Bytes of one matcher's name and value. A longer one is refused as [`WishError::MatcherTooLong`].
pub const MATCHER_BYTES_MAX: usize = 1_024;

/// Bytes of a comment. A longer one is refused as [`WishError::TextTooLong`].
pub const COMMENT_BYTES_MAX: usize = 4_096;

/// Bytes of the name of who made it. A longer one is refused as [`WishError::TextTooLong`].
pub const CREATED_BY_BYTES_MAX: usize = 256;

/// A silence's name for ever. Written as a UUID, which is what Alertmanager's tools hold it for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(u128);

impl SilenceId {
    /// From bits that nobody else has: randomness is handed in.
    pub const fn of(bits: u128) -> SilenceId {
        // The version and the variant of a random UUID.
        SilenceId(bits & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48))
    }
}

/// `f81d4fae-7dec-41d0-a765-00a0c91e6bf6`
impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a silence; ids look like `f81d4fae-7dec-41d0-a765-00a0c91e6bf6`")]
pub struct SilenceIdError(String);

impl FromStr for SilenceId {
    type Err = SilenceIdError;

    fn from_str(text: &str) -> Result<SilenceId, SilenceIdError> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let read = u128::from_str_radix(&digits, 16).map(SilenceId).ok();
        read.filter(|id| id.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| SilenceIdError(text.to_owned()))
    }
}

/// As text: numbers of this size have no place in JSON.
impl Serialize for SilenceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SilenceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a silence stands (`U1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilenceState {
    Pending,
    Active,
    Expired,
}

impl SilenceState {
    pub const ALL: [SilenceState; 3] = [SilenceState::Pending, SilenceState::Active, SilenceState::Expired];

    pub const fn name(self) -> &'static str {
        match self {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: SilenceId,
    /// All must match. At least one, in the order of [`Matcher`].
    pub matchers: Vec<Matcher>,
    pub starts_at: WallTime,
    /// Exclusive.
    pub ends_at: WallTime,
    pub created_by: Arc<str>,
    pub comment: Arc<str>,
    pub updated_at: WallTime,
}

impl Silence {
    pub fn state(&self, now: WallTime) -> SilenceState {
        match now {
            _ if now >= self.ends_at => SilenceState::Expired,
            _ if now >= self.starts_at => SilenceState::Active,
            _ => SilenceState::Pending,
        }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// When it next begins, ends or is forgotten.
    fn next_change(&self, now: WallTime) -> WallTime {
        match self.state(now) {
            SilenceState::Pending => self.starts_at,
            SilenceState::Active => self.ends_at,
            SilenceState::Expired => self.ends_at + EXPIRED_KEPT,
        }
    }
}

/// `{service="checkout"} until 2026-01-01T12:00:00Z, by ada: deploy`
impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(Matcher::to_string).collect();
        write!(f, "{{{}}} ", matchers.join(", "))?;
        if self.starts_at > self.updated_at {
            write!(f, "from {} ", self.starts_at)?;
        }
        write!(f, "until {}, by {}", self.ends_at, self.created_by)?;
        match self.comment.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.comment),
        }
    }
}

/// Why a wish cannot be had, whatever the time and the other silences.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    #[error("a silence needs at least one matcher; write `service=\"checkout\"`")]
    NoMatchers,
    #[error("a silence has at most {MATCHERS_MAX} matchers, not {0}; write some as one with `=~`")]
    TooManyMatchers(usize),
    #[error("the matcher of label `{label}` is longer than {MATCHER_BYTES_MAX} bytes")]
    MatcherTooLong { label: String },
    #[error(
        "every matcher also matches alerts without its label, so this would hide everything; add one that does not"
    )]
    MatchesEverything,
    #[error("`{field}` is longer than {max} bytes")]
    TextTooLong { field: &'static str, max: usize },
    #[error("`createdBy` is empty; say who wants this")]
    Nobody,
    #[error("it ends at {ends_at}, which is not after its start at {starts_at}")]
    EndsBeforeStart { starts_at: WallTime, ends_at: WallTime },
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The silence to change; `None` for a new one.
    id: Option<SilenceId>,
    matchers: Vec<Matcher>,
    /// `None`: now, or when the one that is changed began.
    starts_at: Option<WallTime>,
    ends_at: WallTime,
    created_by: Arc<str>,
    comment: Arc<str>,
}

impl Wish {
    /// # Errors
    /// It is out of bounds, or makes no sense.
    pub fn new(
        mut matchers: Vec<Matcher>,
        (starts_at, ends_at): (Option<WallTime>, WallTime),
        created_by: &str,
        comment: &str,
    ) -> Result<Wish, WishError> {
        if matchers.is_empty() {
            return Err(WishError::NoMatchers);
        }
        if matchers.len() > MATCHERS_MAX {
            return Err(WishError::TooManyMatchers(matchers.len()));
        }
        if let Some(long) = matchers.iter().find(|m| m.name().len() + m.value().len() > MATCHER_BYTES_MAX) {
            let label = long.name().chars().take(80).collect();
            return Err(WishError::MatcherTooLong { label });
        }
        if matchers.iter().all(|matcher| matcher.matches(&Labels::default())) {
            return Err(WishError::MatchesEverything);
        }
        let texts = [("comment", comment, COMMENT_BYTES_MAX), ("createdBy", created_by, CREATED_BY_BYTES_MAX)];
        if let Some((field, _, max)) = texts.into_iter().find(|(_, text, max)| text.len() > *max) {
            return Err(WishError::TextTooLong { field, max });
        }
        if created_by.trim().is_empty() {
            return Err(WishError::Nobody);
        }
        if let Some(starts_at) = starts_at.filter(|starts_at| ends_at <= *starts_at) {
            return Err(WishError::EndsBeforeStart { starts_at, ends_at });
        }
        matchers.sort();
        matchers.dedup();
        let (created_by, comment) = (created_by.trim().into(), comment.trim().into());
        Ok(Wish { id: None, matchers, starts_at, ends_at, created_by, comment })
    }

    /// Changes this silence, in place of making one.
    pub fn instead_of(self, id: SilenceId) -> Wish {
        Wish { id: Some(id), ..self }
    }

    pub fn created_by(&self) -> &Arc<str> {
        &self.created_by
    }
}

/// Why a wish cannot be had now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "refused")]
pub enum SilenceRefused {
    #[error("there is no silence {id}; expired ones are forgotten after {EXPIRED_KEPT}")]
    Unknown { id: SilenceId },
    #[error("it would end at {ends_at}, and it is {now} already")]
    EndsInPast { ends_at: WallTime, now: WallTime },
    #[error("it would end at {ends_at}, which is not after its start at {starts_at}")]
    EndsBeforeStart { starts_at: WallTime, ends_at: WallTime },
    #[error("there are {max} silences, and none has expired; expire some first")]
    TooMany { max: usize },
}

/// What was done to the book.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "done")]
pub enum Done {
    Created {
        silence: Arc<Silence>,
    },
    /// The same silence, with another end, comment or owner; or another start, where it had not begun.
    Changed {
        before: Arc<Silence>,
        silence: Arc<Silence>,
    },
    /// What was asked for would rewrite the past, so that `before` was expired and another made.
    Replaced {
        before: Arc<Silence>,
        silence: Arc<Silence>,
    },
    Expired {
        silence: Arc<Silence>,
    },
    /// It was over before.
    AlreadyExpired {
        silence: Arc<Silence>,
    },
}

impl Done {
    /// The silence as it is now.
    pub const fn silence(&self) -> &Arc<Silence> {
        match self {
            Done::Created { silence }
            | Done::Changed { silence, .. }
            | Done::Replaced { silence, .. }
            | Done::Expired { silence }
            | Done::AlreadyExpired { silence } => silence,
        }
    }

    /// What was done, in a stable word.
    pub const fn name(&self) -> &'static str {
        match self {
            Done::Created { .. } => "silence_created",
            Done::Changed { .. } => "silence_changed",
            Done::Replaced { .. } => "silence_replaced",
            Done::Expired { .. } => "silence_expired",
            Done::AlreadyExpired { .. } => "silence_expired_before",
        }
    }
}

/// To what, and what changed: `{service="a"} until …, by ada (before: until …)`
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silence = self.silence();
        write!(f, "{} {silence}", silence.id)?;
        match self {
            Done::Changed { before, .. } => write!(f, " (before: {before})"),
            Done::Replaced { before, .. } => write!(f, " (in place of {} {before})", before.id),
            Done::Created { .. } | Done::Expired { .. } | Done::AlreadyExpired { .. } => Ok(()),
        }
    }
}

/// What the clock did to a silence.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    Began(Arc<Silence>),
    Ended(Arc<Silence>),
}

/// All silences there are.
#[derive(Debug, Default)]
pub struct Silences {
    all: BTreeMap<SilenceId, Arc<Silence>>,
    in_force: BTreeSet<SilenceId>,
    /// When [`Silences::settle`] has something to do next.
    next: Option<WallTime>,
}

impl Silences {
    /// Goes on with those of another book, as they stood at `now`.
    pub fn restore(silences: Vec<Arc<Silence>>, now: WallTime) -> Silences {
        let active = silences.iter().filter(|silence| silence.state(now) == SilenceState::Active);
        let in_force = active.map(|silence| silence.id).collect();
        let mut book = Silences { all: BTreeMap::new(), in_force, next: None };
        book.all.extend(silences.into_iter().map(|silence| (silence.id, silence)));
        book.plan(now);
        book
    }

    /// All, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Silence>> {
        self.all.values()
    }

    pub fn get(&self, id: SilenceId) -> Option<&Arc<Silence>> {
        self.all.get(&id)
    }

    /// The silence that hides an alert of these labels: of those in force the one that does so for longest.
    pub fn hiding(&self, labels: &Labels) -> Option<&Arc<Silence>> {
        let in_force = self.in_force.iter().filter_map(|id| self.all.get(id));
        in_force.filter(|silence| silence.matches(labels)).max_by_key(|silence| (silence.ends_at, silence.id))
    }

    /// When a silence next begins, ends or is forgotten. May lie in the past.
    pub fn next_change(&self) -> Option<WallTime> {
        self.next
    }

    /// Makes or changes a silence. `fresh` is the id of one that has to be made. [`Silences::settle`] must follow.
    ///
    /// # Errors
    /// It cannot be had now; nothing has changed.
    pub fn set(&mut self, wish: Wish, fresh: SilenceId, now: WallTime) -> Result<Done, SilenceRefused> {
        let before = match wish.id {
            Some(id) => Some(self.all.get(&id).ok_or(SilenceRefused::Unknown { id })?.clone()),
            None => None,
        };
        let Wish { matchers, ends_at, created_by, comment, .. } = wish;
        if ends_at <= now {
            return Err(SilenceRefused::EndsInPast { ends_at, now });
        }
        let going_on = before.as_ref().filter(|before| before.state(now) != SilenceState::Expired);
        let starts_at = wish.starts_at.or(going_on.map(|before| before.starts_at)).unwrap_or(now);
        if ends_at <= starts_at {
            return Err(SilenceRefused::EndsBeforeStart { starts_at, ends_at });
        }
        let silence = Silence { id: fresh, matchers, starts_at, ends_at, created_by, comment, updated_at: now };
        match before {
            Some(before) if leaves_the_past(&before, &silence, now) => {
                let silence = self.put(Silence { id: before.id, ..silence });
                Ok(Done::Changed { before, silence })
            }
            before => {
                self.make_room(now)?;
                let silence = self.put(Silence { starts_at: starts_at.max(now), ..silence });
                Ok(match before {
                    None => Done::Created { silence },
                    Some(before) => Done::Replaced { before: self.end(before, now), silence },
                })
            }
        }
    }

    /// Takes a silence over from another book, unless this one knows something newer of it, or is full. [`Silences::settle`]
    /// must follow.
    pub fn learn(&mut self, silence: &Silence, now: WallTime) {
        let known = self.all.get(&silence.id).map(|known| known.updated_at);
        let newer = known.is_none_or(|known| known < silence.updated_at);
        if newer && (known.is_some() || self.make_room(now).is_ok()) {
            self.put(silence.clone());
        }
    }

    /// Ends a silence now. [`Silences::settle`] must follow.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn expire(&mut self, id: SilenceId, now: WallTime) -> Result<Done, SilenceRefused> {
        let silence = self.all.get(&id).ok_or(SilenceRefused::Unknown { id })?.clone();
        Ok(match silence.state(now) {
            SilenceState::Expired => Done::AlreadyExpired { silence },
            _ => Done::Expired { silence: self.end(silence, now) },
        })
    }

    /// What began and what ended by `now`, beginnings first: what is still hidden by another is never shown in between.
    pub fn settle(&mut self, now: WallTime) -> Vec<Turn> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let active = |silence: &Silence| silence.state(now) == SilenceState::Active;
        let (mut began, mut ended) = (Vec::new(), Vec::new());
        for silence in self.all.values() {
            match (active(silence), self.in_force.contains(&silence.id)) {
                (true, false) => began.push(Turn::Began(silence.clone())),
                (false, true) => ended.push(Turn::Ended(silence.clone())),
                _ => {}
            }
        }
        self.all.retain(|_, silence| now < silence.ends_at + EXPIRED_KEPT);
        self.in_force = self.all.values().filter(|silence| active(silence)).map(|silence| silence.id).collect();
        self.plan(now);
        began.append(&mut ended);
        began
    }

    fn plan(&mut self, now: WallTime) {
        self.next = self.all.values().map(|silence| silence.next_change(now)).min();
    }

    fn put(&mut self, silence: Silence) -> Arc<Silence> {
        let silence = Arc::new(silence);
        self.all.insert(silence.id, silence.clone());
        self.next = Some(WallTime::MIN);
        silence
    }

    fn end(&mut self, silence: Arc<Silence>, now: WallTime) -> Arc<Silence> {
        if silence.state(now) == SilenceState::Expired {
            return silence;
        }
        let starts_at = silence.starts_at.min(now);
        self.put(Silence { starts_at, ends_at: now, updated_at: now, ..Silence::clone(&silence) })
    }

    /// `U3`
    fn make_room(&mut self, now: WallTime) -> Result<(), SilenceRefused> {
        if self.all.len() < SILENCES_MAX {
            return Ok(());
        }
        let told = |silence: &Silence| !self.in_force.contains(&silence.id);
        let expired = self.all.values().filter(|silence| silence.state(now) == SilenceState::Expired && told(silence));
        let oldest = expired.min_by_key(|silence| (silence.ends_at, silence.id)).map(|silence| silence.id);
        let oldest = oldest.ok_or(SilenceRefused::TooMany { max: SILENCES_MAX })?;
        self.all.remove(&oldest);
        Ok(())
    }
}

/// Whether `before` can become `after` without saying anything else of what was hidden until `now`.
fn leaves_the_past(before: &Silence, after: &Silence, now: WallTime) -> bool {
    before.matchers == after.matchers
        && match before.state(now) {
            SilenceState::Pending => after.starts_at >= now,
            SilenceState::Active => after.starts_at.0.div_euclid(1_000) == before.starts_at.0.div_euclid(1_000),
            SilenceState::Expired => false,
        }
}

#[cfg(test)]
mod tests;
