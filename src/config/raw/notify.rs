//! Routes and receivers as they are written. Names follow `alertmanager.yml` wherever it has the thing.

use crate::alert::route::Timing;
use crate::config::defaults;
use crate::model::time::Millis;
use crate::notify::config::{PAGERDUTY_URL, SLACK_API_URL};
use crate::rule::yaml::read::{At, Entries, OneOrMany, ShortOrFull, texts, yaml_choice, yaml_map};

yaml_map! {
    /// Which alerts go where, and when. The root takes every alert; the first child whose matchers hold takes it over.
    pub struct RawRoute {
        /// The receiver's name; the parent's where not given.
        pub receiver: At<String>,
        /// Several receivers, each told on its own.
        pub receivers: OneOrMany<At<String>>,
        /// Labels: alerts that agree on them are told together. `[...]` groups by all labels. The parent's where not given.
        #[schemars(extend("default" = [defaults::GROUP_BY]))]
        pub group_by: Vec<At<String>>,
        /// How long a new group waits for company before it is told.
        #[schemars(extend("default" = Timing::DEFAULT.group_wait.to_string()))]
        pub group_wait: At<Millis>,
        /// How long after a notification changes of the group are told.
        #[schemars(extend("default" = Timing::DEFAULT.group_interval.to_string()))]
        pub group_interval: At<Millis>,
        /// How often an unchanged group that still fires is told again.
        #[schemars(extend("default" = Timing::DEFAULT.repeat_interval.to_string()))]
        pub repeat_interval: At<Millis>,
        /// Conditions on labels, all of which must hold: `severity="critical"`, `!=`, `=~`, `!~`.
        pub matchers: OneOrMany<At<String>>,
        /// Whether the next sibling may take the alert, too.
        #[schemars(extend("default" = false))]
        pub r#continue: At<bool>,
        /// More particular routes.
        pub routes: Vec<RawRoute>,
    }
    elsewhere {
        "match": "say `matchers: [ 'severity=\"critical\"' ]`",
        "match_re": "say `matchers: [ 'service=~\"cart|checkout\"' ]`",
        "mute_time_intervals": "mute times are not supported yet",
        "active_time_intervals": "mute times are not supported yet",
    }
}

yaml_map! {
    /// A name, and every way in which those behind it are told.
    pub struct RawReceiver {
        /// What routes call it; unique.
        #[schemars(required)]
        pub name: At<String>,
        /// Slack channels.
        pub slack_configs: Vec<RawSlack>,
        /// Mailboxes.
        pub email_configs: Vec<RawEmail>,
        /// PagerDuty services.
        pub pagerduty_configs: Vec<RawPagerDuty>,
        /// HTTP addresses that take Alertmanager's webhook format.
        pub webhook_configs: Vec<RawWebhook>,
        /// The terminal Foghorn runs in.
        pub console_configs: Vec<RawConsole>,
    }
    elsewhere {
        "opsgenie_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "victorops_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "pushover_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "telegram_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "discord_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "msteams_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "msteamsv2_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "sns_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "webex_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
        "wechat_configs": "not supported; `webhook_configs` speaks Alertmanager's webhook format",
    }
}

yaml_map! {
    /// What all receivers share.
    pub struct RawGlobal {
        /// `host:port` of the mail server.
        pub smtp_smarthost: At<String>,
        /// The sender of mails.
        pub smtp_from: At<String>,
        /// What is said in `EHLO`.
        pub smtp_hello: At<String>,
        /// The user, where the server wants one.
        pub smtp_auth_username: At<String>,
        /// File with the password.
        pub smtp_auth_password_file: At<String>,
        /// Environment variable with the password.
        pub smtp_auth_password_env: At<String>,
        /// Refuse to send mail over a connection that is not encrypted.
        #[schemars(extend("default" = true))]
        pub smtp_require_tls: At<bool>,
        /// TLS from the first byte; port 465 means it anyway.
        pub smtp_force_implicit_tls: At<bool>,
        /// File with the URL of an incoming webhook.
        pub slack_api_url_file: At<String>,
        /// Environment variable with the URL of an incoming webhook.
        pub slack_api_url_env: At<String>,
        /// File with a bot token.
        pub slack_app_token_file: At<String>,
        /// Environment variable with a bot token.
        pub slack_app_token_env: At<String>,
        /// Slack's Web API.
        #[schemars(extend("default" = SLACK_API_URL))]
        pub slack_app_url: At<String>,
        /// PagerDuty's Events API v2.
        #[schemars(extend("default" = PAGERDUTY_URL))]
        pub pagerduty_url: At<String>,
        /// How HTTP receivers are reached, where they do not say it.
        pub http_config: RawHttp,
    }
    elsewhere {
        "resolve_timeout": "rules resolve their alerts; nothing times out",
    }
    secrets {
        "smtp_auth_password", "slack_api_url", "slack_app_token",
    }
}

