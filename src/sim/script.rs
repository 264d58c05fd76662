//! The text of a scenario, line by line.
//!
//! ```text
//! rules   shop.yaml                        # rule files, relative to this one
//! start   2026-01-01T00:00:00Z             # time 0; this is the default
//! load    requests 0s..2m every 500ms service=cart status=200 latency_ms=[90,110,130]
//! load    requests 2m..3m every 500ms x3 service=cart status=500 latency_ms=900
//! load    auth at 2m30s line="{time} host1 sshd[7]: Failed password for root from 192.0.2.7 port 22 ssh2"
//! load    auth from auth.log.gz            # recorded lines, with their own times
//! advance 10m                              # time goes on, silence or not
//! silence service=cart env!=dev for 10m    # from here on nobody is told of these alerts
//! expect
//!   2m20s  pending   ErrorRatio{service="cart"}
//!   3m20s  firing    ErrorRatio{service="cart"}  errors=60 total=180
//! ```
//!
//! A grammar of words, not of YAML, because a scenario is read far more often than it is written, and its `expect` block is
//! written by the program (`UPDATE=1`): everything that happened since the last `expect`, exactly.

use std::ops::Range;

use crate::alert::matcher::{Matcher, MatcherError};
use crate::model::time::{EventTime, Millis};

/// 2026-01-01T00:00:00Z
pub const START: EventTime = EventTime(1_767_225_600_000);

#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub rules: Vec<String>,
    pub start: EventTime,
    pub steps: Vec<Step>,
}

/// One thing that happens, with the line (from 1) it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub line: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Load(Load),
    /// Recorded lines of a file.
    Play {
        stream: String,
        file: String,
    },
    /// To this time after the start.
    Advance(Millis),
    /// Somebody silences alerts, from this time after the start on.
    Silence {
        matchers: Vec<Matcher>,
        from: Millis,
        length: Millis,
    },
    Expect {
        lines: Vec<String>,
        /// The block's lines in the text (from 0), without the word `expect`.
        range: Range<usize>,
    },
}

/// Made-up events.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub stream: String,
    pub from: Millis,
    /// Exclusive.
    pub to: Millis,
    pub every: Millis,
    /// Events at each step.
    pub times: u32,
    /// Field (or `line`) and the values it takes in turn.
    pub fields: Vec<(String, Vec<String>)>,
}

/// Events one scenario may make up.
pub const EVENTS_MAX: i64 = 5_000_000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub message: String,
}

impl Script {
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let mut script = Script { rules: Vec::new(), start: START, steps: Vec::new() };
        let mut now = Millis::ZERO;
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            let line = at + 1;
            let failed = |message: String| ScriptError { line, message };
            let words = words(lines[at]).map_err(failed)?;
            at += 1;
            let Some((verb, rest)) = words.split_first() else { continue };
            match (&**verb, rest) {
                ("rules", files) if !files.is_empty() => script.rules.extend(files.iter().cloned()),
                ("start", [stamp]) => {
                    let stamp: jiff::Timestamp = stamp
                        .parse()
                        .map_err(|_| failed(format!("`{stamp}` is not a time; write it as `2026-01-01T00:00:00Z`")))?;
                    script.start = EventTime(stamp.as_millisecond());
                }
                ("load", [stream, from, file]) if from == "from" => {
                    let what = What::Play { stream: stream.clone(), file: file.clone() };
                    script.steps.push(Step { line, what });
                }
                ("load", [stream, rest @ ..]) => {
                    let load = load(stream, rest).map_err(failed)?;
                    script.steps.push(Step { line, what: What::Load(load) });
                }
                ("advance", [length]) => {
                    now = now + duration(length).map_err(failed)?;
                    script.steps.push(Step { line, what: What::Advance(now) });
                }
                ("silence", [matchers @ .., word, length]) if word == "for" => {
                    let read = matchers.iter().map(|text| text.parse()).collect::<Result<_, MatcherError>>();
                    let matchers = read.map_err(|error| failed(error.to_string()))?;
                    let what = What::Silence { matchers, from: now, length: duration(length).map_err(failed)? };
                    script.steps.push(Step { line, what });
                }
                ("expect", []) => {
                    let start = at;
                    while at < lines.len() && (lines[at].starts_with([' ', '\t']) || lines[at].trim().is_empty()) {
                        at += 1;
                    }
                    while at > start && lines[at - 1].trim().is_empty() {
                        at -= 1;
                    }
                    let expected = lines[start..at].iter().map(|line| line.trim().to_owned()).collect();
                    script.steps.push(Step { line, what: What::Expect { lines: expected, range: start..at } });
                }
                (verb, _) => return Err(failed(unknown(verb))),
            }
        }
        if script.rules.is_empty() {
            return Err(ScriptError { line: 1, message: "no rules are named; add a line `rules FILE`".to_owned() });
        }
        Ok(script)
    }
}

