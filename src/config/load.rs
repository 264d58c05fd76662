//! From paths to a checked configuration and its rules, with everything that is wrong with any of the files.
//!
//! Two ways in. [`load_config`] begins at a configuration and follows its `rules`. [`load_rules`] begins at rule files
//! and looks for the streams they read: in the files themselves, or in a configuration beside or above them.
//!
//! What cannot even be begun (no such file) is a [`LoadError`]; everything else is a diagnostic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::stream::Home;
use super::check::{Checker, Reference};
use super::checked::{Config, Limits, StateConfig, StreamConfig};
use super::defaults;
use super::files::{self, Found};
use super::raw::{RawConfig, RawStream};
use crate::decode::Decoder;
use crate::notify::SecretRef;
use crate::rule::check::{RuleInput, check_rules};
use crate::rule::diagnostic::{Code, Diagnostics, FileId, Place};
use crate::rule::plan::RuleSet;
use crate::rule::syntax::{self, RuleFile};
use crate::rule::yaml::read::{At, Entries, Given, Read, ShortOrFull};
use crate::rule::yaml::{self, FILE_BYTES_MAX};

/// Why nothing could be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{pattern}` leads to no rule file")]
    NoFiles { pattern: String },
    #[error("`{pattern}` leads to more than {} files", files::FILES_MAX)]
    TooMany { pattern: String },
}

/// What was found, and what is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    /// `None` where it has errors, or where only rule files were loaded.
    pub config: Option<Config>,
    /// All usable streams: of the configuration, and of rule files.
    pub streams: Vec<StreamConfig>,
    pub rules: RuleSet,
    /// The configuration the streams come from, where one was read.
    pub config_path: Option<PathBuf>,
    pub diagnostics: Diagnostics,
}

impl Loaded {
    /// Whether everything can be used as it is.
    pub fn is_valid(&self) -> bool {
        !self.diagnostics.has_errors()
    }
}

/// A configuration, the rules it lists, and everything they lean on.
pub fn load_config(path: &Path) -> Result<Loaded, LoadError> {
    let text = read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let mut log = Diagnostics::new();
    let file = log.add_file(display(path), text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let raw = yaml::parse(file, &mut log).and_then(|node| RawConfig::read(&node, &mut log));
    let Some(raw) = raw else {
        return Ok(Loaded {
            config: None,
            streams: Vec::new(),
            rules: RuleSet::default(),
            config_path: Some(path.to_owned()),
            diagnostics: log,
        });
    };
    let home = if raw.kafka.is_missing() { Home::Pack } else { Home::Cluster };
    let mut streams = Streams::default();
    streams.add(raw.streams.get(), folder, home, true, &mut log);
    let inputs = listed_rules(&raw, folder, &mut log);
    let limits = raw.limits.get().map_or(Limits::default().groups_per_rule, |limits| {
        limits.groups_per_rule.or(Limits::default().groups_per_rule)
    });
    let rules = check_files(inputs, &mut streams, limits, &mut log);
    streams.note_unused(&rules, &mut log);
    streams.note_unread(&rules, home, &mut log);
    let mut checker = Checker::new(folder, &mut log);
    let config = checker.config(&raw, streams.list());
    let references = std::mem::take(&mut checker.references);
    look_at(&references, &mut log);
    let config = config.filter(|_| !log.has_errors());
    Ok(Loaded { config, streams: streams.list(), rules, config_path: Some(path.to_owned()), diagnostics: log })
}

/// The files a configuration is made of, as far as they can be told whatever is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeOf {
    /// The configuration, then the rule files.
    pub files: Vec<PathBuf>,
    /// Where they are, and where others may turn up; sorted.
    pub folders: Vec<PathBuf>,
}

/// Looks for the files of a configuration as [`load_config`] does.
pub fn made_of(path: &Path) -> MadeOf {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut made = MadeOf { files: vec![path.to_owned()], folders: vec![parent(path)] };
    let mut log = Diagnostics::new();
    let text = read(path).unwrap_or_default();
    let file = log.add_file("", text);
    let raw = yaml::parse(file, &mut log).and_then(|node| RawConfig::read(&node, &mut log));
    let folder = path.parent().unwrap_or(Path::new(""));
    for at in raw.iter().filter_map(|raw| raw.rules.get()).flat_map(|list| &list.0) {
        let base = files::base(folder, &at.value);
        made.folders.push(if base.is_dir() { base } else { parent(&base) });
        if let Found::Files(found) = files::find(folder, &at.value) {
            made.folders.extend(found.iter().map(|file| parent(file)));
            made.files.extend(found);
        }
    }
    made.folders.sort();
    made.folders.dedup();
    made
}

