//! Who the demo tells: the terminal, or stand-ins for Slack, SMTP and PagerDuty that show what they were sent.

use std::io::Write;
use std::sync::Arc;

use crate::alert::route::{Route, RouteTree};
use crate::cli::CommandError;
use crate::config::checked::desk_config;
use crate::config::shipped_routes as shipped;
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
    _standins: Option<Standins>,
}

impl Sinks {
    pub async fn start(stand_in: bool, external_url: &str, colours: bool) -> Result<Sinks, CommandError> {
        let standins = match stand_in {
            true => Some(Standins::start(Arc::new(|line| show(&line))).await?),
            false => None,
        };
        let mut receivers = standins.as_ref().map_or_else(Vec::new, Standins::receivers);
        receivers.retain(|receiver| &*receiver.name != "webhook");
        let colour = if colours { Colour::Always } else { Colour::Never };
        let console = Integration::new(Kind::Console(ConsoleConfig { colour }));
        receivers.push(Receiver { name: "console".into(), integrations: vec![console] });
        // The shipped routing by severity; only, the story is short, so groups do not wait as long as in earnest.
        let root = Route {
            group_wait: Some(Millis::from_secs(1)),
            group_interval: Some(Millis::from_secs(5)),
            ..shipped(&receivers)
        };
        Ok(Sinks {
            receivers,
            routes: RouteTree::new(root)?,
            external_url: external_url.to_owned(),
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
        Ok(senders.with_console(Arc::new(|_, _| Ok(()))))
    }
}

fn show(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "            {line}");
}
