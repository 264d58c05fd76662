//! What an answer means: delivered, not now, or never. Whether to retry is decided here and nowhere else.
//!
//! The rule behind the cases: a page must not be lost to a passing trouble, and a mistake that only a person can mend
//! must be seen at once instead of after an hour of retries. So what is known to be permanent is rejected, and anything
//! unknown is tried again, within the outbox's bound.

use serde::Deserialize;

use crate::model::delivery::Outcome;
use crate::model::time::{Millis, WallTime};
use crate::notify::present::{cut, line};
use crate::notify::request::{Fault, HttpAnswer, SmtpAnswer, SmtpReply, SmtpStage};

/// The longest pause a receiver may ask for; a longer one is taken as this.
pub const RETRY_AFTER_MAX: Millis = Millis(3_600_000);

/// Characters of a receiver's own words that go into a reason.
const QUOTE_MAX: usize = 300;

/// What Slack's Web API said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackAnswer {
    Posted {
        channel: String,
        ts: String,
    },
    /// The message that was to be changed or replied to is not there any more, or may not be changed.
    Gone,
    Refused(Outcome),
}

pub fn delivered() -> Outcome {
    Outcome::Delivered { thread: None }
}

fn retry(reason: String) -> Outcome {
    Outcome::Retry { after: None, throttled: false, reason }
}

fn rejected(reason: String) -> Outcome {
    Outcome::Rejected { reason }
}

/// No answer at all.
pub fn fault(fault: &Fault) -> Outcome {
    match fault {
        Fault::Unreachable(why) => retry(format!("not reached: {why}")),
        Fault::Broken(why) => retry(format!("connection broke, it may have arrived: {why}")),
        Fault::TimedOut(why) => retry(format!("timed out, it may have arrived: {why}")),
        Fault::Unsendable(why) => rejected(format!("cannot be sent: {why}")),
    }
}

/// Any HTTP receiver by its status alone: 2xx is success, 408, 425, 429 and 5xx pass, the rest does not.
pub fn http(answer: &HttpAnswer, now: WallTime) -> Outcome {
    let reason = || format!("HTTP {}{}", answer.status, quoted(&answer.body));
    match answer.status {
        200..=299 => delivered(),
        429 => throttled(answer, now, reason()),
        503 if answer.retry_after.is_some() => throttled(answer, now, reason()),
        408 | 425 | 500..=599 => Outcome::Retry { after: retry_after(answer, now), throttled: false, reason: reason() },
        300..=399 => {
            rejected(format!("HTTP {}: redirects are not followed; configure the final address", answer.status))
        }
        401 | 403 => rejected(format!("{}; check the credentials", reason())),
        _ => rejected(reason()),
    }
}

fn throttled(answer: &HttpAnswer, now: WallTime, reason: String) -> Outcome {
    Outcome::Retry { after: retry_after(answer, now), throttled: true, reason }
}

/// `Retry-After` in either of its forms: seconds, or a date.
fn retry_after(answer: &HttpAnswer, now: WallTime) -> Option<Millis> {
    let text = answer.retry_after.as_deref()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Millis(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            Millis(date.timestamp().as_millisecond().saturating_sub(now.0))
        }
    };
    Some(wait.clamp(Millis::ZERO, RETRY_AFTER_MAX))
}

fn quoted(text: &str) -> String {
    let text = line(text);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {}", cut(text, QUOTE_MAX)) }
}

/// A Slack incoming webhook: `ok`, or a status with a word for what is wrong.
pub fn slack_webhook(answer: &HttpAnswer, now: WallTime) -> Outcome {
    let word = answer.body.trim();
    match (answer.status, word) {
        (200..=299, "ok" | "") => delivered(),
        (429, _) | (_, "rate_limited" | "ratelimited") => throttled(answer, now, "Slack: rate limited".to_owned()),
        (500..=599, _) | (_, "rollup_error") => {
            http(&HttpAnswer { status: answer.status.max(500), ..answer.clone() }, now)
        }
        (200..=299, _) => slack_word(word, "Slack"),
        (_, word) => rejected(format!("Slack: HTTP {}{}{}", answer.status, quoted(word), slack_hint(word))),
    }
}

