//! The desk's tests: a small world around it ([`world`]), scenarios as scripts with what they say, properties.
//! `UPDATE_EXPECT=1` rewrites the answers; read the diff.

mod bounds;
mod clashes;
mod grouping;
mod homes;
mod local;
mod properties;
mod receivers;
mod silences;
mod world;

use expect_test::Expect;

fn check(script: &str, expect: Expect) {
    let story = world::run(script);
    assert_eq!(story, world::run(script), "the same inputs give the same story");
    expect.assert_eq(&story);
}

/// One receiver with two integrations, everything by alert name.
fn ops(script: &str, expect: Expect) {
    check(&format!("receiver ops slack mail\nroute ops by:alertname\n{script}"), expect);
}
