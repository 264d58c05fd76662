//! A clock that is never set back and never stands still.
//!
//! Timers are set on wall time, because they outlive the process. A wall clock that was wrong and is put right may go back
//! by an hour; a desk that waited for it to come to where it was would say nothing for that hour. So time goes on at the
//! pace of a clock that only counts, from wherever it was, and jumps forward only where the wall is ahead.
//!
//! - `Y1` a reading is never before an earlier one, nor before where the process before had come to
//! - `Y2` between two readings passes at least what has passed

use crate::model::time::{Millis, WallTime};

#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    last: WallTime,
    /// What the counting clock read then.
    counted: Millis,
}

impl SteadyClock {
    /// `from` is where time had come to; `counted` is what the counting clock reads now.
    pub fn new(from: WallTime, counted: Millis) -> SteadyClock {
        SteadyClock { last: from, counted }
    }

    /// What the wall says, and the clock that counts.
    pub fn read(&mut self, wall: WallTime, counted: Millis) -> WallTime {
        let passed = Millis((counted - self.counted).0.max(0));
        self.counted = counted;
        self.last = (self.last + passed).max(wall);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_goes_back_does_not_stop_time() {
        let mut clock = SteadyClock::new(WallTime::MIN, Millis(0));
        let mut read = |wall, counted| clock.read(WallTime(wall), Millis(counted)).0;
        assert_eq!(read(1_000, 10), 1_000);
        assert_eq!(read(1_050, 60), 1_050);
        assert_eq!(read(9_000, 70), 9_000, "set forward");
        assert_eq!(read(1_100, 80), 9_010, "set back: it goes on");
        assert_eq!(read(9_500, 90), 9_500);
    }
}
