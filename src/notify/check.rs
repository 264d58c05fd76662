//! What can be wrong with an integration before anything is sent: all of it at once, each with the field it is in.

use lettre::message::Mailbox;
use lettre::message::header::HeaderName;

use crate::notify::config::{
    EmailConfig, HttpOptions, Integration, Kind, PagerDutyConfig, SlackConfig, SlackTarget, SmtpTls, WebhookConfig,
};
use crate::notify::present::web_address;
use crate::notify::secret::SecretRef;

/// One mistake. `field` is the name in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: &'static str,
    pub message: String,
}

/// Headers that make up a mail's thread and form; a configuration must not replace them.
const OWN_HEADERS: [&str; 12] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "bcc",
];

/// Headers that an HTTP request's form depends on.
const OWN_HTTP_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "content-type", "idempotency-key"];

/// Everything that is wrong with `integration` as far as can be told without looking anything up.
pub fn problems(integration: &Integration<SecretRef>) -> Vec<Problem> {
    let mut found = Problems(Vec::new());
    match &integration.kind {
        Kind::Slack(config) => slack(config, &mut found),
        Kind::Email(config) => email(config, &mut found),
        Kind::PagerDuty(config) => pagerduty(config, &mut found),
        Kind::Webhook(config) => webhook(config, &mut found),
        Kind::Console(_) => {}
    }
    found.0
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(Problem { field, message: message.into() });
    }

    fn add_unless(&mut self, good: bool, field: &'static str, message: impl FnOnce() -> String) {
        if !good {
            self.add(field, message());
        }
    }

    fn address(&mut self, field: &'static str, text: &str) {
        self.add_unless(web_address(text).is_some(), field, || {
            format!("`{text}` is not a web address; write `https://host/path`")
        });
    }

    /// A secret that stands in the configuration can be checked; one that must be looked up cannot yet.
    fn secret_address(&mut self, field: &'static str, reference: &SecretRef) {
        if let SecretRef::Given(secret) = reference {
            self.add_unless(web_address(secret.expose()).is_some(), field, || {
                "not a web address; write `https://host/path`".to_owned()
            });
        }
    }

    fn http(&mut self, options: &HttpOptions) {
        self.add_unless(options.timeout.0 > 0, "timeout", || "must be longer than 0s".to_owned());
        self.add_unless(options.connect_timeout.0 > 0, "connect_timeout", || "must be longer than 0s".to_owned());
    }

    fn mailbox(&mut self, field: &'static str, text: &str) {
        self.add_unless(text.parse::<Mailbox>().is_ok(), field, || {
            format!("`{text}` is not a mail address; write `name@host` or `Name <name@host>`")
        });
    }
}

fn slack(config: &SlackConfig, found: &mut Problems) {
    match &config.target {
        SlackTarget::Webhook { url } => found.secret_address("api_url", url),
        SlackTarget::Bot { channel, api_url, .. } => {
            found.address("api_url", api_url);
            found.add_unless(!channel.trim().is_empty(), "channel", || {
                "a bot token needs a channel: `#name` or its id".to_owned()
            });
        }
    }
    if let Some(whom) = &config.mention {
        let id = |text: &str| text.len() > 1 && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let known = matches!(whom.as_str(), "here" | "channel" | "everyone");
        let good = known || (whom.starts_with(['U', 'W', 'S']) && id(whom));
        found.add_unless(good, "mention", || {
            format!("`{whom}` is nobody; write `here`, `channel`, a user id (`U…`) or a user group id (`S…`)")
        });
    }
    found.http(&config.http);
}

fn email(config: &EmailConfig, found: &mut Problems) {
    found.add_unless(!config.to.is_empty(), "to", || "a mail needs at least one recipient".to_owned());
    for text in &config.to {
        found.mailbox("to", text);
    }
    found.mailbox("from", &config.from);
    if let Some(text) = &config.reply_to {
        found.mailbox("reply_to", text);
    }
    let (host, port) = &config.smarthost;
    found.add_unless(!host.is_empty() && *port > 0, "smarthost", || "write `host:port`".to_owned());
    if let Some(hello) = &config.hello {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
        found.add_unless(!hello.is_empty() && hello.chars().all(plain), "hello", || {
            format!("`{hello}` is not a host name")
        });
    }
    for (name, _) in &config.headers {
        let own = OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        found.add_unless(!own, "headers", || format!("`{name}` is written by Foghorn"));
        found.add_unless(HeaderName::new_from_ascii(name.clone()).is_ok(), "headers", || {
            format!("`{name}` is not a header's name")
        });
    }
    found.add_unless(config.timeout.0 > 0, "timeout", || "must be longer than 0s".to_owned());
    let tls_unused = config.tls == SmtpTls::Plain && (config.ca_file.is_some() || config.insecure_skip_verify);
    found.add_unless(!tls_unused, "tls_config", || "has no effect on a connection in the clear".to_owned());
}

