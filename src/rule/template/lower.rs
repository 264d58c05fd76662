//! From the tree gotmpl parsed to a tree that means what Go would have meant, and cannot run away.
//!
//! gotmpl has no methods, prints floats as Rust does, says nothing of the place of a failure, and finds unknown names
//! only when it runs. So before it runs the tree is rewritten:
//!
//! - names of functions and variables, fields of the data, numbers of arguments are checked;
//! - each call gets the render's fuel and its own place as first arguments (see [`super::functions`]);
//! - field chains become calls of ` get`, chains with arguments calls of ` method`; what is printed goes through ` show`;
//! - `{{template}}` is replaced by the body it names, its dot and its variables renamed. Without calls between templates
//!   there is no recursion, and the size of the tree is known before it runs. Templates that call themselves are refused.
//!
//! Names made here have a space in them, so nothing in a template can collide with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, Number, PipeNode, Pos, SmolStr, TemplateNode,
};

use super::functions::{self, Function, Regexes, Style};
use super::{Access, AccessKind, FaultKind, TemplateError, TemplateKind};
use crate::rule::suggest;

/// Nodes and commands a template may have, with `{{template}}` replaced by what it names.
pub(super) const NODES_MAX: usize = 4096;

/// `{{template}}` within what `{{template}}` names.
const INLINE_DEPTH_MAX: usize = 16;

/// `{{range}}` within `{{range}}`. gotmpl's escaper for HTML looks at the body of each twice, and so at the innermost of
/// fifty more often than there is time for.
const RANGE_DEPTH_MAX: usize = 6;

pub(super) struct Lowered {
    pub main: ListNode,
    pub accesses: Vec<Access>,
    pub regexes: Regexes,
    /// Where the template first depends on the numbers of the rule.
    pub value_use: Option<Range<usize>>,
}

/// What is known of a value before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The data as a whole.
    Root,
    Labels,
    ExternalLabels,
    Values,
    /// A number or a list of evidence: it changes while an alert lasts.
    Measured,
    Nothing,
}

/// The fields of the data, and the variables that stand for them.
const FIELDS: [(&str, &str, Known); 7] = [
    ("Labels", "$labels", Known::Labels),
    ("ExternalLabels", "$externalLabels", Known::ExternalLabels),
    ("ExternalURL", "$externalURL", Known::Nothing),
    ("Value", "$value", Known::Measured),
    ("Values", "$values", Known::Values),
    ("Evidence", "$evidence", Known::Measured),
    ("Contributors", "$contributors", Known::Measured),
];

/// A variable of the template.
#[derive(Clone)]
struct Variable {
    name: SmolStr,
    /// What it is called in the tree made.
    renamed: SmolStr,
    known: Known,
}

/// What `.` or `$` is.
#[derive(Clone)]
struct Place {
    /// The variable that holds it; `None` where gotmpl's own dot is meant (within `range` and `with`).
    variable: Option<SmolStr>,
    known: Known,
}

struct Lowering<'a> {
    text: &'a str,
    kind: TemplateKind,
    defines: BTreeMap<SmolStr, ListNode>,
    dot: Place,
    dollar: Place,
    scopes: Vec<Vec<Variable>>,
    /// Templates being put in, outermost first.
    within: Vec<SmolStr>,
    /// Templates that were put in anywhere.
    used: BTreeSet<SmolStr>,
    ranges: usize,
    /// The argument of a `{{template}}` is being lowered: what it is used for shows in there.
    handing: bool,
    instances: usize,
    nodes: usize,
    /// Variables of the data that are read, and so have to be declared.
    prelude: BTreeSet<&'static str>,
    errors: Vec<TemplateError>,
    accesses: Vec<Access>,
    regexes: Regexes,
    value_use: Option<Range<usize>>,
}

