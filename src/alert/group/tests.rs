use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

impl Group {
    /// `G1`, `G2`, `G3`, and that what is hidden is of the group.
    pub(crate) fn check(&self) {
        for leg in &self.legs {
            assert!(leg.shown.union(&leg.withheld).all(|id| leg.knows(*id)), "G1 in {}: {leg:?}", self.key);
            let news = self.seen().any(|id| !leg.shown.contains(&id));
            let untold = matches!(leg.state, LegState::Untold { .. } | LegState::Owed { .. });
            assert!(!news || untold || leg.changed_at.is_some(), "G3 in {}: {leg:?}", self.key);
        }
        let owed: BTreeSet<AlertId> =
            self.legs.iter().flat_map(|leg| leg.known.difference(&self.firing)).copied().collect();
        let ended: BTreeSet<AlertId> = self.ended.keys().copied().collect();
        assert_eq!(owed, ended, "G2 in {}", self.key);
        let known = |id: &AlertId| self.firing.contains(id) || self.ended.contains_key(id);
        assert!(self.hidden.keys().all(known), "{:?} is hidden, and not in {}", self.hidden, self.key);
    }
}

fn told(state: LegState, facts: Facts, send_resolved: bool) -> String {
    let manner = Manner { timing: Timing::DEFAULT, send_resolved, owed_max: Millis::from_secs(86_400) };
    let at = |text: &str| WallTime(text.parse::<Millis>().expect("a length").0);
    let mut said: Vec<String> = Vec::new();
    for time in ["10s", "30s", "5m", "5m10s", "5m30s", "4h", "1d"] {
        let decision = match judge(state, facts, manner, at(time)) {
            Flush::Send(why) => format!("send {why:?}"),
            Flush::Skip(SkipReason::OwedTooLong { .. }) => "skip OwedTooLong".into(),
            Flush::Skip(why) => format!("skip {why:?}"),
            Flush::Wait(why) => {
                let name = serde_json::to_value(why).expect("serialises")["wait"].as_str().map(str::to_owned);
                let until = why.until().map_or(String::new(), |until| format!(" till {}", Millis(until.0)));
                format!("{}{until}", name.expect("tagged"))
            }
        };
        match said.last() {
            Some(last) if last.ends_with(&decision) => {}
            _ => said.push(format!("{time}: {decision}")),
        }
    }
    said.join(", ")
}

fn check(send_resolved: bool, expect: Expect) {
    let t = WallTime(0);
    let states = [
        LegState::Quiet,
        LegState::Untold { since: t },
        LegState::Underway { flushed_at: t, sequence: 1 },
        LegState::Told { flushed_at: t, sequence: 1 },
        LegState::Owed { flushed_at: t, sequence: 1, retry_at: WallTime(310_000) },
    ];
    // All news is 10 s old at the first look, but for `late`, which comes just before the interval is over.
    let news = Facts { changed_at: Some(t), failing_since: Some(t), ever_told: true, ..Facts::default() };
    let hidden = Some(SilenceId::of(1));
    let facts = [
        ("fires as shown", Facts { firing: 2, changed_at: None, ..news }),
        ("one more", Facts { firing: 3, new: 1, ..news }),
        ("one more, late", Facts { firing: 3, new: 1, changed_at: Some(WallTime(299_000)), ..news }),
        ("one ended", Facts { firing: 1, gone: 1, owed_ends: 1, ..news }),
        ("all ended", Facts { gone: 2, owed_ends: 2, ..news }),
        ("there and back", Facts { firing: 2, ..news }),
        ("nothing", Facts { changed_at: None, failing_since: None, ..news }),
        ("all hidden", Facts { changed_at: None, hidden, ..news }),
        ("hidden news", Facts { firing: 2, hidden, hidden_news: hidden, ..news }),
        ("and one more", Facts { firing: 3, new: 1, hidden, hidden_news: hidden, ..news }),
    ];
    let mut table = String::new();
    for state in states {
        let name = serde_json::to_value(state).expect("serialises")["state"].as_str().map(str::to_owned);
        writeln!(table, "{}", name.expect("tagged")).expect("string");
        for (name, facts) in facts {
            writeln!(table, "  {name:<15} {}", told(state, facts, send_resolved)).expect("string");
        }
    }
    expect.assert_eq(&table);
}