/// What a configuration says about state, whatever else is wrong with it.
pub fn load_state(path: &Path) -> Result<Option<StateConfig>, LoadError> {
    let text = read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let mut log = Diagnostics::new();
    let file = log.add_file(display(path), text);
    let raw = yaml::parse(file, &mut log).and_then(|node| RawConfig::read(&node, &mut log));
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(raw.and_then(|raw| raw.state.get().and_then(|state| Checker::new(folder, &mut log).state(state))))
}

/// Rule files by path, folder or pattern. Their streams come from `config`, or from a configuration found beside or
/// above them, or from themselves.
pub fn load_rules(paths: &[PathBuf], config: Option<&Path>) -> Result<Loaded, LoadError> {
    let mut log = Diagnostics::new();
    let mut listed: Vec<PathBuf> = Vec::new();
    for path in paths {
        let pattern = path.to_string_lossy().into_owned();
        match files::find(Path::new(""), &pattern) {
            Found::Unreadable(source) => return Err(LoadError::Read { path: path.clone(), source }),
            Found::TooMany => return Err(LoadError::TooMany { pattern }),
            Found::Files(found) if found.is_empty() => return Err(LoadError::NoFiles { pattern }),
            Found::Files(found) => listed.extend(found),
        }
    }
    let config_path = match config {
        Some(path) => Some(path.to_owned()),
        None => paths.first().and_then(|path| beside_or_above(path)),
    };
    let mut streams = Streams::default();
    let mut limits = Limits::default().groups_per_rule;
    if let Some(path) = &config_path {
        let text = read(path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let file = log.add_file(display(path), text);
        if let Some(raw) = yaml::parse(file, &mut log).and_then(|node| RawConfig::read(&node, &mut log)) {
            // Topics are the configuration's own business; it is not what is being checked.
            streams.add(raw.streams.get(), path.parent().unwrap_or(Path::new("")), Home::Pack, true, &mut log);
            limits = raw.limits.get().map_or(limits, |raw| raw.groups_per_rule.or(limits));
        }
    }
    // A configuration lies among its rules as often as not.
    listed.retain(|path| config_path.as_deref() != Some(path));
    let mut inputs = Vec::new();
    for path in listed {
        let text = read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let file = log.add_file(display(&path), text);
        inputs.push((file, display(&path), path.parent().unwrap_or(Path::new("")).to_owned()));
    }
    let rules = check_files(inputs, &mut streams, limits, &mut log);
    Ok(Loaded { config: None, streams: streams.list(), rules, config_path, diagnostics: log })
}

/// One rule file that brings its streams, from memory: what is compiled into the program.
pub fn load_rules_from_text(name: &str, text: &str) -> Loaded {
    let mut log = Diagnostics::new();
    let file = log.add_file(name, text);
    let mut streams = Streams::default();
    let inputs = vec![(file, name.to_owned(), PathBuf::new())];
    let rules = check_files(inputs, &mut streams, Limits::default().groups_per_rule, &mut log);
    Loaded { config: None, streams: streams.list(), rules, config_path: None, diagnostics: log }
}

/// Whether a file is a configuration rather than rules, going by its keys.
pub fn is_config(path: &Path) -> bool {
    const CONFIG_KEYS: [&str; 9] =
        ["kafka", "rules", "route", "receivers", "global", "server", "log", "shards", "state"];
    if path.file_name().is_some_and(|name| name == defaults::FILE_NAME) {
        return path.is_file();
    }
    let Ok(text) = read(path) else { return false };
    let mut log = Diagnostics::new();
    let file = log.add_file("", text);
    let node = yaml::parse(file, &mut log);
    node.is_some_and(|node| node.get("groups").is_none() && CONFIG_KEYS.iter().any(|key| node.get(key).is_some()))
}

/// `foghorn.yaml` in a path's folder, or the nearest one above it.
fn beside_or_above(path: &Path) -> Option<PathBuf> {
    let whole = fs::canonicalize(path).ok()?;
    let start = if whole.is_dir() { whole.as_path() } else { whole.parent()? };
    let found = start.ancestors().map(|folder| folder.join(defaults::FILE_NAME)).find(|file| file.is_file())?;
    // As short as the user would write it.
    let here = std::env::current_dir().ok()?;
    Some(found.strip_prefix(&here).map(Path::to_owned).unwrap_or(found))
}

fn read(path: &Path) -> std::io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX as u64 {
        let reason = format!("the file has {size} bytes; {FILE_BYTES_MAX} are allowed");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, reason));
    }
    let bytes = fs::read(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("byte {at} is not valid UTF-8"))
    })
}

