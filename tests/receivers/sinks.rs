//! What a terminal shows of the stand-ins: the story of one group, one line for each thing that arrives.

use std::sync::Arc;

use expect_test::expect;
use foghorn::edge::senders::Senders;
use foghorn::edge::standins::Standins;
use foghorn::model::{Outcome, ThreadHandle, WallTime};

use crate::samples;

#[tokio::test]
async fn the_life_of_a_group_on_a_terminal() {
    let lines = Arc::new(parking_lot::Mutex::new(String::new()));
    let sink = lines.clone();
    let feed = Arc::new(move |line: String| {
        sink.lock().push_str(&line);
        sink.lock().push('\n');
    });
    let standins = Standins::start(feed).await.expect("stand-ins");
    let receivers = standins.receivers();
    let senders = Senders::new(&receivers, |_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut threads: Vec<Option<ThreadHandle>> = vec![None; receivers.len()];
    for notification in [samples::firing(), samples::changed(), samples::resolved()] {
        for (receiver, thread) in receivers.iter().zip(&mut threads) {
            let delivery = samples::delivery(notification.clone(), 1, thread.clone());
            match senders.send(&receiver.name, delivery, WallTime(samples::START)).await {
                Outcome::Delivered { thread: handle } => *thread = handle,
                other => panic!("{}: {other:?}", receiver.name),
            }
        }
    }
    expect![[r#"
        slack      🔴 [FIRING:1] CheckoutSlow · service=checkout, endpoint=/pay, team=payments  checkout answers in 1.24s at the 99th percentile
        mail       oncall@shop.example  [FIRING:1] CheckoutSlow · service=checkout, endpoint=/pay, team=payments
        pagerduty  critical  CheckoutSlow: checkout answers in 1.24s at the 99th percentile (endpoint=/pay, service=checkout, team=payments)
        webhook    firing    1 alert of {}/{severity="critical"}:{alertname="CheckoutSlow", service="checkout"}
        slack      ✎ 🔴 [FIRING:2, RESOLVED:1] CheckoutSlow · service=checkout, team=payments
        slack      ↳ 🟠 1 more firing  • CheckoutSlow endpoint=/basket, service=checkout, team=payments: checkout answers in 1.24s at the 99th percentile
        mail       oncall@shop.example  [FIRING:2, RESOLVED:1] CheckoutSlow · service=checkout, team=payments
        pagerduty  critical  CheckoutSlow: checkout answers in 1.24s at the 99th percentile (endpoint=/pay, service=checkout, team=payments) (and 1 more firing)
        webhook    firing    3 alerts of {}/{severity="critical"}:{alertname="CheckoutSlow", service="checkout"}
        slack      ✎ 🟢 [RESOLVED:1] CheckoutSlow · service=checkout, endpoint=/pay, team=payments  checkout answers in 1.24s at the 99th percentile
        slack      ↳ 🟢 Resolved after 25m
        mail       oncall@shop.example  [RESOLVED:1] CheckoutSlow · service=checkout, endpoint=/pay, team=payments
        pagerduty  resolve   CheckoutSlow: checkout answers in 1.24s at the 99th percentile (endpoint=/pay, service=checkout, team=payments) (and 1 more firing)
        webhook    resolved  1 alert of {}/{severity="critical"}:{alertname="CheckoutSlow", service="checkout"}
    "#]].assert_eq(&lines.lock());
}