yaml_map! {
    /// How an HTTP receiver is reached.
    pub struct RawHttp {
        /// For one request, from the first byte to the last.
        #[schemars(extend("default" = "10s"))]
        pub timeout: At<Millis>,
        /// For the connection alone.
        #[schemars(extend("default" = "5s"))]
        pub connect_timeout: At<Millis>,
        /// Whose certificates are taken.
        pub tls_config: RawHttpTls,
        /// Honour `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
        #[schemars(extend("default" = true))]
        pub proxy_from_environment: At<bool>,
        /// For webhooks: an `Authorization` header.
        pub authorization: RawAuthorization,
        /// For webhooks: user and password.
        pub basic_auth: RawBasicAuth,
    }
    elsewhere {
        "bearer_token" ("authorization"): "say `authorization: { credentials_file: PATH }` or `credentials_env: NAME`",
        "bearer_token_file" ("authorization"): "say `authorization: { credentials_file: PATH }`",
        "proxy_url": "set HTTPS_PROXY in the environment",
        "follow_redirects": "redirects are never followed: a notification goes where the configuration says",
    }
}

yaml_map! {
    pub struct RawHttpTls {
        /// PEM certificates trusted besides the system's.
        pub ca_file: At<String>,
        /// Take any certificate. For tests only.
        #[schemars(extend("default" = false))]
        pub insecure_skip_verify: At<bool>,
    }
}

yaml_map! {
    pub struct RawAuthorization {
        /// The scheme.
        #[schemars(extend("default" = "Bearer"))]
        pub r#type: At<String>,
        /// File with what stands behind the scheme.
        pub credentials_file: At<String>,
        /// Environment variable with it.
        pub credentials_env: At<String>,
    }
    secrets {
        "credentials",
    }
}

yaml_map! {
    pub struct RawBasicAuth {
        /// The user.
        #[schemars(required)]
        pub username: At<String>,
        /// File with the password.
        pub password_file: At<String>,
        /// Environment variable with the password.
        pub password_env: At<String>,
    }
    secrets {
        "password",
    }
}

yaml_map! {
    /// Slack, through an incoming webhook (`api_url_file`) or as an app (`app_token_file` and `channel`). An app keeps
    /// one message for each group up to date and replies in its thread.
    pub struct RawSlack {
        /// Whether the end of alerts is told, too.
        #[schemars(extend("default" = true))]
        pub send_resolved: At<bool>,
        /// File with the URL of an incoming webhook.
        pub api_url_file: At<String>,
        /// Environment variable with the URL of an incoming webhook.
        pub api_url_env: At<String>,
        /// File with a bot token (`xoxb-…`, scope `chat:write`).
        pub app_token_file: At<String>,
        /// Environment variable with a bot token.
        pub app_token_env: At<String>,
        /// Slack's Web API.
        #[schemars(extend("default" = SLACK_API_URL))]
        pub app_url: At<String>,
        /// `#name` or a channel id. Wanted with a bot token; a webhook has its channel.
        pub channel: At<String>,
        /// The sender's name, where the workspace lets an app choose it.
        pub username: At<String>,
        /// The sender's icon, such as `:foghorn:`.
        pub icon_emoji: At<String>,
        /// Whom newly firing alerts call: `here`, `channel`, a user id or a user group id.
        pub mention: At<String>,
        /// Bot token only: replies about newly firing alerts are shown in the channel as well as in the thread.
        #[schemars(extend("default" = true))]
        pub broadcast: At<bool>,
        /// How Slack is reached.
        pub http_config: RawHttp,
    }
    elsewhere {
        "token" ("app_token_file"): "say `app_token_file: PATH` or `app_token_env: NAME`",
        "token_file" ("app_token_file"): "say `app_token_file`",
        "bot_token" ("app_token_file"): "say `app_token_file: PATH` or `app_token_env: NAME`",
        "bot_token_file" ("app_token_file"): "say `app_token_file`",
        "title": "messages are laid out by Foghorn; an alert's own texts are its rule's `annotations`",
        "text": "messages are laid out by Foghorn; an alert's own texts are its rule's `annotations`",
        "color": "the colour follows the state",
    }
    secrets {
        "api_url", "app_token",
    }
}

yaml_map! {
    /// Mail. What is not said here comes from `global`.
    pub struct RawEmail {
        /// Whether the end of alerts is told, too.
        #[schemars(extend("default" = true))]
        pub send_resolved: At<bool>,
        /// Mailboxes: a list, or text with commas.
        #[schemars(required)]
        pub to: OneOrMany<At<String>>,
        /// The sender; `smtp_from` of `global` where not given.
        pub from: At<String>,
        /// Where answers go.
        pub reply_to: At<String>,
        /// `host:port` of the mail server.
        pub smarthost: At<String>,
        /// What is said in `EHLO`; the host name where not given.
        pub hello: At<String>,
        /// The user, where the server wants one.
        pub auth_username: At<String>,
        /// File with the password.
        pub auth_password_file: At<String>,
        /// Environment variable with the password.
        pub auth_password_env: At<String>,
        /// What the server offers, PLAIN before LOGIN, where not given.
        pub auth_mechanism: At<RawSmtpMechanism>,
        /// Refuse to send over a connection that is not encrypted.
        #[schemars(extend("default" = true))]
        pub require_tls: At<bool>,
        /// TLS from the first byte; port 465 means it anyway.
        pub force_implicit_tls: At<bool>,
        /// Whose certificates are taken.
        pub tls_config: RawHttpTls,
        /// Further headers.
        #[schemars(default, schema_with = "texts")]
        pub headers: Entries<At<String>>,
        /// The header `List-Id`, for people's filters.
        pub list_id: At<String>,
        /// The subject stays the same for the life of a group, so that Gmail keeps the thread together.
        #[schemars(extend("default" = false))]
        pub stable_subject: At<bool>,
        /// For the whole conversation with the server.
        #[schemars(extend("default" = "30s"))]
        pub timeout: At<Millis>,
    }
    elsewhere {
        "html": "mails are laid out by Foghorn; an alert's own texts are its rule's `annotations`",
        "text": "mails are laid out by Foghorn; an alert's own texts are its rule's `annotations`",
    }
    secrets {
        "auth_password",
    }
}

