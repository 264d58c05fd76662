// stub
use crate::model::{position::{Position, SourceId}, schema::StreamSchema, time::*};
#[derive(Clone, Debug)]
pub struct SourceStatus { pub source: SourceId, pub watermark: Option<EventTime>, pub newest: Option<EventTime>, pub idle: bool, pub at_end: bool, pub late: u64 }
pub enum Seen { Timely, Behind(EventTime), Future }
struct S { source: SourceId, max: EventTime, offset: i64, ended: bool, gone: bool }
pub struct Watermarks { lateness: Millis, future: Millis, s: Vec<S>, e: Option<EventTime>, l: Option<EventTime> }
impl Watermarks {
    pub fn new(schema: &StreamSchema) -> Self { Watermarks { lateness: schema.lateness, future: schema.future_max, s: vec![], e: None, l: None } }
    pub fn add(&mut self, source: &SourceId) -> usize { if let Some(i) = self.s.iter().position(|s| s.source == *source) { self.s[i].gone = false; return i; } self.s.push(S { source: source.clone(), max: EventTime::MIN, offset: -1, ended: false, gone: false }); self.s.len() - 1 }
    pub fn remove(&mut self, source: &SourceId) { for s in &mut self.s { if s.source == *source { s.gone = true; } } }
    pub fn end(&mut self, source: &SourceId) { for s in &mut self.s { if s.source == *source { s.ended = true; } } }
    pub fn at_end(&mut self, _source: &SourceId, _now: Option<WallTime>) {}
    pub fn on_wall(&mut self, _now: WallTime) {}
    pub fn watermark(&self) -> EventTime { self.s.iter().filter(|s| !s.ended && !s.gone).map(|s| if s.max == EventTime::MIN { s.max } else { s.max - self.lateness }).min().unwrap_or(EventTime::MAX) }
    pub fn newest(&self, source: &SourceId) -> Option<EventTime> { self.s.iter().find(|s| s.source == *source).map(|s| s.max) }
    pub fn earliest(&self) -> Option<EventTime> { self.e }
    pub fn latest(&self) -> Option<EventTime> { self.l }
    pub fn statuses(&self) -> Vec<SourceStatus> { vec![] }
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ { self.s.iter().map(|s| Position { source: s.source.clone(), offset: s.offset + 1 }) }
    pub fn advance_offset(&mut self, i: usize, offset: i64) -> bool { if offset <= self.s[i].offset { return false; } self.s[i].offset = offset; true }
    pub fn observe(&mut self, i: usize, at: EventTime, now: Option<WallTime>) -> Seen {
        if now.is_some_and(|n| at.0 > n.0 + self.future.0) { return Seen::Future; }
        let wm = if self.s[i].max == EventTime::MIN { EventTime::MIN } else { self.s[i].max - self.lateness };
        let r = if at < wm { Seen::Behind(wm) } else { Seen::Timely };
        self.s[i].max = self.s[i].max.max(at);
        self.e = Some(self.e.map_or(at, |e| e.min(at))); self.l = Some(self.l.map_or(at, |e| e.max(at)));
        r
    }
}