#[derive(Deserialize)]
struct SlackBody {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    ts: Option<String>,
    #[serde(default)]
    needed: Option<String>,
    #[serde(default)]
    response_metadata: Option<SlackMetadata>,
}

#[derive(Deserialize)]
struct SlackMetadata {
    #[serde(default)]
    messages: Vec<String>,
}

/// A method of Slack's Web API: HTTP 200 says nothing yet, `ok` and `error` do.
pub fn slack_api(answer: &HttpAnswer, now: WallTime) -> SlackAnswer {
    let body = serde_json::from_str::<SlackBody>(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.error.as_deref());
    if answer.status == 429 || matches!(error, Some("ratelimited" | "rate_limited")) {
        return SlackAnswer::Refused(throttled(answer, now, "Slack: rate limited".to_owned()));
    }
    let Some(body) = body else {
        return SlackAnswer::Refused(match http(answer, now) {
            Outcome::Delivered { .. } => retry(format!("Slack: the answer is not JSON{}", quoted(&answer.body))),
            other => other,
        });
    };
    match (body.ok, body.channel, body.ts, body.error) {
        (true, Some(channel), Some(ts), _) => SlackAnswer::Posted { channel, ts },
        (true, ..) => SlackAnswer::Refused(retry("Slack: an answer without channel and ts".to_owned())),
        (false, _, _, Some(error)) if SLACK_GONE.contains(&error.as_str()) => SlackAnswer::Gone,
        (false, _, _, error) => {
            let error = error.unwrap_or_else(|| format!("HTTP {}", answer.status));
            let detail = body.needed.into_iter().map(|scope| format!("scope `{scope}` is missing"));
            let detail = detail.chain(body.response_metadata.map(|data| data.messages).unwrap_or_default());
            let detail = detail.collect::<Vec<_>>().join("; ");
            SlackAnswer::Refused(slack_word(&error, &format!("Slack{}", quoted(&detail))))
        }
    }
}

/// The message to change or to reply to cannot be had.
const SLACK_GONE: [&str; 7] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "is_inactive",
    "thread_not_found",
    "invalid_thread_ts",
    "cannot_reply_to_message",
];

/// Errors that only a person can mend, each with what to do. Everything else is tried again.
const SLACK_PERMANENT: [(&str, &str); 39] = [
    ("channel_not_found", "no such channel, or a private one the app was not invited to"),
    ("not_in_channel", "invite the app to the channel"),
    ("is_archived", "the channel is archived"),
    ("channel_is_archived", "the channel is archived"),
    ("invalid_auth", "check the token"),
    ("not_authed", "the token is missing"),
    ("invalid_token", "check the webhook's address"),
    ("account_inactive", "the token's app or workspace was removed"),
    ("token_revoked", "the token was revoked; install the app again"),
    ("token_expired", "the token expired"),
    ("no_permission", "the token may not post"),
    ("missing_scope", "the app needs `chat:write`"),
    ("not_allowed_token_type", "use a bot token (`xoxb-…`)"),
    ("org_login_required", "the workspace is being moved to an organisation"),
    ("ekm_access_denied", "the workspace's key management forbids posting"),
    ("restricted_action", "a workspace setting forbids the app to post"),
    ("restricted_action_read_only_channel", "the channel is read-only"),
    ("restricted_action_thread_only_channel", "the channel takes replies only"),
    ("restricted_action_non_threadable_channel", "the channel takes no replies"),
    ("restricted_action_thread_locked", "the thread is locked"),
    ("action_prohibited", "a workspace setting forbids the webhook to post"),
    ("posting_to_general_channel_denied", "a webhook may not post to the general channel"),
    ("user_not_found", "no such user"),
    ("no_service", "the webhook was removed or disabled"),
    ("no_service_id", "check the webhook's address"),
    ("no_active_hooks", "the webhook is disabled"),
    ("no_team", "the webhook's workspace is gone"),
    ("team_disabled", "the webhook's workspace is disabled"),
    ("invalid_payload", "Slack does not understand the message"),
    ("no_text", "the message is empty"),
    ("msg_too_long", "the message is too long"),
    ("msg_blocks_too_long", "the message's blocks are too long"),
    ("too_many_attachments", "the message has too many attachments"),
    ("too_many_contents", "the message has too many parts"),
    ("invalid_blocks", "Slack does not understand the message's blocks"),
    ("invalid_blocks_format", "Slack does not understand the message's blocks"),
    ("invalid_attachments", "Slack does not understand the message's attachments"),
    ("invalid_arguments", "Slack does not understand the request"),
    ("metadata_too_large", "the message's metadata is too large"),
];