yaml_choice! {
    pub enum RawSmtpMechanism {
        Plain = "PLAIN",
        Login = "LOGIN",
    }
}

yaml_map! {
    /// PagerDuty, Events API v2.
    pub struct RawPagerDuty {
        /// Whether the end of alerts is told, too.
        #[schemars(extend("default" = true))]
        pub send_resolved: At<bool>,
        /// File with the integration key.
        pub routing_key_file: At<String>,
        /// Environment variable with the integration key.
        pub routing_key_env: At<String>,
        /// The Events API v2.
        #[schemars(extend("default" = PAGERDUTY_URL))]
        pub url: At<String>,
        /// What events say they come from.
        #[schemars(extend("default" = "Foghorn"))]
        pub client: At<String>,
        /// Where `client` links to; Foghorn's page where not given.
        pub client_url: At<String>,
        /// The label that says how bad it is.
        #[schemars(extend("default" = "severity"))]
        pub severity_label: At<String>,
        /// What that label's values mean to PagerDuty, besides the usual spellings: `{ p0: critical }`.
        pub severities: Entries<At<RawPagerDutySeverity>>,
        /// For alerts without the label, or with a value nobody knows.
        #[schemars(extend("default" = "error"))]
        pub severity: At<RawPagerDutySeverity>,
        /// Labels the event's `source` is taken from, the first that all alerts share.
        pub source: OneOrMany<At<String>>,
        /// Likewise for `component`.
        pub component: OneOrMany<At<String>>,
        /// Likewise for `group`.
        pub group: OneOrMany<At<String>>,
        /// Likewise for `class`.
        pub class: OneOrMany<At<String>>,
        /// How PagerDuty is reached.
        pub http_config: RawHttp,
    }
    elsewhere {
        "service_key" ("routing_key_file"): "that is the Events API v1; make a v2 integration and say `routing_key_file: PATH`",
        "service_key_file" ("routing_key_file"): "that is the Events API v1; make a v2 integration and say `routing_key_file: PATH`",
        "description": "events are laid out by Foghorn; an alert's own texts are its rule's `annotations`",
        "details": "events are laid out by Foghorn: labels, values and evidence are in `custom_details`",
    }
    secrets {
        "routing_key",
    }
}

yaml_choice! {
    pub enum RawPagerDutySeverity {
        Critical = "critical",
        Error = "error",
        Warning = "warning",
        Info = "info",
    }
}

yaml_map! {
    /// Alertmanager's webhook, version 4.
    pub struct RawWebhook {
        /// Whether the end of alerts is told, too.
        #[schemars(extend("default" = true))]
        pub send_resolved: At<bool>,
        /// Where to post. May stand here, unless it carries a token.
        pub url: At<String>,
        /// File with the URL.
        pub url_file: At<String>,
        /// Environment variable with the URL.
        pub url_env: At<String>,
        /// Alerts in one message; 0 for all.
        #[schemars(extend("default" = 0))]
        pub max_alerts: At<usize>,
        /// Further headers: `Name: value`, or `Name: { file: PATH }` or `{ env: NAME }` for secrets.
        pub http_headers: Entries<ShortOrFull<At<String>, RawSecret>>,
        /// Adds the field `foghorn` to each alert: rule, value and evidence.
        #[schemars(extend("default" = true))]
        pub evidence: At<bool>,
        /// How the address is reached.
        pub http_config: RawHttp,
    }
    elsewhere {
        "timeout": "say `http_config: { timeout: 10s }`",
    }
}

yaml_map! {
    /// Where a secret stands.
    pub struct RawSecret {
        /// File with the value.
        pub file: At<String>,
        /// Environment variable with the value.
        pub env: At<String>,
    }
}

yaml_map! {
    /// The terminal.
    pub struct RawConsole {
        /// Whether the end of alerts is told, too.
        #[schemars(extend("default" = true))]
        pub send_resolved: At<bool>,
        /// Whether to use colours; `auto` where the terminal takes them.
        #[schemars(extend("default" = "auto"))]
        pub colour: At<RawColour>,
    }
    elsewhere {
        "color": "it is spelled `colour` here",
    }
}

yaml_choice! {
    pub enum RawColour {
        Auto = "auto",
        Always = "always",
        Never = "never",
    }
}