fn display(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}

/// A rule file: its number, its stable name, and the folder its paths are meant from.
type Input = (FileId, String, PathBuf);

/// The rule files a configuration lists, read.
fn listed_rules(raw: &RawConfig, folder: &Path, log: &mut Diagnostics) -> Vec<Input> {
    let Some(list) = raw.rules.get() else {
        if raw.rules.is_missing() {
            log.warning(Code::NoRules, yaml::start(raw.place), "the configuration lists no rules, so nothing can fire")
                .hint("add `rules: [rules/]`");
        }
        return Vec::new();
    };
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut out = Vec::new();
    for at in &list.0 {
        let found = match files::find(folder, &at.value) {
            Found::Unreadable(error) => {
                log.error(Code::Unreadable, at.place, format!("cannot read `{}`: {error}", at.value))
                    .hint(format!("relative paths begin at {}", whole(folder)));
                continue;
            }
            Found::TooMany => {
                let message = format!("`{}` leads to more than {} files", at.value, files::FILES_MAX);
                log.error(Code::Unreadable, at.place, message);
                continue;
            }
            Found::Files(found) => found,
        };
        if found.is_empty() {
            log.warning(Code::NoRules, at.place, format!("`{}` leads to no file", at.value))
                .hint(format!("relative paths begin at {}", whole(folder)));
        }
        for path in found {
            if seen.contains(&path) {
                continue;
            }
            match read(&path) {
                Err(error) => {
                    log.error(Code::Unreadable, at.place, format!("cannot read {}: {error}", path.display()));
                }
                Ok(text) => {
                    let file = log.add_file(display(&path), text);
                    let key = path.strip_prefix(folder).unwrap_or(&path);
                    out.push((file, display(key), path.parent().unwrap_or(folder).to_owned()));
                }
            }
            seen.push(path);
        }
    }
    out
}

fn whole(folder: &Path) -> String {
    match folder.as_os_str().is_empty() {
        true => "the folder of the configuration".to_owned(),
        false => folder.display().to_string(),
    }
}

fn check_files(inputs: Vec<Input>, streams: &mut Streams, limit: u32, log: &mut Diagnostics) -> RuleSet {
    let mut parsed: Vec<(RuleFile, String)> = Vec::new();
    for (file, key, folder) in inputs {
        let Some(rules) = syntax::parse(file, log) else { continue };
        if let Some(node) = rules.streams.get() {
            let raw = Entries::<RawStream>::read(node, log);
            streams.add(raw.as_ref(), &folder, Home::Pack, false, log);
        }
        parsed.push((rules, key));
    }
    let schemas: Vec<_> = streams.known.iter().map(|known| known.stream.schema.clone()).collect();
    let inputs: Vec<RuleInput> =
        parsed.iter().map(|(file, key)| RuleInput { name: Arc::from(key.as_str()), file }).collect();
    check_rules(&inputs, &schemas, &streams.broken, limit, log)
}

/// The streams found so far.
#[derive(Default)]
struct Streams {
    known: Vec<Known>,
    /// Names of streams that are declared, but wrong: rules that read them are not told so again.
    broken: Vec<String>,
}

struct Known {
    name: At<String>,
    stream: StreamConfig,
    /// Of the configuration, which takes precedence over what packs bring.
    first: bool,
}

impl Streams {
    /// `first` for those of the configuration.
    fn add(&mut self, raw: Option<&Entries<RawStream>>, folder: &Path, home: Home, first: bool, log: &mut Diagnostics) {
        let Some(raw) = raw else { return };
        let usable = Checker::new(folder, log).streams(raw, home);
        let is_usable = |name: &str| usable.iter().any(|(at, _)| at.value == name);
        let named = raw.list.iter().map(|(at, _)| at).chain(&raw.unusable);
        self.broken.extend(named.map(|at| at.value.clone()).filter(|name| !is_usable(name)));
        for (name, stream) in usable {
            if !decodes(&name, &raw.list, &stream, log) {
                self.broken.push(name.value);
                continue;
            }
            match self.known.iter().find(|known| known.name.value == name.value) {
                None => self.known.push(Known { name, stream, first }),
                Some(known) if known.first || known.stream == stream => {}
                Some(known) => {
                    log.error(Code::DuplicateName, name.place, format!("another file has a stream `{}`", name.value))
                        .label("and this one differs")
                        .related(known.name.place, "the other one")
                        .hint("give them different names, or declare the stream once in the configuration");
                }
            }
        }
    }

