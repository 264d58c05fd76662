//! Rules and streams for the commands that run them: loaded, checked, compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CommandError, GlobalArgs};
use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::config::checked::{Config, StreamConfig};
use crate::config::defaults;
use crate::config::load::{Loaded, load_config, load_rules, load_rules_from_text};
use crate::edge::commit;
use crate::engine::desk::{DeskConfig, ReceiverPolicy};
use crate::engine::plan::Plan;
use crate::engine::record::RulesRecord;
use crate::notify::outbox::IntegrationPolicy;
use crate::rule::plan::Rule;

/// The receiver there is when nothing is configured.
const CONSOLE: &str = "console";

/// Where the page is when nothing is configured.
const EXTERNAL_URL: &str = "http://127.0.0.1:9477";

/// What commands run with.
pub struct World {
    pub plan: Arc<Plan>,
    pub streams: Vec<StreamConfig>,
    /// `None` where only rule files were loaded.
    pub config: Option<Config>,
    /// The rules' files, for the record.
    pub rules: RulesRecord,
}

impl World {
    /// From a configuration, or from rule files that bring their streams (or find a configuration that has them). Prints
    /// what is wrong; `None` when that is too much.
    pub fn load(config: Option<&Path>, rules: &[PathBuf], global: &GlobalArgs) -> Result<Option<World>, CommandError> {
        let mut loaded = match (config, rules) {
            (config, []) => load_config(config.unwrap_or(Path::new(defaults::FILE_NAME)))?,
            (config, rules) => load_rules(rules, config)?,
        };
        if loaded.config.is_none()
            && let Some(path) = config
        {
            loaded.config = load_config(path)?.config;
        }
        let troubled = !loaded.is_valid() || loaded.diagnostics.warnings() > 0;
        if troubled {
            eprint!("{}", loaded.diagnostics.render(global.colours()));
        }
        Ok(loaded.is_valid().then(|| World::of(loaded)))
    }

    /// From a rule pack in memory.
    ///
    /// # Errors
    /// The pack has mistakes; the text is the report.
    pub fn of_text(name: &str, text: &str) -> Result<World, CommandError> {
        let loaded = load_rules_from_text(name, text);
        anyhow::ensure!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
        Ok(World::of(loaded))
    }

    /// With its streams in the order of `streams`, which must be the same ones.
    pub(super) fn in_order_of(self, streams: &[StreamConfig]) -> World {
        let place = |name: &str| streams.iter().position(|stream| &*stream.schema.name == name);
        if self.streams.iter().enumerate().all(|(at, stream)| place(&stream.schema.name) == Some(at)) {
            return self;
        }
        let moved = |rule: &Arc<Rule>| {
            let stream_index = place(&rule.stream).expect("the same streams");
            Arc::new(Rule { stream_index, ..Rule::clone(rule) })
        };
        let rules: Vec<_> = self.plan.rules.iter().map(moved).collect();
        let schemas: Vec<_> = streams.iter().map(|stream| stream.schema.clone()).collect();
        let plan = Arc::new(Plan::build(&schemas, &rules).with_external_url(&external_url(self.config.as_ref())));
        World { plan, streams: streams.to_vec(), ..self }
    }

    pub(super) fn of(loaded: Loaded) -> World {
        let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
        let url = external_url(loaded.config.as_ref());
        let plan = Arc::new(Plan::build(&schemas, &loaded.rules.rules).with_external_url(&url));
        let rules = rules_record(&loaded);
        World { plan, streams: loaded.streams, config: loaded.config, rules }
    }

    /// What the desk is told; without a configuration, one receiver that prints.
    pub fn desk(&self) -> DeskConfig {
        if let Some(config) = &self.config {
            return config.desk();
        }
        let receiver = ReceiverPolicy { name: CONSOLE.into(), integrations: vec![IntegrationPolicy::new("console")] };
        let by_name = GroupBy::from_names(["alertname"]).expect("one name");
        let route = Route { group_by: Some(by_name), ..Route::to(CONSOLE) };
        let tree = RouteTree::new(route).expect("one route is a tree");
        DeskConfig::new(tree, vec![receiver], EXTERNAL_URL).expect("the only receiver exists")
    }

    /// The index of a stream by its name.
    pub fn stream(&self, name: &str) -> Result<usize, CommandError> {
        self.streams.iter().position(|stream| &*stream.schema.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.streams.iter().map(|stream| &*stream.schema.name).collect();
            anyhow::anyhow!("there is no stream `{name}`; there are: {}", known.join(", "))
        })
    }
}

fn external_url(config: Option<&Config>) -> Arc<str> {
    config.map_or_else(|| EXTERNAL_URL.into(), |config| config.server.external_url.clone())
}

/// All files but the configuration, which is read first: what the rules say stands in them.
fn rules_record(loaded: &Loaded) -> RulesRecord {
    let files = loaded.diagnostics.sources().iter().skip(usize::from(loaded.config_path.is_some()));
    let files: Vec<(&str, &str)> = files.map(|file| (&*file.name, &*file.text)).collect();
    let folder = files.first().and_then(|(name, _)| Path::new(name).parent().filter(|_| loaded.config_path.is_some()));
    RulesRecord::of(files.iter().copied(), loaded.rules.rules.len(), folder.and_then(commit::checked_out))
}