fn slack_word(word: &str, who: &str) -> Outcome {
    let reason = format!("{who}: {}{}", cut(&line(word), QUOTE_MAX), slack_hint(word));
    match SLACK_PERMANENT.iter().any(|(known, _)| *known == word) {
        true => rejected(reason),
        false => retry(reason),
    }
}

fn slack_hint(word: &str) -> String {
    let known = SLACK_PERMANENT.iter().find(|(known, _)| *known == word);
    known.map(|(_, hint)| format!(" ({hint})")).unwrap_or_default()
}

#[derive(Default, Deserialize)]
struct PagerDutyBody {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<String>,
}

/// PagerDuty's table: 202 taken, 400 our mistake, 429 too many events, 5xx and the network pass.
pub fn pagerduty(answer: &HttpAnswer, now: WallTime) -> Outcome {
    match answer.status {
        400 => {
            let body = serde_json::from_str::<PagerDutyBody>(&answer.body).unwrap_or_default();
            let parts = std::iter::once(body.message).chain(body.errors).filter(|part| !part.is_empty());
            let told = parts.collect::<Vec<_>>().join("; ");
            let told = if told.is_empty() { quoted(&answer.body) } else { quoted(&told) };
            rejected(format!("PagerDuty: HTTP 400{told}"))
        }
        413 => rejected("PagerDuty: HTTP 413: the event is too large".to_owned()),
        429 => throttled(answer, now, "PagerDuty: HTTP 429: too many events".to_owned()),
        _ => http(answer, now),
    }
}

/// SMTP: 2xx taken, 4xx pass, 5xx do not.
///
/// With several recipients the server decides about each. One it takes for now or for good does not undo the others:
/// the mail counts as delivered when somebody has it, unless somebody else may still get it by trying again.
pub fn smtp(answer: &SmtpAnswer) -> Outcome {
    let waiting = answer.refused.iter().find(|(_, reply)| !reply.is_permanent());
    match (answer.stage, waiting, answer.refused.first()) {
        (SmtpStage::Taken, None, _) => delivered(),
        (SmtpStage::Taken | SmtpStage::Recipients, Some((recipient, reply)), _) => {
            let kept = if answer.accepted > 0 { "; the others have it and will get it again" } else { "" };
            retry(format!("{recipient} refused for now: {}{kept}", reply_text(reply)))
        }
        (SmtpStage::Recipients, None, Some((recipient, reply))) => {
            let others = answer.refused.len() - 1;
            let others = if others > 0 { format!(" (and {others} more)") } else { String::new() };
            rejected(format!("{recipient}{others} refused: {}", reply_text(reply)))
        }
        (stage, ..) => {
            let reason = format!("{} at {}", reply_text(&answer.reply), stage.name());
            match (answer.reply.is_permanent(), stage) {
                (true, SmtpStage::Auth) => rejected(format!("{reason}; check user name and password")),
                (true, _) => rejected(reason),
                (false, _) => retry(reason),
            }
        }
    }
}