fn pagerduty(config: &PagerDutyConfig, found: &mut Problems) {
    found.address("url", &config.url);
    if let Some(text) = &config.client_url {
        found.address("client_url", text);
    }
    if let SecretRef::Given(key) = &config.routing_key {
        found.add_unless(key.expose().len() == 32, "routing_key", || {
            "an Events API v2 integration key has 32 characters".to_owned()
        });
    }
    found.http(&config.http);
}

fn webhook(config: &WebhookConfig, found: &mut Problems) {
    found.secret_address("url", &config.url);
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    for (name, _) in &config.headers {
        found.add_unless(!name.is_empty() && name.chars().all(token), "http_headers", || {
            format!("`{name}` is not a header's name")
        });
        let own = OWN_HTTP_HEADERS.contains(&name.to_ascii_lowercase().as_str());
        found.add_unless(!own, "http_headers", || format!("`{name}` is written by Foghorn"));
    }
    found.http(&config.http);
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::model::time::Millis;
    use crate::notify::config::SLACK_API_URL;

    fn check(kind: Kind, expect: &Expect) {
        let found = problems(&Integration::new(kind));
        expect.assert_eq(&found.iter().map(|one| format!("{}: {}\n", one.field, one.message)).collect::<String>());
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let bot = SlackTarget::Bot {
            token: SecretRef::Env("TOKEN".to_owned()),
            channel: " ".to_owned(),
            api_url: "slack.com".to_owned(),
        };
        check(
            Kind::Slack(SlackConfig { mention: Some("oncall".to_owned()), ..SlackConfig::new(bot) }),
            &expect![[r#"
                api_url: `slack.com` is not a web address; write `https://host/path`
                channel: a bot token needs a channel: `#name` or its id
                mention: `oncall` is nobody; write `here`, `channel`, a user id (`U…`) or a user group id (`S…`)
            "#]],
        );

        let mut mail = EmailConfig::new("foghorn", vec!["a@b".to_owned(), "a b".to_owned()], "", 25);
        mail.headers = vec![("References".to_owned(), String::new()), ("a b".to_owned(), String::new())];
        mail.hello = Some("a host".to_owned());
        mail.timeout = Millis::ZERO;
        mail.tls = SmtpTls::Plain;
        mail.insecure_skip_verify = true;
        check(
            Kind::Email(mail),
            &expect![[r#"
            to: `a b` is not a mail address; write `name@host` or `Name <name@host>`
            from: `foghorn` is not a mail address; write `name@host` or `Name <name@host>`
            smarthost: write `host:port`
            hello: `a host` is not a host name
            headers: `References` is written by Foghorn
            headers: `a b` is not a header's name
            timeout: must be longer than 0s
            tls_config: has no effect on a connection in the clear
        "#]],
        );

        let mut pagerduty = PagerDutyConfig::new(SecretRef::given("short"));
        pagerduty.url = "ftp://x".to_owned();
        check(
            Kind::PagerDuty(pagerduty),
            &expect![[r#"
            url: `ftp://x` is not a web address; write `https://host/path`
            routing_key: an Events API v2 integration key has 32 characters
        "#]],
        );

        let mut webhook = WebhookConfig::new(SecretRef::given("nowhere"));
        webhook.headers = vec![("Host".to_owned(), SecretRef::given("x")), ("a:b".to_owned(), SecretRef::given("x"))];
        webhook.http.timeout = Millis::ZERO;
        check(
            Kind::Webhook(webhook),
            &expect![[r#"
            url: not a web address; write `https://host/path`
            http_headers: `Host` is written by Foghorn
            http_headers: `a:b` is not a header's name
            timeout: must be longer than 0s
        "#]],
        );
    }

    #[test]
    fn good_ones_pass() {
        let bot = SlackTarget::Bot {
            token: SecretRef::Env("TOKEN".to_owned()),
            channel: "#alerts".to_owned(),
            api_url: SLACK_API_URL.to_owned(),
        };
        check(Kind::Slack(SlackConfig { mention: Some("S012AB".to_owned()), ..SlackConfig::new(bot) }), &expect![[""]]);
        let to = vec!["On call <oncall@shop.example>".to_owned()];
        check(Kind::Email(EmailConfig::new("foghorn@shop.example", to, "mail.shop.example", 587)), &expect![[""]]);
        check(Kind::PagerDuty(PagerDutyConfig::new(SecretRef::Env("KEY".to_owned()))), &expect![[""]]);
        check(Kind::Webhook(WebhookConfig::new(SecretRef::given("https://hooks.shop.example/x"))), &expect![[""]]);
    }
}
