//! Receivers: integrations with their addresses, secrets and options, as `notify` wants them.

use super::{Checker, host_port};
use crate::config::raw::{
    RawColour, RawConfig, RawConsole, RawEmail, RawGlobal, RawHttp, RawPagerDuty, RawPagerDutySeverity, RawReceiver,
    RawSlack, RawSmtpMechanism, RawWebhook,
};
use crate::model::time::Millis;
use crate::notify::check::problems;
use crate::notify::config::{
    Colour, ConsoleConfig, EmailConfig, HttpAuth, HttpOptions, Integration, Kind, PAGERDUTY_URL, PagerDutyConfig,
    PagerDutySeverity, SLACK_API_URL, SlackConfig, SlackTarget, SmtpAuth, SmtpMechanism, SmtpTls, WebhookConfig,
};
use crate::notify::{Receiver, SecretRef};
use crate::rule::diagnostic::{Code, Place};
use crate::rule::yaml::read::{At, Given, OneOrMany, ShortOrFull};

/// Finds the place of a key.
type PlaceOf<'a> = dyn Fn(&str) -> Place + 'a;

/// The longest a request may take; the desk's own net is above it.
pub const TIMEOUT_MAX: Millis = Millis::from_secs(50);

/// The receiver that is there where the configuration declares none.
pub const DEFAULT_RECEIVER: &str = "console";