pub(super) fn lower(
    text: &str,
    kind: TemplateKind,
    tree: &ListNode,
    defines: Vec<DefineNode>,
) -> Result<Lowered, Vec<TemplateError>> {
    let root = Place { variable: Some("$ dot".into()), known: Known::Root };
    let mut lowering = Lowering {
        text,
        kind,
        defines: BTreeMap::new(),
        dot: root.clone(),
        dollar: root,
        scopes: vec![Vec::new()],
        within: Vec::new(),
        used: BTreeSet::new(),
        ranges: 0,
        handing: false,
        instances: 0,
        nodes: 0,
        prelude: BTreeSet::new(),
        errors: Vec::new(),
        accesses: Vec::new(),
        regexes: Regexes::new(),
        value_use: None,
    };
    lowering.define(defines);
    let body = lowering.list(tree);
    lowering.look_at_unused();
    if !lowering.errors.is_empty() {
        lowering.errors.sort_by_key(|error| error.span.start);
        lowering.errors.dedup();
        return Err(lowering.errors);
    }
    let pos = tree.pos;
    let mut nodes: Vec<Node> = [("$ fuel", "fuel"), ("$ dot", "dot"), ("$ url", "url"), ("$ at", "at")]
        .map(|(variable, key)| declare(variable.into(), Expr::Field(pos, vec![key.into()]), pos))
        .into();
    nodes.extend(FIELDS.iter().filter(|(_, variable, _)| lowering.prelude.contains(variable)).map(
        |(field, variable, _)| {
            declare((*variable).into(), Expr::Variable(pos, "$ dot".into(), vec![(*field).into()]), pos)
        },
    ));
    nodes.extend(body.nodes);
    let Lowering { accesses, regexes, value_use, .. } = lowering;
    Ok(Lowered { main: ListNode { pos, nodes }, accesses, regexes, value_use })
}

/// `{{variable := value}}`.
fn declare(variable: SmolStr, value: Expr, pos: Pos) -> Node {
    let commands = vec![CommandNode { pos, args: vec![value] }];
    Node::Action(ActionNode { pos, pipe: PipeNode { pos, decl: vec![variable], commands, is_assign: false } })
}

fn parenthesised(pos: Pos, commands: Vec<CommandNode>) -> Expr {
    Expr::Pipe(pos, PipeNode { pos, decl: Vec::new(), commands, is_assign: false })
}

/// A call of one of our functions.
fn call(pos: Pos, name: &str, args: impl IntoIterator<Item = Expr>) -> CommandNode {
    let fuel = Expr::Variable(pos, "$ fuel".into(), Vec::new());
    let place = Expr::Number(pos, Number::Int(pos.offset as i64));
    let args = [Expr::Identifier(pos, name.into()), fuel, place].into_iter().chain(args).collect();
    CommandNode { pos, args }
}

fn is_call(command: Option<&CommandNode>, function: &str) -> bool {
    let first = command.and_then(|command| command.args.first());
    matches!(first, Some(Expr::Identifier(_, name)) if name == function)
}

fn string(pos: Pos, text: &str) -> Expr {
    Expr::String(pos, Arc::from(text))
}

/// What becomes of a pipeline's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Printed,
    Ranged,
    Used,
}

