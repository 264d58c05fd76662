//! Notifications the tests tell their stories with: a small web shop on a bad afternoon.

use std::sync::Arc;

use foghorn::model::labels::Labels;
use foghorn::model::position::{Position, SourceId};
use foghorn::model::{
    AlertStatus, AlertView, Comparison, Contributor, Delivery, DeliveryId, EventTime, Evidence, Exemplar, Millis,
    Notification, RuleMeta, SendReason, ThreadHandle, WallTime,
};

/// 2026-03-30 15:04:05 UTC
pub const START: i64 = 1_774_883_045_000;

pub fn rule(name: &str, line: u32) -> Arc<RuleMeta> {
    Arc::new(RuleMeta { name: name.into(), group: "checkout".into(), file: "rules/shop.yaml".into(), line })
}

pub fn annotations(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, String)> {
    pairs.iter().map(|(name, text)| ((*name).into(), (*text).to_owned())).collect()
}

fn evidence() -> Evidence {
    let compare = |text: &str, left: f64, right: f64| Comparison {
        text: text.to_owned(),
        left: Some(left),
        right: Some(right),
        holds: Some(left > right),
    };
    let contributor = |value: &str, count| Contributor { name: "by_client".into(), value: value.to_owned(), count };
    let exemplar = |seconds: i64, offset: i64, id: Option<&str>, text: &str| Exemplar {
        at: EventTime(START + seconds * 1_000),
        position: Position { source: SourceId::new("shop.requests", 3), offset },
        id: id.map(str::to_owned),
        text: Some(text.to_owned()),
    };
    Evidence {
        condition: "p99 > 800 && errors / total > 0.05 && total >= 50".to_owned(),
        comparisons: vec![
            compare("p99 > 800", 1_240.0, 800.0),
            compare("errors / total > 0.05", 0.1198, 0.05),
            compare("total >= 50", 5_120.0, 50.0),
        ],
        values: vec![
            ("p99".into(), Some(1_240.0)),
            ("total".into(), Some(5_120.0)),
            ("errors".into(), Some(613.0)),
            ("before".into(), None),
        ],
        contributors: vec![contributor("10.4.0.17", 411), contributor("10.4.0.9", 102), contributor("10.4.2.2", 7)],
        exemplars: vec![
            exemplar(-4, 1_042, Some("4bf92f3577b34da6"), r#"{"status":504,"path":"/pay","latency_ms":30001}"#),
            exemplar(-2, 1_048, None, "POST /pay 504 30002ms upstream timed out"),
        ],
        window: Millis::from_secs(300),
    }
}

/// A firing alert of `CheckoutSlow` for one endpoint.
pub fn slow(endpoint: &str, severity: &str) -> AlertView {
    let labels = Labels::from_pairs([
        ("alertname", "CheckoutSlow"),
        ("service", "checkout"),
        ("endpoint", endpoint),
        ("severity", severity),
        ("team", "payments"),
    ]);
    AlertView {
        fingerprint: labels.fingerprint(),
        status: AlertStatus::Firing,
        rule: rule("CheckoutSlow", 12),
        labels,
        annotations: annotations(&[
            ("summary", "checkout answers in 1.24s at the 99th percentile"),
            ("description", "Customers wait at the till.\nThe payment provider is the usual suspect."),
            ("runbook_url", "https://wiki.shop.example/runbooks/checkout?from=foghorn&v=2"),
            ("dashboard_url", "https://grafana.shop.example/d/checkout"),
        ]),
        starts_at: EventTime(START),
        active_since: EventTime(START - 120_000),
        ends_at: None,
        value: Some(1_240.0),
        evidence: Arc::new(evidence()),
    }
}

pub fn over(alert: AlertView, after: Millis) -> AlertView {
    AlertView { status: AlertStatus::Resolved, ends_at: Some(alert.starts_at + after), ..alert }
}

pub fn notification(sequence: u32, reason: SendReason, alerts: Vec<AlertView>) -> Notification {
    Notification {
        receiver: "payments-oncall".into(),
        group_key: r#"{}/{severity="critical"}:{alertname="CheckoutSlow", service="checkout"}"#.into(),
        group_labels: Labels::from_pairs([("alertname", "CheckoutSlow"), ("service", "checkout")]),
        group_since: EventTime(START),
        sequence,
        reason,
        at: WallTime(START + 30_000 + i64::from(sequence - 1) * 690_000),
        alerts,
        truncated: 0,
        external_url: "https://foghorn.shop.example".into(),
    }
}

/// The first word: one alert, everything known about it.
pub fn firing() -> Notification {
    notification(1, SendReason::New, vec![slow("/pay", "critical")])
}

/// Eleven minutes on: one more fires, one is over.
pub fn changed() -> Notification {
    let alerts = vec![
        slow("/basket", "warning"),
        slow("/pay", "critical"),
        over(slow("/cart", "critical"), Millis::from_secs(240)),
    ];
    notification(2, SendReason::Changed, alerts)
}

pub fn repeated() -> Notification {
    notification(3, SendReason::Repeat, vec![slow("/pay", "critical")])
}

/// The last word.
pub fn resolved() -> Notification {
    notification(4, SendReason::AllResolved, vec![over(slow("/pay", "critical"), Millis::from_secs(1_500))])
}

/// More alerts than anybody reads, and more that the desk did not even show.
pub fn many() -> Notification {
    let alerts =
        (0..60).map(|n| slow(&format!("/shop/{n:02}"), if n % 3 == 0 { "critical" } else { "warning" })).collect();
    Notification { truncated: 40, ..notification(1, SendReason::New, alerts) }
}

/// Text that tries to be markup, mentions, headers, terminal codes and right-to-left.
pub fn weird() -> Notification {
    let mut alert = slow("/a<b>&\"c'", "critical");
    alert.labels = alert.labels.with([
        ("path", "<!channel> <https://evil.example|click> `x` *bold* & \u{202e}txt.exe"),
        ("lines", "one\r\nBcc: everybody@shop.example\n\ntwo\u{1b}[31mred"),
        ("emoji", "🧯 カート überlastet"),
        ("empty_", " "),
    ]);
    alert.fingerprint = alert.labels.fingerprint();
    alert.annotations = annotations(&[
        ("summary", "</td><script>alert('x')</script> & \"quotes\" {{ braces }}"),
        ("runbook_url", "javascript:alert(1)"),
        ("wiki_url", "https://wiki.shop.example/\"><img src=x>"),
        ("dashboard_url", "https://grafana.shop.example/d/x?a=1&b=2"),
    ]);
    let mut evidence = evidence();
    evidence.comparisons[0].left = Some(f64::INFINITY);
    evidence.values[0].1 = Some(f64::NAN);
    evidence.exemplars[1].text = Some("GET /`rm -rf` <b>\u{0}\u{7}\t\"'\\ \u{feff}".to_owned());
    alert.evidence = Arc::new(evidence);
    let group_labels = Labels::from_pairs([("alertname", "Checkout\r\nSlow"), ("service", "<checkout>")]);
    Notification { group_labels, ..notification(1, SendReason::New, vec![alert]) }
}

/// Nothing but what must be there: no annotations, no numbers, no page.
pub fn bare() -> Notification {
    let labels = Labels::from_pairs([("alertname", "Silent"), ("host", "db-1")]);
    let alert = AlertView {
        fingerprint: labels.fingerprint(),
        rule: rule("Silent", 40),
        labels,
        annotations: Vec::new(),
        value: None,
        evidence: Arc::new(Evidence {
            condition: "absent: 5m".to_owned(),
            window: Millis::from_secs(300),
            ..Evidence::default()
        }),
        ..slow("/", "info")
    };
    Notification {
        external_url: "".into(),
        group_labels: Labels::default(),
        ..notification(1, SendReason::New, vec![alert])
    }
}

/// As large as the model lets it be.
pub fn huge() -> Notification {
    let value = "<&>\"\\ü".repeat(128);
    let long = "a \"long\" <story> & more\n".repeat(20_000);
    let pairs: Vec<(String, String)> = (0..60).map(|n| (format!("label_{n:02}"), value.clone())).collect();
    let alerts = (0..200).map(|n| {
        let base = slow(&format!("/{n}"), "critical");
        let labels = base.labels.with(pairs.clone());
        let mut evidence = evidence();
        for exemplar in &mut evidence.exemplars {
            exemplar.text = Some("<".repeat(256));
        }
        evidence.contributors = (0..200)
            .map(|n| Contributor { name: format!("top{}", n / 10).into(), value: value.clone(), count: n })
            .collect();
        AlertView {
            fingerprint: labels.fingerprint(),
            labels,
            annotations: annotations(&[
                ("summary", &long),
                ("description", &long),
                ("x_url", &format!("https://x/{}", "y".repeat(1_900))),
            ]),
            evidence: Arc::new(evidence),
            ..base
        }
    });
    Notification { truncated: 9_800, ..notification(1, SendReason::New, alerts.collect()) }
}

pub fn delivery(notification: Notification, attempt: u32, thread: Option<ThreadHandle>) -> Delivery {
    Delivery {
        id: DeliveryId(7),
        integration: 0,
        attempt,
        notification: Arc::new(notification),
        thread,
        perhaps_repeated: false,
    }
}