#[test]
fn when_to_speak_and_why() {
    check(
        true,
        expect![[r#"
            quiet
              fires as shown  10s: nothing_firing
              one more        10s: nothing_firing
              one more, late  10s: nothing_firing
              one ended       10s: nothing_firing
              all ended       10s: nothing_firing
              there and back  10s: nothing_firing
              nothing         10s: nothing_firing
              all hidden      10s: silenced
              hidden news     10s: silenced
              and one more    10s: silenced
            untold
              fires as shown  10s: group_wait till 30s, 30s: send New
              one more        10s: group_wait till 30s, 30s: send New
              one more, late  10s: group_wait till 30s, 30s: send New
              one ended       10s: group_wait till 30s, 30s: send New
              all ended       10s: group_wait till 30s, 30s: skip ResolvedBeforeTold
              there and back  10s: group_wait till 30s, 30s: send New
              nothing         10s: group_wait till 30s, 30s: skip ResolvedBeforeTold
              all hidden      10s: group_wait till 30s, 30s: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              hidden news     10s: group_wait till 30s, 30s: send New
              and one more    10s: group_wait till 30s, 30s: send New
            underway
              fires as shown  10s: underway
              one more        10s: group_interval till 5m, 5m: send Changed
              one more, late  10s: group_wait till 5m29s, 5m30s: send Changed
              one ended       10s: group_interval till 5m, 5m: send Changed
              all ended       10s: group_interval till 5m, 5m: send AllResolved
              there and back  10s: group_interval till 5m, 5m: skip CancelledOut
              nothing         10s: underway
              all hidden      10s: underway
              hidden news     10s: group_interval till 5m, 5m: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              and one more    10s: group_interval till 5m, 5m: send Changed
            told
              fires as shown  10s: repeat_interval till 4h, 4h: send Repeat
              one more        10s: group_interval till 5m, 5m: send Changed
              one more, late  10s: group_wait till 5m29s, 5m30s: send Changed
              one ended       10s: group_interval till 5m, 5m: send Changed
              all ended       10s: group_interval till 5m, 5m: send AllResolved
              there and back  10s: group_interval till 5m, 5m: skip CancelledOut
              nothing         10s: nothing_firing
              all hidden      10s: silenced
              hidden news     10s: group_interval till 5m, 5m: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              and one more    10s: group_interval till 5m, 5m: send Changed
            owed
              fires as shown  10s: undelivered till 5m10s, 5m10s: send Changed
              one more        10s: undelivered till 5m, 5m: send Changed
              one more, late  10s: undelivered till 5m10s, 5m10s: send Changed
              one ended       10s: undelivered till 5m, 5m: send Changed
              all ended       10s: undelivered till 5m, 5m: send AllResolved, 1d: skip OwedTooLong
              there and back  10s: undelivered till 5m, 5m: send Changed
              nothing         10s: undelivered till 5m10s, 5m10s: skip CancelledOut
              all hidden      10s: undelivered till 5m10s, 5m10s: silenced
              hidden news     10s: undelivered till 5m, 5m: send Changed
              and one more    10s: undelivered till 5m, 5m: send Changed
        "#]],
    );
}

#[test]
fn when_to_speak_to_those_who_want_no_ends() {
    check(
        false,
        expect![[r#"
            quiet
              fires as shown  10s: nothing_firing
              one more        10s: nothing_firing
              one more, late  10s: nothing_firing
              one ended       10s: nothing_firing
              all ended       10s: nothing_firing
              there and back  10s: nothing_firing
              nothing         10s: nothing_firing
              all hidden      10s: silenced
              hidden news     10s: silenced
              and one more    10s: silenced
            untold
              fires as shown  10s: group_wait till 30s, 30s: send New
              one more        10s: group_wait till 30s, 30s: send New
              one more, late  10s: group_wait till 30s, 30s: send New
              one ended       10s: group_wait till 30s, 30s: send New
              all ended       10s: group_wait till 30s, 30s: skip ResolvedBeforeTold
              there and back  10s: group_wait till 30s, 30s: send New
              nothing         10s: group_wait till 30s, 30s: skip ResolvedBeforeTold
              all hidden      10s: group_wait till 30s, 30s: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              hidden news     10s: group_wait till 30s, 30s: send New
              and one more    10s: group_wait till 30s, 30s: send New
            underway
              fires as shown  10s: underway
              one more        10s: group_interval till 5m, 5m: send Changed
              one more, late  10s: group_wait till 5m29s, 5m30s: send Changed
              one ended       10s: group_interval till 5m, 5m: skip ResolvedNotWanted
              all ended       10s: group_interval till 5m, 5m: skip ResolvedNotWanted
              there and back  10s: group_interval till 5m, 5m: skip CancelledOut
              nothing         10s: underway
              all hidden      10s: underway
              hidden news     10s: group_interval till 5m, 5m: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              and one more    10s: group_interval till 5m, 5m: send Changed
            told
              fires as shown  10s: repeat_interval till 4h, 4h: send Repeat
              one more        10s: group_interval till 5m, 5m: send Changed
              one more, late  10s: group_wait till 5m29s, 5m30s: send Changed
              one ended       10s: group_interval till 5m, 5m: skip ResolvedNotWanted
              all ended       10s: group_interval till 5m, 5m: skip ResolvedNotWanted
              there and back  10s: group_interval till 5m, 5m: skip CancelledOut
              nothing         10s: nothing_firing
              all hidden      10s: silenced
              hidden news     10s: group_interval till 5m, 5m: skip Silenced { by: 00000000-0000-4000-8000-000000000001 }
              and one more    10s: group_interval till 5m, 5m: send Changed
            owed
              fires as shown  10s: undelivered till 5m10s, 5m10s: send Changed
              one more        10s: undelivered till 5m, 5m: send Changed
              one more, late  10s: undelivered till 5m10s, 5m10s: send Changed
              one ended       10s: undelivered till 5m, 5m: send Changed
              all ended       10s: undelivered till 5m, 5m: skip ResolvedNotWanted
              there and back  10s: undelivered till 5m, 5m: send Changed
              nothing         10s: undelivered till 5m10s, 5m10s: skip CancelledOut
              all hidden      10s: undelivered till 5m10s, 5m10s: silenced
              hidden news     10s: undelivered till 5m, 5m: send Changed
              and one more    10s: undelivered till 5m, 5m: send Changed
        "#]],
    );
}
