//! How long a condition must hold: verdicts of one group, tick by tick, become pending, firing and resolved.
//!
//! The clock is event time, the tick's. `for` and `keep_firing_for` mean what they mean in Prometheus; what Prometheus
//! has no word for is *unknown*:
//!
//! - `H1` an episode fires at the first breach that is at least `for` after the breach that began it, with no normal
//!   verdict in between. `for: 0` fires with that breach.
//! - `H2` unknown changes nothing: it does not fire, resolve, drop, begin or restart anything. The clock goes on, since
//!   `for` is measured between breaches: a pending group that was unknown for a while and then breaches again fires if
//!   `for` is over by then. The other way, counting only the known time, would make each gap in the data delay the
//!   page; restarting would let a flapping source hold it off for ever. Firing *on* an unknown is what must not be.
//! - `H3` what fires stays firing (or easing) until it resolves; it never goes back to pending.
//! - `H4` `keep_firing_for` counts from the first normal verdict after a breach; a breach within it goes on with the same
//!   episode. It resolves with a normal verdict, not with an unknown one.
//! - `H5` the state and the verdicts determine everything: a replay gives the same transitions.

use serde::{Deserialize, Serialize};

use crate::model::signal::{ResolvedBecause, Transition, Verdict};
use crate::model::time::{EventTime, Millis};

/// A rule's `for` and `keep_firing_for`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldPolicy {
    pub for_: Millis,
    pub keep_firing_for: Millis,
}

/// Where one group of a rule stands. Part of checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Hold {
    #[default]
    Clear,
    Pending {
        /// The tick of the first breach.
        since: EventTime,
    },
    Firing {
        since: EventTime,
        /// The tick it began to fire: names the episode.
        fired_at: EventTime,
    },
    /// Firing still, for `keep_firing_for`.
    Easing {
        since: EventTime,
        fired_at: EventTime,
        /// The tick of the first normal verdict.
        quiet_since: EventTime,
    },
}

impl Hold {
    /// One tick. The transition is what the desk is told; `None` where nothing is new to it.
    #[must_use]
    pub fn step(self, verdict: Verdict, at: EventTime, policy: HoldPolicy) -> (Hold, Option<Transition>) {
        match (self, verdict) {
            (state, Verdict::Unknown(_)) => (state, None),
            (Hold::Clear, Verdict::Normal) => (Hold::Clear, None),
            (Hold::Clear, Verdict::Breach) => policy.promote(at, at, Transition::Pending),
            (Hold::Pending { since }, Verdict::Breach) => policy.promote(since, at, Transition::Refreshed),
            (Hold::Pending { .. }, Verdict::Normal) => (Hold::Clear, Some(Transition::Dropped)),
            (Hold::Firing { since, fired_at } | Hold::Easing { since, fired_at, .. }, Verdict::Breach) => {
                (Hold::Firing { since, fired_at }, Some(Transition::Refreshed))
            }
            (Hold::Firing { since, fired_at }, Verdict::Normal) => policy.ease(since, fired_at, at, at),
            (Hold::Easing { since, fired_at, quiet_since }, Verdict::Normal) => {
                policy.ease(since, fired_at, quiet_since, at)
            }
        }
    }

    /// Ends whatever is under way for a reason other than the verdict: the group expired, the rule was removed.
    #[must_use]
    pub fn end(self, because: ResolvedBecause) -> (Hold, Option<Transition>) {
        let transition = match self {
            Hold::Clear => None,
            Hold::Pending { .. } => Some(Transition::Dropped),
            Hold::Firing { .. } | Hold::Easing { .. } => Some(Transition::Resolved(because)),
        };
        (Hold::Clear, transition)
    }

    /// Since when the condition holds, while it is pending or firing: `active_since` of signals.
    pub fn active_since(self) -> Option<EventTime> {
        match self {
            Hold::Clear => None,
            Hold::Pending { since } | Hold::Firing { since, .. } | Hold::Easing { since, .. } => Some(since),
        }
    }

    /// When the episode began to fire, while it fires: `fired_at` of signals.
    pub fn fired_at(self) -> Option<EventTime> {
        match self {
            Hold::Clear | Hold::Pending { .. } => None,
            Hold::Firing { fired_at, .. } | Hold::Easing { fired_at, .. } => Some(fired_at),
        }
    }

    pub fn is_clear(self) -> bool {
        self == Hold::Clear
    }

    pub fn is_firing(self) -> bool {
        self.fired_at().is_some()
    }
}

