//! Every reason for which an event, a value or a group is not taken. A closed list: each has a stable name (a metric
//! label, a header of dead letters), a sentence for people, and a scope that says what was lost.

use std::fmt;

macro_rules! refusals {
    ($( $variant:ident, $name:literal, $scope:ident, $text:literal; )*) => {
        /// Small and `Copy`: the hot path counts refusals, it does not build strings for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Refusal {
            $( #[doc = $text] $variant, )*
        }

        impl Refusal {
            pub const ALL: &'static [Refusal] = &[$( Refusal::$variant, )*];

            /// The stable name: the `reason` label of `foghorn_refused_total`, the `foghorn.reason` header of dead letters.
            pub const fn name(self) -> &'static str {
                match self { $( Refusal::$variant => $name, )* }
            }

            /// What it means, for people.
            pub const fn text(self) -> &'static str {
                match self { $( Refusal::$variant => $text, )* }
            }

            /// What is lost by it.
            pub const fn scope(self) -> Scope {
                match self { $( Refusal::$variant => Scope::$scope, )* }
            }
        }
    };
}

/// How much a refusal costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole record, and it may go to the dead-letter topic.
    Record,
    /// One event of a record. It goes to the dead-letter topic with its whole record when it could not be decoded.
    Event,
    /// One event, refused for its time: well-formed, so never a dead letter.
    Time,
    /// One value of an event; its other values count.
    Value,
    /// The event for one rule; other rules take it.
    Rule,
}

refusals! {
    RecordTooLarge, "record_too_large", Record, "the record is larger than the stream's `record_bytes_max`";
    TooManyEvents, "too_many_events", Record, "the record holds more events than the stream's `events_per_record_max`";
    NotUtf8, "not_utf8", Event, "the text is not valid UTF-8";
    Malformed, "malformed", Event, "the bytes are not what the stream's format says";
    TooDeep, "too_deep", Event, "the value is nested deeper than the stream's `depth_max`";
    NoMatch, "no_match", Event, "the line does not match the stream's pattern";
    WrongType, "wrong_type", Event, "a field holds another type than the stream declares";
    FieldTooLong, "field_too_long", Event, "a string field is longer than the stream's `field_bytes_max`";
    NoTime, "no_time", Event, "the event has no time where the stream declares it";
    BadTime, "bad_time", Event, "the event's time cannot be read in the stream's time format";
    Future, "future", Time, "the event's time is further ahead of the clock than the stream's `future_max`";
    Late, "late", Time, "the pane of the event's time was closed already: it is later than the stream's `lateness`";
    Negative, "negative", Value, "a negative value cannot go into a histogram";
    NotANumber, "not_a_number", Value, "NaN or infinity cannot be aggregated";
    TooManyGroups, "too_many_groups", Rule, "the rule has reached its limit of groups; new groups are not watched";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One counter per reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts([u64; Refusal::ALL.len()]);

impl RefusalCounts {
    pub fn add(&mut self, reason: Refusal, count: u64) {
        self.0[reason as usize] += count;
    }

    pub fn get(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub fn merge(&mut self, other: &RefusalCounts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().map(|reason| (*reason, self.get(*reason))).filter(|(_, count)| *count > 0)
    }
}
