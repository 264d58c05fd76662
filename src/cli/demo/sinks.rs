//! Who the demo tells: the terminal, or stand-ins for Slack, SMTP and PagerDuty that show what they were sent.

use std::io::Write;
use std::sync::Arc;

use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::cli::CommandError;
use crate::config::checked::desk_config;
use crate::config::defaults::routes_by_severity;
use crate::edge::secrets;
use crate::edge::senders::Senders;
use crate::edge::standins::Standins;
use crate::engine::desk::{DeskBounds, DeskConfig};
use crate::model::time::Millis;
use crate::notify::config::{Colour, ConsoleConfig, Integration, Kind, Receiver};

/// Receivers, how alerts reach them, and the stand-ins behind them, if any.
pub struct Sinks {
    receivers: Vec<Receiver>,
    routes: RouteTree,
    external_url: String,
    quiet_console: bool,
    _standins: Option<Standins>,
}

impl Sinks {
    pub async fn start(stand_in: bool, external_url: &str, colours: bool) -> Result<Sinks, CommandError> {
        let standins = match stand_in {
            true => Some(Standins::start(Arc::new(|line| show(&line))).await?),
            false => None,
        };
        let (mut receivers, root) = match &standins {
            Some(standins) => (standins.receivers(), routes_by_severity(&["slack", "email", "pagerduty"])),
            None => (Vec::new(), Route::to("console")),
        };
        receivers.retain(|receiver| &*receiver.name != "webhook");
        let colour = if colours { Colour::Always } else { Colour::Never };
        let console = Integration::new(Kind::Console(ConsoleConfig { colour }));
        receivers.push(Receiver { name: "console".into(), integrations: vec![console] });
        // The story is short, so groups do not wait as long as they do in earnest.
        let root = Route {
            receiver: root.receiver.or_else(|| Some("console".into())),
            group_by: Some(GroupBy::from_names(["alertname"]).expect("one name")),
            group_wait: Some(Millis::from_secs(1)),
            group_interval: Some(Millis::from_secs(5)),
            ..root
        };
        Ok(Sinks {
            receivers,
            routes: RouteTree::new(root)?,
            external_url: external_url.to_owned(),
            quiet_console: true,
            _standins: standins,
        })
    }

    pub fn desk(&self) -> DeskConfig {
        desk_config(self.routes.clone(), &self.receivers, &self.external_url, DeskBounds::default())
    }

    pub fn senders(&self) -> Result<Senders, CommandError> {
        let senders = Senders::new(&self.receivers, secrets::process_environment)
            .map_err(|errors| anyhow::anyhow!("stand-ins cannot be reached: {errors:?}"))?;
        // What goes to the console is told by the teller already, in the story's own words.
        let quiet = self.quiet_console;
        Ok(senders.with_console(Arc::new(move |text, _| match quiet {
            true => Ok(()),
            false => std::io::stdout().lock().write_all(text.as_bytes()),
        })))
    }
}

fn show(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "            {line}");
}