fn unknown(verb: &str) -> String {
    let form = match verb {
        "rules" => "`rules FILE…`",
        "start" => "`start 2026-01-01T00:00:00Z`",
        "advance" => "`advance 5m`",
        "silence" => "`silence service=cart for 10m`",
        "load" => "`load STREAM FROM..TO every STEP field=value…`",
        "expect" => "`expect` alone on its line, and what is expected below it, indented",
        _ => {
            return format!(
                "`{verb}` is no word of a scenario; there are rules, start, load, advance, silence, expect"
            );
        }
    };
    format!("`{verb}` is written as {form}")
}

/// `FROM..TO every STEP [xN] field=value…` or `at TIME [xN] field=value…`
fn load(stream: &str, words: &[String]) -> Result<Load, String> {
    let (from, to, every, rest) = match words {
        [at, time, rest @ ..] if at == "at" => {
            let time = duration(time)?;
            (time, time + Millis(1), Millis(1), rest)
        }
        [range, every, step, rest @ ..] if every == "every" => {
            let (from, to) =
                range.split_once("..").ok_or_else(|| format!("`{range}` is not a range of time; write `0s..2m`"))?;
            (duration(from)?, duration(to)?, duration(step)?, rest)
        }
        _ => return Err("after the stream comes `FROM..TO every STEP`, `at TIME` or `from FILE`".to_owned()),
    };
    if every <= Millis::ZERO || to <= from {
        return Err("the range must be longer than nothing, and so must the step".to_owned());
    }
    let (times, rest) = match rest {
        [count, rest @ ..] if count.starts_with('x') && !count.contains('=') => {
            let times = count[1..].parse().map_err(|_| format!("`{count}` is not a count; write `x3`"))?;
            (times, rest)
        }
        rest => (1, rest),
    };
    if ((to.0 - from.0) / every.0).saturating_mul(i64::from(times)) > EVENTS_MAX {
        return Err(format!("that is more than {EVENTS_MAX} events"));
    }
    let mut fields = Vec::new();
    for word in rest {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not `field=value`"))?;
        let listed = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        let values = match listed {
            Some(list) => list.split(',').map(|value| value.trim().to_owned()).collect(),
            None => vec![value.to_owned()],
        };
        fields.push((name.to_owned(), values));
    }
    Ok(Load { stream: stream.to_owned(), from, to, every, times, fields })
}

fn duration(text: &str) -> Result<Millis, String> {
    if text == "0s" {
        return Ok(Millis::ZERO);
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Words at white space; `"…"` holds white space together wherever it stands in a word; `#` ends the line.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            '#' if !quoted && word.is_none() => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(text: &str, expect: Expect) {
        let got = match Script::parse(text) {
            Ok(script) => script.steps.iter().map(|step| format!("{}: {:?}\n", step.line, step.what)).collect(),
            Err(error) => format!("{error}\n"),
        };
        expect.assert_eq(&got);
    }

    #[test]
    fn a_scenario_reads_as_it_is_written() {
        check(
            "rules a.yaml # the rules\n\nload s 0s..1m every 10s x2 a=[1,2] b=\"x y\"\nadvance 2m\nexpect\n  1m firing A\n  2m resolved A\n\nadvance 1m\n",
            expect![[r#"
                3: Load(Load { stream: "s", from: Millis(0), to: Millis(60000), every: Millis(10000), times: 2, fields: [("a", ["1", "2"]), ("b", ["x y"])] })
                4: Advance(Millis(120000))
                5: Expect { lines: ["1m firing A", "2m resolved A"], range: 5..7 }
                9: Advance(Millis(180000))
            "#]],
        );
    }

    #[test]
    fn mistakes_name_their_line_and_the_right_form() {
        check("", expect![["line 1: no rules are named; add a line `rules FILE`\n"]]);
        check(
            "rules a\nwait 5m",
            expect![[
                "line 2: `wait` is no word of a scenario; there are rules, start, load, advance, silence, expect\n"
            ]],
        );
        check("rules a\nsilence a=b", expect![["line 2: `silence` is written as `silence service=cart for 10m`\n"]]);
        check(
            "rules a\nsilence a for 5m",
            expect![["line 2: `a` has no operator after the label name; use one of =, !=, =~, !~\n"]],
        );
        check("rules a\nadvance", expect![["line 2: `advance` is written as `advance 5m`\n"]]);
        check("rules a\nload s 0s-1m every 1s", expect![["line 2: `0s-1m` is not a range of time; write `0s..2m`\n"]]);
        check("rules a\nload s 0s..1m every 1s a=\"b", expect![["line 2: a quotation mark is not closed\n"]]);
        check("rules a\nload s 0s..1y every 1ms a=b", expect![["line 2: that is more than 5000000 events\n"]]);
    }
}