impl Lowering<'_> {
    fn fail(&mut self, pos: Pos, message: impl Into<String>, hint: Option<String>) {
        let span = word(self.text, pos.offset);
        self.errors.push(TemplateError::new(self.text, span, FaultKind::Syntax, message, hint));
    }

    /// Counts a node; false when there are too many.
    fn count(&mut self, pos: Pos) -> bool {
        self.nodes += 1;
        if self.nodes == NODES_MAX + 1 {
            let message = format!("the template has more than {NODES_MAX} parts");
            self.fail(pos, message, Some("each `{{template}}` counts with all that it names".to_owned()));
        }
        self.nodes <= NODES_MAX
    }

    fn define(&mut self, defines: Vec<DefineNode>) {
        for define in defines {
            if self.defines.contains_key(&define.name) {
                self.fail(define.pos, format!("a second template `{}`", define.name), None);
            }
            self.defines.insert(define.name, define.body);
        }
    }

    /// Templates nobody calls are not rendered, but what is wrong in them is said.
    fn look_at_unused(&mut self) {
        let unused: Vec<SmolStr> = self.defines.keys().filter(|name| !self.used.contains(*name)).cloned().collect();
        let value_use = self.value_use.clone();
        for name in unused {
            let body = self.defines[&name].clone();
            self.put_in(&name, &body, Place { variable: Some("$ dot".into()), known: Known::Nothing });
        }
        self.value_use = value_use;
    }

    fn list(&mut self, list: &ListNode) -> ListNode {
        let mut nodes = Vec::with_capacity(list.nodes.len());
        for node in &list.nodes {
            if self.nodes > NODES_MAX {
                break;
            }
            nodes.extend(self.node(node));
        }
        ListNode { pos: list.pos, nodes }
    }

    fn node(&mut self, node: &Node) -> Option<Node> {
        Some(match node {
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => node.clone(),
            Node::Define(_) => return None,
            Node::List(list) => Node::List(self.list(list)),
            Node::Action(action) => {
                if !self.count(action.pos) {
                    return None;
                }
                let fate = if action.pipe.decl.is_empty() { Fate::Printed } else { Fate::Used };
                Node::Action(ActionNode { pos: action.pos, pipe: self.pipe(&action.pipe, fate) })
            }
            Node::If(branch) => Node::If(self.branch(branch, Fate::Used, false)),
            Node::With(branch) => Node::With(self.branch(branch, Fate::Used, true)),
            Node::Range(branch) => Node::Range(self.branch(branch, Fate::Ranged, true)),
            Node::Template(template) => return self.template(template),
        })
    }

    /// `moves` says that the body has another dot.
    fn branch(&mut self, branch: &BranchNode, fate: Fate, moves: bool) -> BranchNode {
        self.count(branch.pos);
        self.ranges += usize::from(fate == Fate::Ranged);
        if self.ranges > RANGE_DEPTH_MAX && fate == Fate::Ranged {
            self.fail(branch.pos, format!("`{{{{range}}}}` is nested deeper than {RANGE_DEPTH_MAX} levels"), None);
        }
        self.scopes.push(Vec::new());
        let pipe = self.pipe(&branch.pipe, fate);
        let outside = self.dot.clone();
        if moves {
            self.dot = Place { variable: None, known: Known::Nothing };
        }
        let body = self.list(&branch.body);
        self.dot = outside;
        self.ranges -= usize::from(fate == Fate::Ranged);
        let else_body = branch.else_body.as_ref().map(|body| self.list(body));
        self.scopes.pop();
        BranchNode { pos: branch.pos, pipe, body, else_body }
    }

    /// Puts the body in the place of the call.
    fn template(&mut self, node: &TemplateNode) -> Option<Node> {
        if !self.count(node.pos) {
            return None;
        }
        let Some(body) = self.defines.get(&node.name).cloned() else {
            let known: Vec<&str> = self.defines.keys().map(SmolStr::as_str).collect();
            let hint = suggest::hint(&node.name, known.iter().copied(), "defined are");
            let hint = hint.or_else(|| Some(format!("define it with `{{{{define \"{}\"}}}}…{{{{end}}}}`", node.name)));
            self.fail(node.pos, format!("unknown template `{}`", node.name), hint);
            return None;
        };
        if self.within.contains(&node.name) {
            self.fail(node.pos, format!("the template `{}` calls itself", node.name), None);
            return None;
        }
        if self.within.len() == INLINE_DEPTH_MAX {
            self.fail(node.pos, format!("templates call templates deeper than {INLINE_DEPTH_MAX} levels"), None);
            return None;
        }
        let known = node.pipe.as_ref().map_or(Known::Nothing, |pipe| self.known_of_pipe(pipe));
        let outside = std::mem::replace(&mut self.handing, known != Known::Nothing);
        let argument = match &node.pipe {
            Some(pipe) => Expr::Pipe(node.pos, self.pipe(pipe, Fate::Used)),
            None => parenthesised(node.pos, vec![call(node.pos, functions::NIL, [])]),
        };
        self.handing = outside;
        self.instances += 1;
        let variable: SmolStr = format!("$ dot {}", self.instances).into();
        let mut nodes = vec![declare(variable.clone(), argument, node.pos)];
        nodes.extend(self.put_in(&node.name, &body, Place { variable: Some(variable), known }));
        Some(Node::List(ListNode { pos: node.pos, nodes }))
    }

    /// The body of a template with `place` as its dot, and nothing of the outside visible.
    fn put_in(&mut self, name: &SmolStr, body: &ListNode, place: Place) -> Vec<Node> {
        self.used.insert(name.clone());
        let outside = (self.dot.clone(), self.dollar.clone(), std::mem::replace(&mut self.scopes, vec![Vec::new()]));
        (self.dot, self.dollar) = (place.clone(), place);
        self.within.push(name.clone());
        let nodes = self.list(body).nodes;
        self.within.pop();
        (self.dot, self.dollar, self.scopes) = outside;
        nodes
    }

    fn pipe(&mut self, pipe: &PipeNode, fate: Fate) -> PipeNode {
        let known = self.known_of_pipe(pipe);
        let mut commands = Vec::with_capacity(pipe.commands.len() + 1);
        for (index, command) in pipe.commands.iter().enumerate() {
            if self.count(command.pos) {
                self.command(command, index > 0, &mut commands);
            }
        }
        let last = commands.last().and_then(|command: &CommandNode| command.args.first());
        let shown =
            matches!(last, Some(Expr::Identifier(_, name)) if matches!(name.as_str(), "html" | "urlquery" | "js"));
        if fate == Fate::Printed && self.kind == TemplateKind::Html && is_call(commands.last(), "html") {
            // What is printed is escaped anyhow, and once is enough. gotmpl would see to that too, but not in a `range`.
            commands.pop();
        }
        match fate {
            Fate::Printed if !shown => commands.push(call(pipe.pos, functions::SHOW, [])),
            Fate::Ranged => commands.push(call(pipe.pos, functions::RANGE, [])),
            Fate::Printed | Fate::Used => {}
        }
        let known = if fate == Fate::Ranged { Known::Nothing } else { known };
        let decl = pipe.decl.iter().map(|name| self.bind(pipe, name, known)).collect();
        PipeNode { pos: pipe.pos, decl, commands, is_assign: pipe.is_assign }
    }

    /// Declares a variable, or finds the one that is assigned to.
    fn bind(&mut self, pipe: &PipeNode, name: &SmolStr, known: Known) -> SmolStr {
        if pipe.is_assign {
            return self.variable(pipe.pos, name).map_or_else(|| name.clone(), |(renamed, _)| renamed);
        }
        let renamed = match self.within.is_empty() {
            true => name.clone(),
            false => format!("{name} {}", self.instances).into(),
        };
        let scope = self.scopes.last_mut().expect("there is a scope always");
        scope.push(Variable { name: name.clone(), renamed: renamed.clone(), known });
        renamed
    }

    /// The variable called `name` here, and what is known of it.
    fn variable(&mut self, pos: Pos, name: &SmolStr) -> Option<(SmolStr, Known)> {
        if name == "$" {
            let variable = self.dollar.variable.clone().expect("the root has a variable");
            return Some((variable, self.dollar.known));
        }
        let declared = self.scopes.iter().rev().flat_map(|scope| scope.iter().rev()).find(|known| known.name == *name);
        if let Some(variable) = declared {
            return Some((variable.renamed.clone(), variable.known));
        }
        let given = FIELDS.iter().find(|(_, variable, _)| variable == name);
        match given {
            Some((_, variable, known)) if self.within.is_empty() => {
                self.prelude.insert(variable);
                Some((name.clone(), *known))
            }
            Some(_) => {
                let template = self.within.last().cloned().unwrap_or_default();
                let hint = format!("hand it in: `{{{{template \"{template}\" {name}}}}}`, and read it as `.`");
                self.fail(pos, format!("`{name}` is not visible within `{{{{define}}}}`"), Some(hint));
                None
            }
            None => {
                let mut all: Vec<&str> = self.scopes.iter().flatten().map(|variable| variable.name.as_str()).collect();
                all.extend(FIELDS.iter().map(|(_, variable, _)| *variable));
                let hint = suggest::hint(name, all.iter().copied(), "the variables are");
                self.fail(pos, format!("unknown variable `{name}`"), hint);
                None
            }
        }
    }

    /// One command as one command or more, appended to `out`. `piped` says that it gets the value of the one before.
    fn command(&mut self, command: &CommandNode, piped: bool, out: &mut Vec<CommandNode>) {
        let (first, args) = command.args.split_first().expect("a command has a first word");
        match first {
            Expr::Identifier(pos, name) => self.call(*pos, name, args, piped, out),
            Expr::Chain(pos, inner, fields) if matches!(**inner, Expr::Identifier(..)) => {
                let Expr::Identifier(_, name) = &**inner else { return };
                self.call(*pos, name, args, piped, out);
                out.push(call(*pos, functions::GET, fields.iter().map(|field| string(*pos, field))));
            }
            _ if piped || !args.is_empty() => out.extend(self.method(first, args)),
            Expr::Nil(pos) => self.fail(*pos, "`nil` cannot stand alone", None),
            _ => {
                let value = self.expression(first);
                // A ` get` made here needs no brackets as a command of its own. Those of the text stay: what is within is
                // no escaper of the whole.
                match value {
                    Expr::Pipe(_, pipe) if !matches!(first, Expr::Pipe(..)) => out.extend(pipe.commands),
                    value => out.push(CommandNode { pos: command.pos, args: vec![value] }),
                }
            }
        }
    }

    /// `receiver.Name args…`: what Go would take for a method.
    fn method(&mut self, first: &Expr, args: &[Expr]) -> Option<CommandNode> {
        let pos = first.pos();
        let (receiver, name) = match first {
            Expr::Field(pos, fields) => {
                let (name, path) = fields.split_last()?;
                (if path.is_empty() { Expr::Dot(*pos) } else { Expr::Field(*pos, path.to_vec()) }, name)
            }
            Expr::Variable(pos, variable, fields) if !fields.is_empty() => {
                let (name, path) = fields.split_last()?;
                (Expr::Variable(*pos, variable.clone(), path.to_vec()), name)
            }
            Expr::Chain(pos, inner, fields) => {
                let (name, path) = fields.split_last()?;
                let inner = inner.clone();
                (if path.is_empty() { *inner } else { Expr::Chain(*pos, inner, path.to_vec()) }, name)
            }
            _ => {
                let source = &self.text[word(self.text, pos.offset)];
                let message = format!("`{source}` is no function, so it cannot be given arguments");
                self.fail(pos, message, None);
                return None;
            }
        };
        let receiver = self.expression(&receiver);
        let args: Vec<Expr> = args.iter().map(|arg| self.expression(arg)).collect();
        Some(call(pos, functions::METHOD, [string(pos, name), receiver].into_iter().chain(args)))
    }

    /// A call of a function by its name.
    fn call(&mut self, pos: Pos, name: &SmolStr, args: &[Expr], piped: bool, out: &mut Vec<CommandNode>) {
        let Some(function) = functions::find(name) else { return self.unknown_function(pos, name) };
        let given = args.len() + usize::from(piped);
        if given < function.min || given > function.max {
            return self.wrong_arguments(pos, function, given);
        }
        self.look_into(name, args);
        let lowered: Vec<Expr> = args.iter().map(|arg| self.expression(arg)).collect();
        match function.style {
            Style::Ours(_) => out.push(call(pos, name, lowered)),
            Style::Native => {
                let name = Expr::Identifier(pos, name.clone());
                out.push(CommandNode { pos, args: [name].into_iter().chain(lowered).collect() });
            }
            Style::Escaper => {
                out.push(call(pos, functions::SHOW, lowered));
                out.push(CommandNode { pos, args: vec![Expr::Identifier(pos, name.clone())] });
            }
            Style::Variable(variable) => {
                out.push(CommandNode { pos, args: vec![Expr::Variable(pos, variable.into(), Vec::new())] });
            }
            Style::OfVariable(function, variable) => {
                out.push(call(pos, function, [Expr::Variable(pos, variable.into(), Vec::new())]));
            }
        }
    }

    fn unknown_function(&mut self, pos: Pos, name: &SmolStr) {
        let hint = match name.as_str() {
            of_queries if functions::OF_QUERIES.contains(&of_queries) => {
                let hint = "templates cannot query; name what is needed in `let` and write `$values.name`";
                let message = format!("`{name}` works on the results of queries, which there are none of here");
                return self.fail(pos, message, Some(hint.to_owned()));
            }
            "tmpl" => Some("write `{{template \"name\" .}}`".to_owned()),
            _ => match suggest::nearest(name, functions::names()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => {
                    let named = FIELDS.iter().any(|(_, variable, _)| variable[1..] == **name);
                    named.then(|| format!("did you mean `${name}`?"))
                }
            },
        };
        self.fail(pos, format!("unknown function `{name}`"), hint);
    }

    fn wrong_arguments(&mut self, pos: Pos, function: &Function, given: usize) {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let takes = match (function.min, function.max) {
            (min, max) if min == max => format!("{min} argument{}", plural(min)),
            (min, usize::MAX) => format!("{min} argument{} or more", plural(min)),
            (min, max) => format!("{min} to {max} arguments"),
        };
        let hint = "a value piped in counts as the last argument".to_owned();
        self.fail(pos, format!("`{}` takes {takes}, not {given}", function.name), Some(hint));
    }

    /// What a call says of the data, beyond its arguments one by one.
    fn look_into(&mut self, name: &str, args: &[Expr]) {
        match (name, args) {
            ("index", [of, Expr::String(pos, key), ..]) => {
                let known = self.known_of(of);
                self.accessed(known, *pos, word(self.text, pos.offset), key);
            }
            ("match" | "reReplaceAll", [Expr::String(pos, pattern), ..]) => match functions::compile_regex(pattern) {
                Ok(regex) => drop(self.regexes.insert(pattern.clone(), regex)),
                Err(message) => self.fail(*pos, message, None),
            },
            _ => {}
        }
    }

    fn expression(&mut self, expression: &Expr) -> Expr {
        match expression {
            Expr::Dot(pos) => {
                self.measured(self.dot.known, *pos);
                self.here(*pos)
            }
            Expr::Field(pos, fields) => {
                self.path(self.dot.known, *pos, pos.offset, fields);
                let dot = self.here(*pos);
                self.get(*pos, fields, dot)
            }
            Expr::Variable(pos, name, fields) => {
                let Some((renamed, known)) = self.variable(*pos, name) else { return Expr::Nil(*pos) };
                self.path(known, *pos, pos.offset + name.len(), fields);
                self.get(*pos, fields, Expr::Variable(*pos, renamed, Vec::new()))
            }
            Expr::Identifier(pos, name) => {
                let mut commands = Vec::new();
                self.call(*pos, name, &[], false, &mut commands);
                parenthesised(*pos, commands)
            }
            Expr::Pipe(pos, pipe) => Expr::Pipe(*pos, self.pipe(pipe, Fate::Used)),
            Expr::Chain(pos, inner, fields) => {
                let inner = self.expression(inner);
                self.get(*pos, fields, inner)
            }
            Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => expression.clone(),
        }
    }

    /// The dot.
    fn here(&self, pos: Pos) -> Expr {
        match &self.dot.variable {
            Some(variable) => Expr::Variable(pos, variable.clone(), Vec::new()),
            None => Expr::Dot(pos),
        }
    }

    fn get(&self, pos: Pos, fields: &[SmolStr], of: Expr) -> Expr {
        if fields.is_empty() {
            return of;
        }
        let names = fields.iter().map(|field| string(pos, field));
        parenthesised(pos, vec![call(pos, functions::GET, names.chain([of]))])
    }

    /// Follows fields from something known, and notes what they say. `at` is where the first dot stands.
    fn path(&mut self, mut known: Known, pos: Pos, mut at: usize, fields: &[SmolStr]) {
        if fields.is_empty() || known != Known::Root {
            self.measured(known, pos);
        }
        for field in fields {
            let span = at..(at + 1 + field.len()).min(self.text.len());
            known = match known {
                Known::Root => match FIELDS.iter().find(|(name, _, _)| name == field) {
                    Some((_, _, known)) => {
                        self.measured(*known, pos);
                        *known
                    }
                    None => {
                        let names = FIELDS.iter().map(|(name, _, _)| *name);
                        let hint =
                            suggest::nearest(field, names.clone()).map(|near| format!("did you mean `.{near}`?"));
                        let all = || names.map(|name| format!("`.{name}`")).collect::<Vec<_>>().join(", ");
                        let hint = hint.unwrap_or_else(|| format!("there are {}", all()));
                        self.fail(Pos::new(at, pos.line), format!("unknown field `.{field}`"), Some(hint));
                        Known::Nothing
                    }
                },
                known => {
                    self.accessed(known, pos, span.clone(), field);
                    Known::Nothing
                }
            };
            at = span.end;
        }
    }

    fn accessed(&mut self, known: Known, pos: Pos, span: Range<usize>, name: &str) {
        let kind = match known {
            Known::Labels => AccessKind::Label,
            Known::ExternalLabels => AccessKind::ExternalLabel,
            Known::Values => AccessKind::Value,
            Known::Root | Known::Measured | Known::Nothing => return,
        };
        self.measured(known, pos);
        self.accesses.push(Access { kind, name: name.to_owned(), span });
    }

    /// Notes that the template depends on the numbers of the rule.
    fn measured(&mut self, known: Known, pos: Pos) {
        let depends = matches!(known, Known::Values | Known::Measured) || (known == Known::Root && !self.handing);
        if self.value_use.is_none() && depends {
            self.value_use = Some(word(self.text, pos.offset));
        }
    }

    /// What is known of an expression; only chains say anything.
    fn known_of(&mut self, expression: &Expr) -> Known {
        let (known, fields) = match expression {
            Expr::Dot(_) => (self.dot.known, &[][..]),
            Expr::Field(_, fields) => (self.dot.known, &fields[..]),
            Expr::Variable(_, name, fields) => {
                let declared = self.scopes.iter().rev().flat_map(|scope| scope.iter().rev()).find(|v| v.name == *name);
                let given = FIELDS.iter().find(|(_, variable, _)| variable == name).map(|(_, _, known)| *known);
                let known = match name.as_str() {
                    "$" => self.dollar.known,
                    _ => declared.map(|variable| variable.known).or(given).unwrap_or(Known::Nothing),
                };
                (known, &fields[..])
            }
            _ => return Known::Nothing,
        };
        match (known, fields) {
            (known, []) => known,
            (Known::Root, [field]) => {
                FIELDS.iter().find(|(name, _, _)| name == field).map_or(Known::Nothing, |(_, _, known)| *known)
            }
            _ => Known::Nothing,
        }
    }

    fn known_of_pipe(&mut self, pipe: &PipeNode) -> Known {
        match &pipe.commands[..] {
            [command] if command.args.len() == 1 => self.known_of(&command.args[0]),
            _ => Known::Nothing,
        }
    }
}

/// The word that begins at a place, for carets: a string, a number, a chain of names, or the one letter that is there.
pub(super) fn word(text: &str, at: usize) -> Range<usize> {
    let Some(rest) = text.get(at..) else { return 0..text.len() };
    let mut letters = rest.char_indices();
    let length = match letters.next() {
        None => 0,
        Some((_, quote @ ('"' | '`' | '\''))) => {
            let mut escaped = false;
            let close = letters.find(|(_, c)| {
                let found = *c == quote && !escaped;
                escaped = *c == '\\' && !escaped && quote != '`';
                found
            });
            close.map_or(rest.len(), |(at, quote)| at + quote.len_utf8())
        }
        Some((_, first)) => {
            let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
            letters
                .find(|(_, c)| !part(*c))
                .map_or(rest.len(), |(at, _)| if part(first) { at } else { first.len_utf8() })
        }
    };
    at..at + length
}