impl HoldPolicy {
    /// A breach while pending, or the first: fires where `for` is over, `otherwise` is what is said where it is not.
    fn promote(self, since: EventTime, at: EventTime, otherwise: Transition) -> (Hold, Option<Transition>) {
        if at.since(since) >= self.for_ {
            return (Hold::Firing { since, fired_at: at }, Some(Transition::Firing));
        }
        (Hold::Pending { since }, Some(otherwise))
    }

    /// A normal verdict while firing: resolves where `keep_firing_for` is over. The desk is not told of easing: for it the
    /// alert fires, and its last evidence is that of the last breach.
    fn ease(
        self,
        since: EventTime,
        fired_at: EventTime,
        quiet_since: EventTime,
        at: EventTime,
    ) -> (Hold, Option<Transition>) {
        if at.since(quiet_since) >= self.keep_firing_for {
            return (Hold::Clear, Some(Transition::Resolved(ResolvedBecause::Normal)));
        }
        (Hold::Easing { since, fired_at, quiet_since }, None)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::model::signal::UnknownReason;

    const UNKNOWN: Verdict = Verdict::Unknown(UnknownReason::NoData);

    fn policy(for_: i64, keep_firing_for: i64) -> HoldPolicy {
        HoldPolicy { for_: Millis::from_secs(for_), keep_firing_for: Millis::from_secs(keep_firing_for) }
    }

    fn show(state: Hold) -> String {
        let s = |at: EventTime| at.0 / 1000;
        match state {
            Hold::Clear => "clear".into(),
            Hold::Pending { since } => format!("pending(since {})", s(since)),
            Hold::Firing { since, fired_at } => format!("firing(since {}, fired {})", s(since), s(fired_at)),
            Hold::Easing { since, fired_at, quiet_since } => {
                format!("easing(since {}, fired {}, quiet {})", s(since), s(fired_at), s(quiet_since))
            }
        }
    }

    fn said(transition: Option<Transition>) -> String {
        transition.map_or("-".into(), |transition| format!("{transition:?}"))
    }

    /// A story: one letter a tick of ten seconds (B breach, n normal, ? unknown), and the answer to each.
    fn check(policy: HoldPolicy, story: &str, expect: Expect) {
        let mut state = Hold::Clear;
        let mut out = format!("for {}, keep_firing_for {}\n", policy.for_, policy.keep_firing_for);
        for (tick, letter) in story.chars().enumerate() {
            let at = EventTime(tick as i64 * 10_000);
            let verdict = match letter {
                'B' => Verdict::Breach,
                'n' => Verdict::Normal,
                _ => UNKNOWN,
            };
            let (next, transition) = state.step(verdict, at, policy);
            state = next;
            writeln!(out, "{:>4} {letter} {:<18} {}", at.0 / 1000, said(transition), show(state)).unwrap();
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn each_state_meets_each_verdict_under_each_policy() {
        let t = |secs: i64| EventTime(secs * 1000);
        let states = [
            Hold::Clear,
            Hold::Pending { since: t(50) },
            Hold::Pending { since: t(70) },
            Hold::Firing { since: t(40), fired_at: t(70) },
            Hold::Easing { since: t(40), fired_at: t(60), quiet_since: t(50) },
            Hold::Easing { since: t(40), fired_at: t(60), quiet_since: t(70) },
        ];
        let mut table = String::new();
        for policy in [policy(0, 0), policy(40, 0), policy(0, 40), policy(40, 40)] {
            writeln!(table, "at 100, for {}, keep_firing_for {}", policy.for_, policy.keep_firing_for).unwrap();
            for state in states {
                for (name, verdict) in [("breach", Verdict::Breach), ("normal", Verdict::Normal), ("unknown", UNKNOWN)]
                {
                    let (next, transition) = state.step(verdict, t(100), policy);
                    let (from, to) = (show(state), show(next));
                    writeln!(table, "  {from:<38} {name:<8} {:<18} {to}", said(transition)).unwrap();
                }
                let (next, transition) = state.end(ResolvedBecause::Expired);
                writeln!(table, "  {:<38} expired  {:<18} {}", show(state), said(transition), show(next)).unwrap();
            }
        }
        expect![[r#"
            at 100, for 0s, keep_firing_for 0s
              clear                                  breach   Firing             firing(since 100, fired 100)
              clear                                  normal   -                  clear
              clear                                  unknown  -                  clear
              clear                                  expired  -                  clear
              pending(since 50)                      breach   Firing             firing(since 50, fired 100)
              pending(since 50)                      normal   Dropped            clear
              pending(since 50)                      unknown  -                  pending(since 50)
              pending(since 50)                      expired  Dropped            clear
              pending(since 70)                      breach   Firing             firing(since 70, fired 100)
              pending(since 70)                      normal   Dropped            clear
              pending(since 70)                      unknown  -                  pending(since 70)
              pending(since 70)                      expired  Dropped            clear
              firing(since 40, fired 70)             breach   Refreshed          firing(since 40, fired 70)
              firing(since 40, fired 70)             normal   Resolved(Normal)   clear
              firing(since 40, fired 70)             unknown  -                  firing(since 40, fired 70)
              firing(since 40, fired 70)             expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 50)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 50)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 50)   unknown  -                  easing(since 40, fired 60, quiet 50)
              easing(since 40, fired 60, quiet 50)   expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 70)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 70)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 70)   unknown  -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   expired  Resolved(Expired)  clear
            at 100, for 40s, keep_firing_for 0s
              clear                                  breach   Pending            pending(since 100)
              clear                                  normal   -                  clear
              clear                                  unknown  -                  clear
              clear                                  expired  -                  clear
              pending(since 50)                      breach   Firing             firing(since 50, fired 100)
              pending(since 50)                      normal   Dropped            clear
              pending(since 50)                      unknown  -                  pending(since 50)
              pending(since 50)                      expired  Dropped            clear
              pending(since 70)                      breach   Refreshed          pending(since 70)
              pending(since 70)                      normal   Dropped            clear
              pending(since 70)                      unknown  -                  pending(since 70)
              pending(since 70)                      expired  Dropped            clear
              firing(since 40, fired 70)             breach   Refreshed          firing(since 40, fired 70)
              firing(since 40, fired 70)             normal   Resolved(Normal)   clear
              firing(since 40, fired 70)             unknown  -                  firing(since 40, fired 70)
              firing(since 40, fired 70)             expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 50)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 50)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 50)   unknown  -                  easing(since 40, fired 60, quiet 50)
              easing(since 40, fired 60, quiet 50)   expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 70)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 70)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 70)   unknown  -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   expired  Resolved(Expired)  clear
            at 100, for 0s, keep_firing_for 40s
              clear                                  breach   Firing             firing(since 100, fired 100)
              clear                                  normal   -                  clear
              clear                                  unknown  -                  clear
              clear                                  expired  -                  clear
              pending(since 50)                      breach   Firing             firing(since 50, fired 100)
              pending(since 50)                      normal   Dropped            clear
              pending(since 50)                      unknown  -                  pending(since 50)
              pending(since 50)                      expired  Dropped            clear
              pending(since 70)                      breach   Firing             firing(since 70, fired 100)
              pending(since 70)                      normal   Dropped            clear
              pending(since 70)                      unknown  -                  pending(since 70)
              pending(since 70)                      expired  Dropped            clear
              firing(since 40, fired 70)             breach   Refreshed          firing(since 40, fired 70)
              firing(since 40, fired 70)             normal   -                  easing(since 40, fired 70, quiet 100)
              firing(since 40, fired 70)             unknown  -                  firing(since 40, fired 70)
              firing(since 40, fired 70)             expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 50)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 50)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 50)   unknown  -                  easing(since 40, fired 60, quiet 50)
              easing(since 40, fired 60, quiet 50)   expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 70)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 70)   normal   -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   unknown  -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   expired  Resolved(Expired)  clear
            at 100, for 40s, keep_firing_for 40s
              clear                                  breach   Pending            pending(since 100)
              clear                                  normal   -                  clear
              clear                                  unknown  -                  clear
              clear                                  expired  -                  clear
              pending(since 50)                      breach   Firing             firing(since 50, fired 100)
              pending(since 50)                      normal   Dropped            clear
              pending(since 50)                      unknown  -                  pending(since 50)
              pending(since 50)                      expired  Dropped            clear
              pending(since 70)                      breach   Refreshed          pending(since 70)
              pending(since 70)                      normal   Dropped            clear
              pending(since 70)                      unknown  -                  pending(since 70)
              pending(since 70)                      expired  Dropped            clear
              firing(since 40, fired 70)             breach   Refreshed          firing(since 40, fired 70)
              firing(since 40, fired 70)             normal   -                  easing(since 40, fired 70, quiet 100)
              firing(since 40, fired 70)             unknown  -                  firing(since 40, fired 70)
              firing(since 40, fired 70)             expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 50)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 50)   normal   Resolved(Normal)   clear
              easing(since 40, fired 60, quiet 50)   unknown  -                  easing(since 40, fired 60, quiet 50)
              easing(since 40, fired 60, quiet 50)   expired  Resolved(Expired)  clear
              easing(since 40, fired 60, quiet 70)   breach   Refreshed          firing(since 40, fired 60)
              easing(since 40, fired 60, quiet 70)   normal   -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   unknown  -                  easing(since 40, fired 60, quiet 70)
              easing(since 40, fired 60, quiet 70)   expired  Resolved(Expired)  clear
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_slow_service_pends_fires_and_resolves() {
        check(
            policy(20, 0),
            "nBBBBnn",
            expect![[r#"
            for 20s, keep_firing_for 0s
               0 n -                  clear
              10 B Pending            pending(since 10)
              20 B Refreshed          pending(since 10)
              30 B Firing             firing(since 10, fired 30)
              40 B Refreshed          firing(since 10, fired 30)
              50 n Resolved(Normal)   clear
              60 n -                  clear
        "#]],
        );
    }

    #[test]
    fn a_single_spike_is_dropped_and_the_next_one_starts_anew() {
        check(
            policy(20, 0),
            "BBnBBB",
            expect![[r#"
            for 20s, keep_firing_for 0s
               0 B Pending            pending(since 0)
              10 B Refreshed          pending(since 0)
              20 n Dropped            clear
              30 B Pending            pending(since 30)
              40 B Refreshed          pending(since 30)
              50 B Firing             firing(since 30, fired 50)
        "#]],
        );
    }

    #[test]
    fn without_for_the_first_breach_fires() {
        check(
            policy(0, 0),
            "BBn",
            expect![[r#"
            for 0s, keep_firing_for 0s
               0 B Firing             firing(since 0, fired 0)
              10 B Refreshed          firing(since 0, fired 0)
              20 n Resolved(Normal)   clear
        "#]],
        );
    }

    #[test]
    fn a_gap_in_the_data_neither_fires_nor_restarts_the_clock() {
        check(
            policy(30, 0),
            "B????B?n",
            expect![[r#"
            for 30s, keep_firing_for 0s
               0 B Pending            pending(since 0)
              10 ? -                  pending(since 0)
              20 ? -                  pending(since 0)
              30 ? -                  pending(since 0)
              40 ? -                  pending(since 0)
              50 B Firing             firing(since 0, fired 50)
              60 ? -                  firing(since 0, fired 50)
              70 n Resolved(Normal)   clear
        "#]],
        );
    }

    #[test]
    fn a_silent_source_never_resolves_what_fires() {
        check(
            policy(0, 0),
            "B????",
            expect![[r#"
            for 0s, keep_firing_for 0s
               0 B Firing             firing(since 0, fired 0)
              10 ? -                  firing(since 0, fired 0)
              20 ? -                  firing(since 0, fired 0)
              30 ? -                  firing(since 0, fired 0)
              40 ? -                  firing(since 0, fired 0)
        "#]],
        );
    }

    #[test]
    fn easing_bridges_short_quiet_spells_and_then_resolves() {
        check(
            policy(0, 30),
            "BnnBnnnnn",
            expect![[r#"
            for 0s, keep_firing_for 30s
               0 B Firing             firing(since 0, fired 0)
              10 n -                  easing(since 0, fired 0, quiet 10)
              20 n -                  easing(since 0, fired 0, quiet 10)
              30 B Refreshed          firing(since 0, fired 0)
              40 n -                  easing(since 0, fired 0, quiet 40)
              50 n -                  easing(since 0, fired 0, quiet 40)
              60 n -                  easing(since 0, fired 0, quiet 40)
              70 n Resolved(Normal)   clear
              80 n -                  clear
        "#]],
        );
    }

    #[test]
    fn easing_does_not_resolve_on_what_nobody_knows() {
        check(
            policy(0, 20),
            "Bn????n",
            expect![[r#"
            for 0s, keep_firing_for 20s
               0 B Firing             firing(since 0, fired 0)
              10 n -                  easing(since 0, fired 0, quiet 10)
              20 ? -                  easing(since 0, fired 0, quiet 10)
              30 ? -                  easing(since 0, fired 0, quiet 10)
              40 ? -                  easing(since 0, fired 0, quiet 10)
              50 ? -                  easing(since 0, fired 0, quiet 10)
              60 n Resolved(Normal)   clear
        "#]],
        );
    }

    #[test]
    fn keep_firing_for_has_no_say_before_it_fires() {
        check(
            policy(20, 60),
            "BBnB",
            expect![[r#"
            for 20s, keep_firing_for 1m
               0 B Pending            pending(since 0)
              10 B Refreshed          pending(since 0)
              20 n Dropped            clear
              30 B Pending            pending(since 30)
        "#]],
        );
    }

    #[test]
    fn a_state_survives_its_checkpoint() {
        let state = Hold::Easing { since: EventTime(1), fired_at: EventTime(2), quiet_since: EventTime(3) };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(text, r#"{"state":"easing","since":1,"fired_at":2,"quiet_since":3}"#);
        assert_eq!(serde_json::from_str::<Hold>(&text).unwrap(), state);
    }

    fn verdicts() -> impl Strategy<Value = Vec<(i64, Verdict)>> {
        let verdict = prop_oneof![3 => Just(Verdict::Breach), 2 => Just(Verdict::Normal), 2 => Just(UNKNOWN)];
        prop::collection::vec((1i64..60, verdict), 0..80)
    }

    fn run(policy: HoldPolicy, story: &[(i64, Verdict)]) -> Vec<(EventTime, Verdict, Hold, Option<Transition>)> {
        let mut at = EventTime(0);
        let mut state = Hold::Clear;
        let mut log = Vec::new();
        for (gap, verdict) in story {
            at = at + Millis::from_secs(*gap);
            let (next, transition) = state.step(*verdict, at, policy);
            state = next;
            log.push((at, *verdict, state, transition));
        }
        log
    }

    proptest! {
        /// `H1` against the definition: the fires-at ticks are found by looking back over the whole story.
        #[test]
        fn for_is_never_cut_short_and_never_missed(for_ in 0i64..120, story in verdicts()) {
            let policy = policy(for_, 0);
            let log = run(policy, &story);
            let mut firing = false;
            for (index, (at, verdict, _, transition)) in log.iter().enumerate() {
                let begun = log[..=index].iter().rev().take_while(|(_, verdict, ..)| *verdict != Verdict::Normal)
                    .filter(|(_, verdict, ..)| *verdict == Verdict::Breach).last();
                let due = *verdict == Verdict::Breach
                    && begun.is_some_and(|(since, ..)| at.since(*since) >= policy.for_);
                prop_assert_eq!(*transition == Some(Transition::Firing), due && !firing);
                firing = (firing || due) && *verdict != Verdict::Normal;
            }
        }

        /// `H2`, `H3`.
        #[test]
        fn unknown_changes_nothing_and_firing_never_goes_back(for_ in 0i64..90, keep in 0i64..90, story in verdicts()) {
            let mut before = Hold::Clear;
            for (_, verdict, state, transition) in run(policy(for_, keep), &story) {
                if matches!(verdict, Verdict::Unknown(_)) {
                    prop_assert_eq!((state, transition), (before, None));
                }
                let back = before.is_firing() && matches!(state, Hold::Pending { .. });
                prop_assert!(!back, "{:?} went back to {:?}", before, state);
                if before.is_firing() && state.is_firing() {
                    prop_assert_eq!(before.fired_at(), state.fired_at());
                }
                before = state;
            }
        }

        /// `H4`: it resolves only after `keep_firing_for` without a breach.
        #[test]
        fn it_resolves_only_when_quiet_for_long_enough(keep in 0i64..90, story in verdicts()) {
            let policy = policy(0, keep);
            let log = run(policy, &story);
            for (index, (at, verdict, _, transition)) in log.iter().enumerate() {
                if !matches!(transition, Some(Transition::Resolved(_))) {
                    continue;
                }
                prop_assert_eq!(*verdict, Verdict::Normal);
                let quiet = log[..=index].iter().rev().take_while(|(_, verdict, ..)| *verdict != Verdict::Breach)
                    .filter(|(_, verdict, ..)| *verdict == Verdict::Normal).last();
                prop_assert!(quiet.is_some_and(|(since, ..)| at.since(*since) >= policy.keep_firing_for));
            }
        }

        /// `H5`: splitting the story anywhere, with the state written out and read back, changes nothing.
        #[test]
        fn a_restart_in_the_middle_gives_the_same_story(for_ in 0i64..90, keep in 0i64..90, story in verdicts()) {
            let policy = policy(for_, keep);
            let mut at = EventTime(0);
            let mut state = Hold::Clear;
            for ((gap, verdict), whole) in story.iter().zip(run(policy, &story)) {
                let stored = serde_json::to_string(&state).unwrap();
                let restored: Hold = serde_json::from_str(&stored).unwrap();
                at = at + Millis::from_secs(*gap);
                let (next, transition) = restored.step(*verdict, at, policy);
                state = next;
                prop_assert_eq!((at, *verdict, state, transition), whole);
            }
        }
    }
}
