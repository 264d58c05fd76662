//! `foghorn silence`: asks a running Foghorn for silences, over its API.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};

use super::CommandError;
use crate::alert::matcher::Matcher;
use crate::engine::transcript::clean;
use crate::model::Millis;

/// How long an answer may take: it is given when the disk has what was asked for.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct SilenceArgs {
    /// Where the running Foghorn's page is.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:9477", env = "FOGHORN_URL")]
    pub url: String,
    #[command(subcommand)]
    pub what: SilenceCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum SilenceCommand {
    /// Make one, or change one; prints its id.
    Add(AddArgs),
    /// Those that are in force or to come.
    List(ListArgs),
    /// End one now.
    Expire(ExpireArgs),
}

#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Which alerts, all of: `service="checkout"`, `env!=prod`, `host=~"web.*"`, `host!~"db.*"`.
    #[arg(required = true, value_name = "MATCHER")]
    pub matchers: Vec<String>,
    /// For how long from its start on.
    #[arg(long = "for", value_name = "LENGTH", required_unless_present = "until", conflicts_with = "until")]
    pub length: Option<Millis>,
    /// Until when (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Not before (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub comment: String,
    /// Who wants it.
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: String,
    /// The one to change. Other matchers, or another start of one that has begun, end it and make a new one.
    #[arg(long, value_name = "ID")]
    pub change: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Also those that are over.
    #[arg(long)]
    pub expired: bool,
    /// Print one JSON array.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ExpireArgs {
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Who wants it.
    #[arg(long, value_name = "NAME", env = "USER")]
    pub by: String,
}

pub(super) fn run(args: &SilenceArgs) -> Result<ExitCode, CommandError> {
    let foghorn = Foghorn::at(&args.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &args.what {
        SilenceCommand::Add(add) => runtime.block_on(foghorn.add(add)),
        SilenceCommand::List(list) => runtime.block_on(foghorn.list(list)),
        SilenceCommand::Expire(expire) => runtime.block_on(foghorn.expire(expire)),
    }
}

/// A Foghorn that runs, and how it is asked.
struct Foghorn {
    client: Client,
    silences: Url,
}

impl Foghorn {
    fn at(url: &str) -> Result<Foghorn, CommandError> {
        let silences = Url::parse(&format!("{}/api/v1/silences", url.trim_end_matches('/')))
            .with_context(|| format!("`{url}` is not a web address; write `http://host:9477`"))?;
        Ok(Foghorn { client: Client::builder().timeout(ANSWER_MAX).build()?, silences })
    }

    /// The answer's data; its warnings go to standard error.
    async fn ask(&self, request: RequestBuilder) -> Result<Value, CommandError> {
        let host = self.silences.origin().ascii_serialization();
        let answer = request
            .send()
            .await
            .with_context(|| format!("no Foghorn answers at {host}; name another with `--url`, or `FOGHORN_URL`"))?;
        let status = answer.status();
        let body: Value = answer
            .json()
            .await
            .with_context(|| format!("what answers at {host} ({status}) is no Foghorn, or an older one"))?;
        for warning in body["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("foghorn: {}", clean(warning));
        }
        match body["error"].as_str() {
            Some(error) => Err(anyhow::anyhow!("{}", clean(error))),
            None => Ok(body["data"].clone()),
        }
    }

    async fn add(&self, args: &AddArgs) -> Result<ExitCode, CommandError> {
        // Mistakes are found here first, where the shell's quotes are still in sight.
        for matcher in &args.matchers {
            matcher.parse::<Matcher>().with_context(|| format!("`{matcher}` is no matcher"))?;
        }
        let body = json!({
            "id": args.change,
            "matchers": args.matchers,
            "startsAt": args.from,
            "endsAt": args.until,
            "for": args.length,
            "createdBy": args.by,
            "comment": args.comment,
        });
        let data = self.ask(self.client.post(self.silences.clone()).json(&body)).await?;
        writeln!(std::io::stdout(), "{}", text(&data["silenceID"]))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn list(&self, args: &ListArgs) -> Result<ExitCode, CommandError> {
        let mut data = self.ask(self.client.get(self.silences.clone())).await?;
        let mut silences: Vec<Value> = data["silences"].as_array_mut().map(std::mem::take).unwrap_or_default();
        silences.retain(|silence| args.expired || silence["status"]["state"] != "expired");
        let mut out = std::io::stdout().lock();
        if args.json {
            serde_json::to_writer_pretty(&mut out, &silences).map_err(std::io::Error::from)?;
            writeln!(out)?;
            return Ok(ExitCode::SUCCESS);
        }
        for silence in &silences {
            let matchers: Vec<String> = silence["matchers"].as_array().into_iter().flatten().map(matcher).collect();
            let (state, id) = (text(&silence["status"]["state"]), text(&silence["id"]));
            let (from, until) = (text(&silence["startsAt"]), text(&silence["endsAt"]));
            let (by, comment) = (text(&silence["createdBy"]), text(&silence["comment"]));
            writeln!(out, "{id}  {state:<7}  {from} – {until}  {}  {by}: {comment}", matchers.join(" "))?;
        }
        if silences.is_empty() {
            eprintln!("nothing is silenced");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn expire(&self, args: &ExpireArgs) -> Result<ExitCode, CommandError> {
        for id in &args.ids {
            let mut url = self.silences.clone();
            url.path_segments_mut().map_err(|()| anyhow::anyhow!("`{url}` has no path", url = self.silences))?.push(id);
            url.query_pairs_mut().append_pair("by", &args.by);
            let data = self.ask(self.client.delete(url)).await?;
            let over = if data["done"] == "silence_expired" { "is over" } else { "was over already" };
            writeln!(std::io::stdout(), "{} {over}", text(&data["silenceID"]))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(value: &Value) -> String {
    clean(value.as_str().unwrap_or("?"))
}

/// `service="checkout"`
fn matcher(value: &Value) -> String {
    let op = match (value["isRegex"].as_bool(), value["isEqual"].as_bool()) {
        (Some(true), Some(false)) => "!~",
        (Some(true), _) => "=~",
        (_, Some(false)) => "!=",
        _ => "=",
    };
    let shown = value["value"].as_str().unwrap_or("?").replace('\\', "\\\\").replace('"', "\\\"");
    clean(&format!("{}{op}\"{shown}\"", value["name"].as_str().unwrap_or("?")))
}
