use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> WallTime {
    WallTime(text.parse::<Millis>().expect("a length").0)
}

fn id(number: u128) -> SilenceId {
    SilenceId::of(number)
}

fn wish(matchers: &str, starts_at: Option<&str>, ends_at: &str) -> Result<Wish, WishError> {
    let matchers = Matcher::parse_list(matchers).expect("matchers");
    Wish::new(matchers, (starts_at.map(at), at(ends_at)), "ada", "deploy")
}

/// Plays lines of `TIME set MATCHERS FROM..TO [ID]`, `TIME expire ID` and `TIME list` (where `FROM` may be `now`), and
/// prints what came of each: what was done, and what the clock did.
fn check(script: &str, expect: Expect) {
    let mut book = Silences::default();
    let mut made = 0;
    let mut story = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = at(words[0]);
        let mut said: Vec<String> = told(book.settle(now));
        match &words[1..] {
            ["set", matchers, range, rest @ ..] => {
                let (from, to) = range.split_once("..").expect("a range");
                let mut wish = wish(matchers, (from != "now").then_some(from), to).expect("it makes sense");
                if let [old] = rest {
                    wish = wish.instead_of(id(old.parse().expect("a number")));
                }
                made += 1;
                said.push(match book.set(wish, id(made), now) {
                    Ok(done) => format!("{} {}", word(&done), short(done.silence())),
                    Err(refused) => refused.to_string(),
                });
            }
            ["expire", old] => said.push(match book.expire(id(old.parse().expect("a number")), now) {
                Ok(done) => format!("{} {}", word(&done), short(done.silence())),
                Err(refused) => refused.to_string(),
            }),
            ["list"] => {
                said.extend(book.iter().map(|silence| format!("{} is {}", short(silence), silence.state(now).name())))
            }
            ["hidden", labels] => {
                let (name, value) = labels.split_once('=').expect("a label");
                let by = book.hiding(&Labels::from_pairs([(name, value)]));
                said.push(format!("{labels} is hidden by {}", by.map_or("nobody".into(), |by| short(by))));
            }
            _ => panic!("what is {line}"),
        }
        said.append(&mut told(book.settle(now)));
        let next = book.next_change().map_or("never".into(), |next| Millis(next.0).to_string());
        story += &format!("{line}\n    {}\n    next: {next}\n", said.join("\n    "));
    }
    expect.assert_eq(&story.replace("1970-01-01T", "").replace("1970-01-06T", "5d "));
}

fn word(done: &Done) -> String {
    serde_json::to_value(done).expect("plain data")["done"].as_str().expect("tagged").to_owned()
}

fn short(silence: &Silence) -> String {
    let (from, to) = (Millis(silence.starts_at.0), Millis(silence.ends_at.0));
    format!("#{:x} {} {from}..{to}", silence.id.0 & 0xffff, silence.matchers[0])
}

fn told(turns: Vec<Turn>) -> Vec<String> {
    let text = |turn| match turn {
        Turn::Began(silence) => format!("began {}", short(&silence)),
        Turn::Ended(silence) => format!("ended {}", short(&silence)),
    };
    turns.into_iter().map(text).collect()
}