    fn list(&self) -> Vec<StreamConfig> {
        self.known.iter().map(|known| known.stream.clone()).collect()
    }

    /// A stream of the configuration that no rule reads costs bandwidth for nothing.
    fn note_unused(&self, rules: &RuleSet, log: &mut Diagnostics) {
        // With mistakes in the rules, nobody knows what they would have read.
        if log.has_errors() || rules.rules.is_empty() {
            return;
        }
        for known in self.known.iter().filter(|known| known.first) {
            if !rules.rules.iter().any(|rule| *rule.stream == *known.name.value) {
                log.warning(Code::Unused, known.name.place, format!("no rule reads stream `{}`", known.name.value))
                    .hint("write a rule with `from`, or remove the stream: its topics are not read either way");
            }
        }
    }

    /// A pack's stream that has no topics is never fed from a cluster.
    fn note_unread(&self, rules: &RuleSet, home: Home, log: &mut Diagnostics) {
        if home == Home::Pack {
            return;
        }
        for known in self.known.iter().filter(|known| known.stream.topics.is_empty()) {
            if rules.rules.iter().any(|rule| *rule.stream == *known.name.value) {
                log.warning(Code::BadStream, known.name.place, format!("stream `{}` has no topics", known.name.value))
                    .label("rules read it, but nothing feeds it")
                    .hint("declare the stream in the configuration, with `topics`");
            }
        }
    }
}

/// Asks the decoder itself, and notes what it has against the stream.
fn decodes(name: &At<String>, raw: &[(At<String>, RawStream)], stream: &StreamConfig, log: &mut Diagnostics) -> bool {
    let fields: Vec<usize> = (0..stream.schema.fields.len()).collect();
    let Err(error) = Decoder::new(stream.schema.clone(), &fields) else { return true };
    let raw = raw.iter().find(|(at, _)| at.value == name.value).map(|(_, raw)| raw);
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        let text = source.to_string();
        message += &format!(": {}", text.lines().last().unwrap_or("").trim_start_matches("error: "));
        cause = source.source();
    }
    let place = raw.map_or(name.place, |raw| blame(&message, raw).unwrap_or(name.place));
    log.error(Code::BadStream, place, format!("stream `{}`: {message}", name.value));
    false
}

/// The part of a stream that a decoder's message is about: the field, the zone or the pattern it names.
fn blame(message: &str, raw: &RawStream) -> Option<Place> {
    if message.contains("zone")
        && let Given::Yes(ShortOrFull::Full(time)) = &raw.time
        && let Some(zone) = time.zone.get()
    {
        return Some(zone.place);
    }
    let named = |name: &str| message.contains(&format!("`{name}`"));
    let fields = raw.fields.get().map_or(&[][..], |fields| &fields.list[..]);
    if let Some((at, _)) = fields.iter().find(|(at, _)| named(&at.value)) {
        return Some(at.place);
    }
    raw.pattern.get().map(|at| at.place)
}

/// Whether the files and variables a configuration names are there. Warnings: the machine that checks a configuration
/// is often not the one that runs it, and has none of its secrets.
fn look_at(references: &[Reference], log: &mut Diagnostics) {
    for Reference { place, to } in references {
        let problem = match to {
            SecretRef::File(path) => match fs::File::open(path).and_then(|file| file.metadata()) {
                Ok(meta) if meta.is_file() => None,
                Ok(_) => Some(format!("{} is not a file", path.display())),
                Err(error) => Some(format!("cannot read {}: {error}", path.display())),
            },
            SecretRef::Env(name) => match std::env::var_os(name) {
                Some(value) if !value.is_empty() => None,
                _ => Some(format!("the environment variable `{name}` is not set")),
            },
            SecretRef::Given(_) => None,
        };
        if let Some(problem) = problem {
            log.warning(Code::Unreadable, *place, problem).hint("fine if it is there on the machine that runs Foghorn");
        }
    }
}