fn reply_text(reply: &SmtpReply) -> String {
    format!("SMTP {}{}", reply.code, quoted(&reply.text))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// One line for an outcome, as the tables below show it.
    fn shown(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Delivered { .. } => "delivered".to_owned(),
            Outcome::Rejected { reason } => format!("REJECTED {reason}"),
            Outcome::Retry { after, throttled, reason } => {
                let after = after.map_or_else(|| "when we like".to_owned(), |wait| format!("after {wait}"));
                let throttled = if *throttled { ", throttled" } else { "" };
                format!("retry {after}{throttled}: {reason}")
            }
        }
    }

    fn answer(status: u16, retry_after: &str, body: &str) -> HttpAnswer {
        let retry_after = (!retry_after.is_empty()).then(|| retry_after.to_owned());
        HttpAnswer { status, retry_after, body: body.to_owned() }
    }

    fn check(cases: &[(u16, &str, &str)], judge: impl Fn(&HttpAnswer) -> Outcome, expect: &Expect) {
        let mut table = String::new();
        for (status, after, body) in cases {
            let outcome = shown(&judge(&answer(*status, after, body)));
            let body = body.replace('\n', "\\n");
            table.push_str(&format!("{status} {body:<40} {outcome}\n"));
        }
        expect.assert_eq(&table);
    }

    /// Wed, 21 Oct 2015 07:28:00 GMT
    const NOW: WallTime = WallTime(1_445_412_480_000);

    #[test]
    fn http_by_status() {
        let cases = [
            (200, "", "fine"),
            (204, "", ""),
            (302, "", ""),
            (400, "", "bad \n template"),
            (401, "", ""),
            (404, "", ""),
            (408, "", ""),
            (413, "", "too large"),
            (429, "7", ""),
            (429, "Wed, 21 Oct 2015 07:28:30 GMT", ""),
            (429, "Wed, 21 Oct 2015 07:00:00 GMT", ""),
            (429, "99999999999999999999", ""),
            (429, "999999", ""),
            (429, "soon", ""),
            (500, "", "oops"),
            (503, "3", ""),
            (503, "", ""),
        ];
        check(
            &cases,
            |answer| http(answer, NOW),
            &expect![[r#"
                200 fine                                     delivered
                204                                          delivered
                302                                          REJECTED HTTP 302: redirects are not followed; configure the final address
                400 bad \n template                          REJECTED HTTP 400: bad   template
                401                                          REJECTED HTTP 401; check the credentials
                404                                          REJECTED HTTP 404
                408                                          retry when we like: HTTP 408
                413 too large                                REJECTED HTTP 413: too large
                429                                          retry after 7s, throttled: HTTP 429
                429                                          retry after 30s, throttled: HTTP 429
                429                                          retry after 0s, throttled: HTTP 429
                429                                          retry when we like, throttled: HTTP 429
                429                                          retry after 1h, throttled: HTTP 429
                429                                          retry when we like, throttled: HTTP 429
                500 oops                                     retry when we like: HTTP 500: oops
                503                                          retry after 3s, throttled: HTTP 503
                503                                          retry when we like: HTTP 503
            "#]],
        );
    }

    #[test]
    fn slack_webhooks_by_status_and_word() {
        let cases = [
            (200, "", "ok"),
            (400, "", "invalid_payload"),
            (403, "", "action_prohibited"),
            (403, "", "invalid_token"),
            (404, "", "no_service"),
            (404, "", "channel_not_found"),
            (410, "", "channel_is_archived"),
            (429, "1", "rate_limited"),
            (500, "", "rollup_error"),
            (503, "", "<html>busy</html>"),
            (200, "", "something new"),
        ];
        check(
            &cases,
            |answer| slack_webhook(answer, NOW),
            &expect![[r#"
            200 ok                                       delivered
            400 invalid_payload                          REJECTED Slack: HTTP 400: invalid_payload (Slack does not understand the message)
            403 action_prohibited                        REJECTED Slack: HTTP 403: action_prohibited (a workspace setting forbids the webhook to post)
            403 invalid_token                            REJECTED Slack: HTTP 403: invalid_token (check the webhook's address)
            404 no_service                               REJECTED Slack: HTTP 404: no_service (the webhook was removed or disabled)
            404 channel_not_found                        REJECTED Slack: HTTP 404: channel_not_found (no such channel, or a private one the app was not invited to)
            410 channel_is_archived                      REJECTED Slack: HTTP 410: channel_is_archived (the channel is archived)
            429 rate_limited                             retry after 1s, throttled: Slack: rate limited
            500 rollup_error                             retry when we like: HTTP 500: rollup_error
            503 <html>busy</html>                        retry when we like: HTTP 503: <html>busy</html>
            200 something new                            retry when we like: Slack: something new
        "#]],
        );
    }

    #[test]
    fn slack_methods_by_error() {
        let cases = [
            (200, "", r#"{"ok":true,"channel":"C1","ts":"1.2"}"#),
            (200, "", r#"{"ok":true}"#),
            (200, "", r#"{"ok":false,"error":"message_not_found"}"#),
            (200, "", r#"{"ok":false,"error":"channel_not_found"}"#),
            (200, "", r#"{"ok":false,"error":"invalid_auth"}"#),
            (200, "", r#"{"ok":false,"error":"missing_scope","needed":"chat:write"}"#),
            (200, "", r#"{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] too long"]}}"#),
            (200, "", r#"{"ok":false,"error":"ratelimited"}"#),
            (429, "30", r#"{"ok":false,"error":"ratelimited"}"#),
            (429, "30", ""),
            (200, "", r#"{"ok":false,"error":"internal_error"}"#),
            (200, "", r#"{"ok":false,"error":"never_heard_of"}"#),
            (200, "", "<html>a proxy's page</html>"),
            (502, "", "<html>bad gateway</html>"),
            (503, "", r#"{"ok":false,"error":"service_unavailable"}"#),
        ];
        let judge = |answer: &HttpAnswer| match slack_api(answer, NOW) {
            SlackAnswer::Posted { .. } => delivered(),
            SlackAnswer::Gone => rejected("(gone)".to_owned()),
            SlackAnswer::Refused(outcome) => outcome,
        };
        check(
            &cases,
            judge,
            &expect![[r#"
            200 {"ok":true,"channel":"C1","ts":"1.2"}    delivered
            200 {"ok":true}                              retry when we like: Slack: an answer without channel and ts
            200 {"ok":false,"error":"message_not_found"} REJECTED (gone)
            200 {"ok":false,"error":"channel_not_found"} REJECTED Slack: channel_not_found (no such channel, or a private one the app was not invited to)
            200 {"ok":false,"error":"invalid_auth"}      REJECTED Slack: invalid_auth (check the token)
            200 {"ok":false,"error":"missing_scope","needed":"chat:write"} REJECTED Slack: scope `chat:write` is missing: missing_scope (the app needs `chat:write`)
            200 {"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] too long"]}} REJECTED Slack: [ERROR] too long: invalid_blocks (Slack does not understand the message's blocks)
            200 {"ok":false,"error":"ratelimited"}       retry when we like, throttled: Slack: rate limited
            429 {"ok":false,"error":"ratelimited"}       retry after 30s, throttled: Slack: rate limited
            429                                          retry after 30s, throttled: Slack: rate limited
            200 {"ok":false,"error":"internal_error"}    retry when we like: Slack: internal_error
            200 {"ok":false,"error":"never_heard_of"}    retry when we like: Slack: never_heard_of
            200 <html>a proxy's page</html>              retry when we like: Slack: the answer is not JSON: <html>a proxy's page</html>
            502 <html>bad gateway</html>                 retry when we like: HTTP 502: <html>bad gateway</html>
            503 {"ok":false,"error":"service_unavailable"} retry when we like: Slack: service_unavailable
        "#]],
        );
    }

    #[test]
    fn pagerduty_by_status() {
        let cases = [
            (202, "", r#"{"status":"success"}"#),
            (400, "", r#"{"message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect"]}"#),
            (400, "", "nonsense"),
            (403, "", ""),
            (413, "", ""),
            (429, "", ""),
            (500, "", "oops"),
        ];
        check(
            &cases,
            |answer| pagerduty(answer, NOW),
            &expect![[r#"
            202 {"status":"success"}                     delivered
            400 {"message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect"]} REJECTED PagerDuty: HTTP 400: Event object is invalid; Length of 'routing_key' is incorrect
            400 nonsense                                 REJECTED PagerDuty: HTTP 400: nonsense
            403                                          REJECTED HTTP 403; check the credentials
            413                                          REJECTED PagerDuty: HTTP 413: the event is too large
            429                                          retry when we like, throttled: PagerDuty: HTTP 429: too many events
            500 oops                                     retry when we like: HTTP 500: oops
        "#]],
        );
    }

    #[test]
    fn smtp_by_stage_and_recipients() {
        let reply = |code| SmtpReply { code, text: "as the server says".to_owned() };
        let refused = |codes: &[u16]| {
            codes.iter().enumerate().map(|(n, code)| (format!("r{n}@x"), reply(*code))).collect::<Vec<_>>()
        };
        let cases = [
            (SmtpStage::Taken, 250, 2, vec![]),
            (SmtpStage::Taken, 250, 1, refused(&[550])),
            (SmtpStage::Taken, 250, 1, refused(&[550, 451])),
            (SmtpStage::Recipients, 0, 0, refused(&[550, 553])),
            (SmtpStage::Recipients, 0, 0, refused(&[550, 450])),
            (SmtpStage::Greeting, 421, 0, vec![]),
            (SmtpStage::Auth, 535, 0, vec![]),
            (SmtpStage::Auth, 454, 0, vec![]),
            (SmtpStage::Sender, 451, 0, vec![]),
            (SmtpStage::Sender, 530, 0, vec![]),
            (SmtpStage::Content, 554, 1, vec![]),
        ];
        let mut table = String::new();
        for (stage, code, accepted, refused) in cases {
            let told = refused.iter().map(|(_, reply): &(String, SmtpReply)| reply.code).collect::<Vec<_>>();
            let outcome = smtp(&SmtpAnswer { stage, reply: reply(code), refused, accepted });
            table.push_str(&format!(
                "{} {code} {accepted} taken, refused {told:?}: {}\n",
                stage.name(),
                shown(&outcome)
            ));
        }
        expect![[r#"
            delivery 250 2 taken, refused []: delivered
            delivery 250 1 taken, refused [550]: delivered
            delivery 250 1 taken, refused [550, 451]: retry when we like: r1@x refused for now: SMTP 451: as the server says; the others have it and will get it again
            RCPT TO 0 0 taken, refused [550, 553]: REJECTED r0@x (and 1 more) refused: SMTP 550: as the server says
            RCPT TO 0 0 taken, refused [550, 450]: retry when we like: r1@x refused for now: SMTP 450: as the server says
            greeting 421 0 taken, refused []: retry when we like: SMTP 421: as the server says at greeting
            AUTH 535 0 taken, refused []: REJECTED SMTP 535: as the server says at AUTH; check user name and password
            AUTH 454 0 taken, refused []: retry when we like: SMTP 454: as the server says at AUTH
            MAIL FROM 451 0 taken, refused []: retry when we like: SMTP 451: as the server says at MAIL FROM
            MAIL FROM 530 0 taken, refused []: REJECTED SMTP 530: as the server says at MAIL FROM
            DATA 554 1 taken, refused []: REJECTED SMTP 554: as the server says at DATA
        "#]].assert_eq(&table);
    }

    #[test]
    fn no_answer_at_all() {
        let why = || "the reason".to_owned();
        let faults =
            [Fault::Unreachable(why()), Fault::Broken(why()), Fault::TimedOut(why()), Fault::Unsendable(why())];
        let table = faults.iter().map(|one| format!("{}\n", shown(&fault(one)))).collect::<String>();
        expect![[r#"
            retry when we like: not reached: the reason
            retry when we like: connection broke, it may have arrived: the reason
            retry when we like: timed out, it may have arrived: the reason
            REJECTED cannot be sent: the reason
        "#]]
        .assert_eq(&table);
    }
}