#[test]
fn a_silence_begins_ends_and_is_forgotten_after_days() {
    check(
        "
        1m    set a=b 10m..20m
        9m    hidden a=b
        10m   hidden a=b
        10m   hidden a=c
        20m   hidden a=b
        119h  list
        121h  list
        ",
        expect![[r##"
            1m    set a=b 10m..20m
                created #1 a="b" 10m..20m
                next: 10m
            9m    hidden a=b
                a=b is hidden by nobody
                next: 10m
            10m   hidden a=b
                began #1 a="b" 10m..20m
                a=b is hidden by #1 a="b" 10m..20m
                next: 20m
            10m   hidden a=c
                a=c is hidden by nobody
                next: 20m
            20m   hidden a=b
                ended #1 a="b" 10m..20m
                a=b is hidden by nobody
                next: 5d20m
            119h  list
                #1 a="b" 10m..20m is expired
                next: 5d20m
            121h  list
                
                next: never
        "##]],
    );
}

#[test]
fn what_changes_the_past_makes_a_new_silence() {
    check(
        "
        1m   set a=b now..1h
        2m   set a=b now..2h 1
        3m   set a=b 1m..3h 1
        4m   set a=c now..3h 1
        5m   set a=c 4m30s..3h 4
        6m   set a=d 1h..2h
        7m   set a=d 30m..2h 6
        8m   set a=d 1m..2h 6
        9m   list
        ",
        expect![[r##"
            1m   set a=b now..1h
                created #1 a="b" 1m..1h
                began #1 a="b" 1m..1h
                next: 1h
            2m   set a=b now..2h 1
                changed #1 a="b" 1m..2h
                next: 2h
            3m   set a=b 1m..3h 1
                changed #1 a="b" 1m..3h
                next: 3h
            4m   set a=c now..3h 1
                replaced #4 a="c" 4m..3h
                began #4 a="c" 4m..3h
                ended #1 a="b" 1m..4m
                next: 3h
            5m   set a=c 4m30s..3h 4
                replaced #5 a="c" 5m..3h
                began #5 a="c" 5m..3h
                ended #4 a="c" 4m..5m
                next: 3h
            6m   set a=d 1h..2h
                created #6 a="d" 1h..2h
                next: 1h
            7m   set a=d 30m..2h 6
                changed #6 a="d" 30m..2h
                next: 30m
            8m   set a=d 1m..2h 6
                replaced #8 a="d" 8m..2h
                began #8 a="d" 8m..2h
                next: 2h
            9m   list
                #1 a="b" 1m..4m is expired
                #4 a="c" 4m..5m is expired
                #5 a="c" 5m..3h is active
                #6 a="d" 8m..8m is expired
                #8 a="d" 8m..2h is active
                next: 2h
        "##]],
    );
}

#[test]
fn early_ends_and_what_is_refused() {
    check(
        "
        1m   set a=b now..1h
        2m   expire 1
        3m   expire 1
        4m   expire 7
        5m   set a=b now..1h 1
        6m   set a=b 1m..5m
        7m   set a=b now..1h 9
        8m   set a=x 30m..2h
        9m   set a=x now..20m 5
        10m  expire 5
        ",
        expect![[r#"
            1m   set a=b now..1h
                created #1 a="b" 1m..1h
                began #1 a="b" 1m..1h
                next: 1h
            2m   expire 1
                expired #1 a="b" 1m..2m
                ended #1 a="b" 1m..2m
                next: 5d2m
            3m   expire 1
                already_expired #1 a="b" 1m..2m
                next: 5d2m
            4m   expire 7
                there is no silence 00000000-0000-4000-8000-000000000007; expired ones are forgotten after 5d
                next: 5d2m
            5m   set a=b now..1h 1
                replaced #2 a="b" 5m..1h
                began #2 a="b" 5m..1h
                next: 1h
            6m   set a=b 1m..5m
                it would end at 00:05:00Z, and it is 00:06:00Z already
                next: 1h
            7m   set a=b now..1h 9
                there is no silence 00000000-0000-4000-8000-000000000009; expired ones are forgotten after 5d
                next: 1h
            8m   set a=x 30m..2h
                created #5 a="x" 30m..2h
                next: 30m
            9m   set a=x now..20m 5
                it would end at 00:20:00Z, which is not after its start at 00:30:00Z
                next: 30m
            10m  expire 5
                expired #5 a="x" 10m..10m
                next: 1h
        "#]],
    );
}

#[test]
fn the_longest_silence_answers_for_an_alert_that_several_hide() {
    check(
        "
        1m   set a=b now..1h
        2m   set a=~b.* now..2h
        3m   hidden a=b
        4m   expire 2
        5m   hidden a=b
        ",
        expect![[r#"
            1m   set a=b now..1h
                created #1 a="b" 1m..1h
                began #1 a="b" 1m..1h
                next: 1h
            2m   set a=~b.* now..2h
                created #2 a=~"b.*" 2m..2h
                began #2 a=~"b.*" 2m..2h
                next: 1h
            3m   hidden a=b
                a=b is hidden by #2 a=~"b.*" 2m..2h
                next: 1h
            4m   expire 2
                expired #2 a=~"b.*" 2m..4m
                ended #2 a=~"b.*" 2m..4m
                next: 1h
            5m   hidden a=b
                a=b is hidden by #1 a="b" 1m..1h
                next: 1h
        "#]],
    );
}

#[test]
fn a_full_book_forgets_what_expired_and_nothing_else() {
    let mut book = Silences::default();
    for number in 0..SILENCES_MAX as u128 {
        let ends_at = if number == 7 { "2m" } else { "1h" };
        book.set(wish("a=b", None, ends_at).expect("fine"), id(number), at("1m")).expect("there is room");
    }
    book.settle(at("1m"));
    let refused = book.set(wish("a=b", None, "1h").expect("fine"), id(5_000), at("1m"));
    assert_eq!(refused, Err(SilenceRefused::TooMany { max: SILENCES_MAX }));
    book.settle(at("2m"));
    book.set(wish("a=b", None, "1h").expect("fine"), id(5_000), at("2m")).expect("one has expired");
    assert_eq!((book.iter().len(), book.get(id(7))), (SILENCES_MAX, None));
}

#[test]
fn wishes_are_bounded_and_say_which_bound() {
    let refused = |matchers: &str, by: &str, comment: &str| {
        let matchers = Matcher::parse_list(matchers).expect("matchers");
        Wish::new(matchers, (None, at("1h")), by, comment).expect_err("it is out of bounds").to_string()
    };
    let many = vec!["a=b"; MATCHERS_MAX + 1].join(",");
    let long = format!("a={}", "x".repeat(MATCHER_BYTES_MAX));
    let texts = [
        refused("", "ada", ""),
        refused(&many, "ada", ""),
        refused(&long, "ada", ""),
        refused("a!=b,c=~.*", "ada", ""),
        refused("a=b", " ", ""),
        refused("a=b", &"x".repeat(CREATED_BY_BYTES_MAX + 1), ""),
        refused("a=b", "ada", &"x".repeat(COMMENT_BYTES_MAX + 1)),
        wish("a=b", Some("2h"), "1h").expect_err("the wrong way round").to_string(),
    ];
    expect![[r#"
        a silence needs at least one matcher; write `service="checkout"`
        a silence has at most 32 matchers, not 33; write some as one with `=~`
        the matcher of label `a` is longer than 1024 bytes
        every matcher also matches alerts without its label, so this would hide everything; add one that does not
        `createdBy` is empty; say who wants this
        `createdBy` is longer than 256 bytes
        `comment` is longer than 4096 bytes
        it ends at 1970-01-01T01:00:00Z, which is not after its start at 1970-01-01T02:00:00Z
    "#]]
    .assert_eq(&(texts.join("\n") + "\n"));
}

#[test]
fn ids_are_uuids_and_read_as_they_are_written() {
    let one = id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(one.to_string(), "01234567-89ab-4def-8123-456789abcdef");
    assert_eq!(one.to_string().parse(), Ok(one));
    assert_eq!(one.to_string().to_uppercase().parse(), Ok(one));
    for wrong in [
        "",
        "7",
        "01234567-89ab-4def-8123-456789abcde",
        "0123456789ab4def8123456789abcdef",
        "+1234567-89ab-4def-8123-456789abcdef",
    ] {
        assert!(wrong.parse::<SilenceId>().is_err(), "{wrong}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set { label: usize, from: Option<i64>, length: i64, change: Option<usize> },
    Expire(usize),
    Restore,
}

fn act() -> impl Strategy<Value = Act> {
    let set = (0..3usize, prop::option::of(-50..200i64), 1..300i64, prop::option::of(0..6usize));
    prop_oneof![
        4 => set.prop_map(|(label, from, length, change)| Act::Set { label, from, length, change }),
        1 => (0..6usize).prop_map(Act::Expire),
        1 => Just(Act::Restore),
    ]
}

proptest! {
    /// `U1`, `U2`, and that the past of a silence is never rewritten, against asking every silence anew at each second.
    #[test]
    fn the_book_tells_exactly_what_is_active(acts in prop::collection::vec((0..100i64, act()), 1..30)) {
        let (mut book, mut now) = (Silences::default(), 0i64);
        let mut told: BTreeSet<SilenceId> = BTreeSet::new();
        let mut hidden: BTreeMap<SilenceId, Vec<(i64, SilenceState)>> = BTreeMap::new();
        let mut follow = |book: &mut Silences, now: i64| {
            for turn in book.settle(WallTime(now * 1_000)) {
                match turn {
                    Turn::Began(silence) => assert!(told.insert(silence.id)),
                    Turn::Ended(silence) => assert!(told.remove(&silence.id)),
                }
            }
            let state = |silence: &Silence| silence.state(WallTime(now * 1_000));
            let active: BTreeSet<SilenceId> =
                book.iter().filter(|silence| state(silence) == SilenceState::Active).map(|silence| silence.id).collect();
            assert_eq!(told, active, "U2 at {now}");
            for silence in book.iter() {
                let past = hidden.entry(silence.id).or_default();
                assert!(past.last().is_none_or(|(_, before)| *before <= state(silence)), "U1 of {silence:?}");
                past.push((now, state(silence)));
            }
        };
        for (number, (wait, act)) in acts.iter().enumerate() {
            for _ in 0..*wait {
                now += 1;
                follow(&mut book, now);
            }
            let wall = WallTime(now * 1_000);
            let nth = |book: &Silences, at: usize| book.iter().nth(at).map(|silence| silence.id);
            match act {
                Act::Set { label, from, length, change } => {
                    let from = from.map(|from| WallTime((now + from) * 1_000));
                    let ends_at = from.unwrap_or(wall) + Millis::from_secs(*length);
                    let matchers = Matcher::parse_list(&format!("a={label}")).expect("matchers");
                    let mut wish = Wish::new(matchers, (from, ends_at), "ada", "").expect("in bounds");
                    if let Some(id) = change.and_then(|at| nth(&book, at)) {
                        wish = wish.instead_of(id);
                    }
                    let _ = book.set(wish, SilenceId::of(number as u128 + 1), wall);
                }
                Act::Expire(at) => drop(nth(&book, *at).map(|id| book.expire(id, wall))),
                Act::Restore => book = Silences::restore(book.iter().cloned().collect(), wall),
            }
            follow(&mut book, now);
        }
        for (id, states) in hidden {
            let silence = book.get(id).expect("five days have not passed").clone();
            for (at, state) in states {
                let said = silence.state(WallTime(at * 1_000)) == SilenceState::Active;
                // At the very second it was made or ended, both are right.
                let edge = [silence.starts_at.0, silence.ends_at.0].contains(&(at * 1_000));
                prop_assert!(edge || said == (state == SilenceState::Active), "{id} at {at}: {silence:?}");
            }
        }
    }
}