impl Checker<'_> {
    /// All receivers, or the one on the console where none is declared. `None` where one is wrong.
    pub(super) fn receivers(&mut self, raw: &RawConfig) -> Option<Vec<Receiver>> {
        let before = self.log.errors();
        let declared = match &raw.receivers {
            Given::Unusable => return None,
            Given::No => {
                let console = Integration::new(Kind::Console(ConsoleConfig::default()));
                return Some(vec![Receiver { name: DEFAULT_RECEIVER.into(), integrations: vec![console] }]);
            }
            Given::Yes(declared) => declared,
        };
        let global = raw.global.get();
        let mut seen: Vec<(&str, Place)> = Vec::new();
        let mut out = Vec::new();
        for receiver in declared {
            let integrations = self.integrations(receiver, global);
            let Some(name) = receiver.name.get() else {
                if receiver.name.is_missing() {
                    self.missing(receiver.place, "name", "name: NAME");
                }
                continue;
            };
            match seen.iter().find(|(other, _)| *other == name.value) {
                Some((_, first)) => {
                    self.log
                        .error(Code::DuplicateName, name.place, format!("receiver `{}` is there already", name.value))
                        .label("again here")
                        .related(*first, "first here")
                        .hint("a receiver may have several integrations; list them in one");
                }
                None => seen.push((&name.value, name.place)),
            }
            out.push(Receiver { name: name.value.as_str().into(), integrations });
        }
        (self.log.errors() == before).then_some(out)
    }

    fn integrations(&mut self, raw: &RawReceiver, global: Option<&RawGlobal>) -> Vec<Integration> {
        let mut out = Vec::new();
        let mut add = |this: &mut Self, send_resolved: &Given<At<bool>>, kind: Option<Kind>, place: &PlaceOf<'_>| {
            let Some(kind) = kind else { return };
            let integration = Integration { send_resolved: send_resolved.or(true), kind };
            for problem in problems(&integration) {
                let message = format!("`{}`: {}", problem.field, problem.message);
                this.log.error(Code::BadValue, place(problem.field), message);
            }
            out.push(integration);
        };
        for slack in raw.slack_configs.get().into_iter().flatten() {
            let kind = self.slack(slack, global).map(Kind::Slack);
            add(self, &slack.send_resolved, kind, &|key| slack.place_of(key));
        }
        for email in raw.email_configs.get().into_iter().flatten() {
            let kind = self.email(email, global).map(Kind::Email);
            add(self, &email.send_resolved, kind, &|key| email.place_of(key));
        }
        for pagerduty in raw.pagerduty_configs.get().into_iter().flatten() {
            let kind = self.pagerduty(pagerduty, global).map(Kind::PagerDuty);
            add(self, &pagerduty.send_resolved, kind, &|key| pagerduty.place_of(key));
        }
        for webhook in raw.webhook_configs.get().into_iter().flatten() {
            let kind = self.webhook(webhook, global).map(Kind::Webhook);
            add(self, &webhook.send_resolved, kind, &|key| webhook.place_of(key));
        }
        for console in raw.console_configs.get().into_iter().flatten() {
            let kind = Some(Kind::Console(console_config(console)));
            add(self, &console.send_resolved, kind, &|key| console.place_of(key));
        }
        out
    }

    fn slack(&mut self, raw: &RawSlack, global: Option<&RawGlobal>) -> Option<SlackConfig> {
        let http = self.http(raw.http_config.get(), global, false);
        let own_url = self.secret(&raw.api_url_file, &raw.api_url_env, "api_url");
        let own_token = self.secret(&raw.app_token_file, &raw.app_token_env, "app_token");
        let given = |given: &Given<At<String>>| !given.is_missing();
        let (url_given, token_given) = (
            given(&raw.api_url_file) || given(&raw.api_url_env),
            given(&raw.app_token_file) || given(&raw.app_token_env),
        );
        if url_given && token_given {
            self.log
                .error(Code::BadValue, raw.place, "a Slack integration is either a webhook or an app")
                .hint("keep `api_url_…` (an incoming webhook) or `app_token_…` with `channel` (an app)");
            return None;
        }
        let (url, token) = match (url_given || token_given, global) {
            (true, _) | (false, None) => (own_url, own_token),
            (false, Some(global)) => (
                self.secret(&global.slack_api_url_file, &global.slack_api_url_env, "slack_api_url"),
                self.secret(&global.slack_app_token_file, &global.slack_app_token_env, "slack_app_token"),
            ),
        };
        let api_url = match raw.app_url.get().or(global.and_then(|global| global.slack_app_url.get())) {
            Some(at) => self.url(at)?.trim_end_matches('/').to_owned(),
            None => SLACK_API_URL.to_owned(),
        };
        let target = match (token, url) {
            (Some(token), _) => {
                let Some(channel) = raw.channel.text() else {
                    if raw.channel.is_missing() {
                        self.missing(raw.place, "channel", "channel: \"#alerts\"");
                    }
                    return None;
                };
                SlackTarget::Bot { token, channel: channel.to_owned(), api_url }
            }
            (None, Some(url)) => {
                if let Some(channel) = raw.channel.get() {
                    self.log
                        .warning(
                            Code::Unused,
                            channel.place,
                            "an incoming webhook has its channel; this one is ignored",
                        )
                        .hint("remove `channel`, or post as an app with `app_token_file`");
                }
                SlackTarget::Webhook { url }
            }
            (None, None) => {
                if !url_given && !token_given {
                    self.missing(
                        raw.place,
                        "api_url_file",
                        "api_url_file: PATH, or app_token_file: PATH and channel: NAME",
                    );
                }
                return None;
            }
        };
        let mut config = SlackConfig::new(target);
        config.username = raw.username.text().map(str::to_owned);
        config.icon_emoji = raw.icon_emoji.text().map(str::to_owned);
        config.mention = raw.mention.text().map(|text| text.trim_start_matches(['@', '!']).to_owned());
        config.broadcast = raw.broadcast.or(true);
        config.http = http?.0;
        Some(config)
    }

    fn email(&mut self, raw: &RawEmail, global: Option<&RawGlobal>) -> Option<EmailConfig> {
        let before = self.log.errors();
        let to = self.mailboxes(raw);
        let from = match raw.from.get().or(global.and_then(|global| global.smtp_from.get())) {
            Some(at) => self.mailbox(at),
            None => {
                self.missing(raw.place, "from", "from: foghorn@example.org (or smtp_from under `global`)");
                None
            }
        };
        let smarthost = match raw.smarthost.get().or(global.and_then(|global| global.smtp_smarthost.get())) {
            Some(at) => match host_port(&at.value) {
                Ok(found) => Some(found),
                Err(reason) => {
                    self.log
                        .error(Code::BadValue, at.place, format!("`{}` is no mail server: {reason}", at.value))
                        .hint("write `host:port`, such as `smtp.example.org:587`");
                    None
                }
            },
            None => {
                self.missing(
                    raw.place,
                    "smarthost",
                    "smarthost: smtp.example.org:587 (or smtp_smarthost under `global`)",
                );
                None
            }
        };
        let auth = self.smtp_auth(raw, global);
        let reply_to = raw.reply_to.get().and_then(|at| self.mailbox(at));
        let timeout = self.timeout(&raw.timeout, Millis::from_secs(30));
        let ca_file = raw.tls_config.get().and_then(|tls| tls.ca_file.get()).map(|at| self.file(at));
        let (host, port) = smarthost?;
        let mut config = EmailConfig::new(from?, to, host, port);
        let require_tls = raw
            .require_tls
            .get()
            .map(|at| at.value)
            .or(global.and_then(|g| g.smtp_require_tls.get()).map(|at| at.value));
        let implicit = raw
            .force_implicit_tls
            .get()
            .or(global.and_then(|global| global.smtp_force_implicit_tls.get()))
            .map_or(port == 465, |at| at.value);
        config.tls = match (implicit, require_tls.unwrap_or(true)) {
            (true, _) => SmtpTls::Implicit,
            (false, true) => SmtpTls::StartTls,
            (false, false) => SmtpTls::Plain,
        };
        config.hello = raw.hello.get().or(global.and_then(|g| g.smtp_hello.get())).map(|at| at.value.clone());
        config.auth = auth;
        config.reply_to = reply_to;
        config.ca_file = ca_file;
        config.insecure_skip_verify = raw.tls_config.get().is_some_and(|tls| tls.insecure_skip_verify.or(false));
        config.headers = raw.headers.get().map_or(Vec::new(), |headers| {
            headers.list.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect()
        });
        config.list_id = raw.list_id.text().map(str::to_owned);
        config.stable_subject = raw.stable_subject.or(false);
        config.timeout = timeout;
        (self.log.errors() == before).then_some(config)
    }

    fn mailboxes(&mut self, raw: &RawEmail) -> Vec<String> {
        let mut out = Vec::new();
        for at in raw.to.get().into_iter().flat_map(|list| &list.0) {
            for part in at.value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                if let Some(one) = self.mailbox(&At { value: part.to_owned(), place: at.place }) {
                    out.push(one);
                }
            }
        }
        if raw.to.is_missing() || raw.to.get().is_some_and(|list| list.0.is_empty()) {
            self.missing(raw.place, "to", "to: oncall@example.org");
        }
        out
    }

    /// `user@host`, or `Name <user@host>`.
    fn mailbox(&mut self, at: &At<String>) -> Option<String> {
        match at.value.parse::<lettre::message::Mailbox>() {
            Ok(_) => Some(at.value.clone()),
            Err(_) => {
                self.log
                    .error(Code::BadValue, at.place, format!("`{}` is no mail address", at.value))
                    .hint("write `oncall@example.org`, or `On call <oncall@example.org>`");
                None
            }
        }
    }

    fn smtp_auth(&mut self, raw: &RawEmail, global: Option<&RawGlobal>) -> Option<SmtpAuth> {
        let username = raw.auth_username.get().or(global.and_then(|global| global.smtp_auth_username.get()));
        let own = !raw.auth_password_file.is_missing() || !raw.auth_password_env.is_missing();
        let password = match (own, global) {
            (true, _) | (false, None) => self.secret(&raw.auth_password_file, &raw.auth_password_env, "auth_password"),
            (false, Some(global)) => {
                self.secret(&global.smtp_auth_password_file, &global.smtp_auth_password_env, "smtp_auth_password")
            }
        };
        let mechanism = raw.auth_mechanism.get().map(|at| match at.value {
            RawSmtpMechanism::Plain => SmtpMechanism::Plain,
            RawSmtpMechanism::Login => SmtpMechanism::Login,
        });
        match (username, password) {
            (Some(username), Some(password)) => {
                Some(SmtpAuth { username: username.value.clone(), password, mechanism })
            }
            (Some(username), None) => {
                if !own {
                    self.log
                        .error(Code::MissingKey, username.place, "a user name without a password")
                        .hint("add `auth_password_file: PATH`, or `auth_password_env: NAME`");
                }
                None
            }
            (None, Some(_)) => {
                self.missing(raw.place, "auth_username", "auth_username: NAME");
                None
            }
            (None, None) => None,
        }
    }

    fn pagerduty(&mut self, raw: &RawPagerDuty, global: Option<&RawGlobal>) -> Option<PagerDutyConfig> {
        let http = self.http(raw.http_config.get(), global, false);
        let key = self.secret(&raw.routing_key_file, &raw.routing_key_env, "routing_key");
        if raw.routing_key_file.is_missing() && raw.routing_key_env.is_missing() {
            self.missing(raw.place, "routing_key_file", "routing_key_file: PATH, or routing_key_env: NAME");
        }
        let url = match raw.url.get().or(global.and_then(|global| global.pagerduty_url.get())) {
            Some(at) => self.url(at),
            None => Some(PAGERDUTY_URL.to_owned()),
        };
        let client_url = match raw.client_url.get() {
            Some(at) => Some(self.url(at)?),
            None => None,
        };
        let mut config = PagerDutyConfig::new(key?);
        config.url = url?;
        config.client_url = client_url;
        if let Some(client) = raw.client.text() {
            config.client = client.to_owned();
        }
        if let Some(label) = raw.severity_label.text() {
            config.severity_label = label.to_owned();
        }
        if let Some(severities) = raw.severities.get() {
            config.severities =
                severities.list.iter().map(|(name, at)| (name.value.clone(), pagerduty_severity(at.value))).collect();
        }
        config.severity_default = pagerduty_severity(raw.severity.or(RawPagerDutySeverity::Error));
        let names = |given: &Given<OneOrMany<At<String>>>, into: &mut Vec<String>| {
            if let Some(list) = given.get() {
                *into = list.0.iter().map(|at| at.value.clone()).collect();
            }
        };
        names(&raw.source, &mut config.source);
        names(&raw.component, &mut config.component);
        names(&raw.group, &mut config.group);
        names(&raw.class, &mut config.class);
        config.http = http?.0;
        Some(config)
    }

    fn webhook(&mut self, raw: &RawWebhook, global: Option<&RawGlobal>) -> Option<WebhookConfig> {
        let http = self.http(raw.http_config.get(), global, true);
        let hidden = self.secret(&raw.url_file, &raw.url_env, "url");
        let url = match (raw.url.get(), hidden) {
            (Some(at), Some(_)) => {
                self.log
                    .error(Code::BadValue, at.place, "the URL is given twice")
                    .hint("keep one of `url`, `url_file`, `url_env`");
                return None;
            }
            (Some(at), None) => self.url(at).map(SecretRef::given),
            (None, Some(hidden)) => Some(hidden),
            (None, None) => {
                if raw.url.is_missing() && raw.url_file.is_missing() && raw.url_env.is_missing() {
                    self.missing(raw.place, "url", "url: https://example.org/hook");
                }
                None
            }
        };
        let mut headers = Vec::new();
        for (name, value) in raw.http_headers.get().into_iter().flat_map(|headers| &headers.list) {
            let value = match value {
                ShortOrFull::Short(at) => Some(SecretRef::given(at.value.as_str())),
                ShortOrFull::Full(full) => {
                    let found = self.secret(&full.file, &full.env, &name.value);
                    if full.file.is_missing() && full.env.is_missing() {
                        self.missing(full.place, "file", "file: PATH, or env: NAME");
                    }
                    found
                }
            };
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.value.is_empty() || !name.value.chars().all(token) {
                self.log.error(Code::BadName, name.place, format!("`{}` cannot be a header's name", name.value));
            }
            headers.push((name.value.clone(), value?));
        }
        let (http, auth) = http?;
        let mut config = WebhookConfig::new(url?);
        config.headers = headers;
        config.auth = auth;
        config.http = http;
        config.max_alerts = raw.max_alerts.or(0);
        config.evidence = raw.evidence.or(true);
        Some(config)
    }

    /// Options of one HTTP integration, with those of `global` where it says none.
    fn http(
        &mut self,
        own: Option<&RawHttp>,
        global: Option<&RawGlobal>,
        may_authorise: bool,
    ) -> Option<(HttpOptions, Option<HttpAuth>)> {
        let Some(raw) = own.or(global.and_then(|global| global.http_config.get())) else {
            return Some((HttpOptions::default(), None));
        };
        let default = HttpOptions::default();
        let tls = raw.tls_config.get();
        let options = HttpOptions {
            timeout: self.timeout(&raw.timeout, default.timeout),
            connect_timeout: self.timeout(&raw.connect_timeout, default.connect_timeout),
            ca_file: tls.and_then(|tls| tls.ca_file.get()).map(|at| self.file(at)),
            insecure_skip_verify: tls.is_some_and(|tls| tls.insecure_skip_verify.or(false)),
            proxy_from_environment: raw.proxy_from_environment.or(true),
        };
        let place = raw.authorization.get().map(|raw| raw.place).or(raw.basic_auth.get().map(|raw| raw.place));
        let Some(place) = place else { return Some((options, None)) };
        if !may_authorise {
            // What `global` says for webhooks is not meant for Slack and PagerDuty.
            if own.is_some() {
                self.log
                    .error(Code::BadValue, place, "only webhooks are given an `Authorization`")
                    .hint("Slack and PagerDuty know us by their own keys; remove it");
                return None;
            }
            return Some((options, None));
        }
        let auth = match (raw.authorization.get(), raw.basic_auth.get()) {
            (Some(_), Some(both)) => {
                self.log
                    .error(Code::BadValue, both.place, "`authorization` and `basic_auth` are both given")
                    .hint("keep one");
                return None;
            }
            (Some(raw), None) => {
                let credentials = self.secret(&raw.credentials_file, &raw.credentials_env, "credentials");
                if raw.credentials_file.is_missing() && raw.credentials_env.is_missing() {
                    self.missing(raw.place, "credentials_file", "credentials_file: PATH, or credentials_env: NAME");
                }
                HttpAuth::Authorization {
                    scheme: raw.r#type.text().unwrap_or("Bearer").to_owned(),
                    credentials: credentials?,
                }
            }
            (None, Some(raw)) => {
                let password = self.secret(&raw.password_file, &raw.password_env, "password");
                if raw.password_file.is_missing() && raw.password_env.is_missing() {
                    self.missing(raw.place, "password_file", "password_file: PATH, or password_env: NAME");
                }
                if raw.username.is_missing() {
                    self.missing(raw.place, "username", "username: NAME");
                }
                HttpAuth::Basic { username: raw.username.text()?.to_owned(), password: password? }
            }
            (None, None) => return Some((options, None)),
        };
        Some((options, Some(auth)))
    }

    fn timeout(&mut self, given: &Given<At<Millis>>, default: Millis) -> Millis {
        let Some(at) = given.get() else { return default };
        if at.value < Millis(100) || at.value > TIMEOUT_MAX {
            let message = format!("a timeout of {}; 100ms to {TIMEOUT_MAX} is possible", at.value);
            self.log.error(Code::BadDuration, at.place, message);
        }
        at.value
    }
}

fn console_config(raw: &RawConsole) -> ConsoleConfig {
    let colour = match raw.colour.or(RawColour::Auto) {
        RawColour::Auto => Colour::Auto,
        RawColour::Always => Colour::Always,
        RawColour::Never => Colour::Never,
    };
    ConsoleConfig { colour }
}

fn pagerduty_severity(raw: RawPagerDutySeverity) -> PagerDutySeverity {
    match raw {
        RawPagerDutySeverity::Critical => PagerDutySeverity::Critical,
        RawPagerDutySeverity::Error => PagerDutySeverity::Error,
        RawPagerDutySeverity::Warning => PagerDutySeverity::Warning,
        RawPagerDutySeverity::Info => PagerDutySeverity::Info,
    }
}
