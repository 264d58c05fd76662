//! Syntax tree to DataFusion expression: the functions that may be called, types, coercion, simplification.
//!
//! No `SessionContext`: it would bring catalogs, object stores and a runtime. What an expression needs of it is a
//! table of functions ([`Functions`]) and the planner; both are values.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, ScalarValue, TableReference, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, PlannerResult};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, HigherOrderUDF, Operator, ScalarUDF, TableSource, Volatility,
    WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

use crate::model::schema::{FieldType, StreamSchema};

/// The event's own time (UTC, millisecond timestamp) as a column of every stream, unless a field has taken the name.
pub const EVENT_TIME: &str = "event_time";

/// What a name of a function stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// May be called.
    Scalar,
    /// Known to SQL, but its result is not a function of the event.
    NotOfTheEvent,
    Aggregate,
    Window,
    Unknown,
}

/// The functions of DataFusion that are functions of their arguments alone.
struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    refused: Vec<String>,
    aggregates: Vec<String>,
    windows: Vec<String>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    config: Arc<ConfigOptions>,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut scalars = BTreeMap::new();
    let mut refused = vec!["random".to_owned()];
    for function in SessionStateDefaults::default_scalar_functions() {
        let names = std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned());
        // `version` is a function of the build, not of the event.
        let pure = function.signature().volatility == Volatility::Immutable && function.name() != "version";
        for name in names.map(|name| name.to_lowercase()) {
            match pure {
                true => drop(scalars.insert(name, function.clone())),
                false => refused.push(name),
            }
        }
    }
    let mut aggregates: Vec<String> = SessionStateDefaults::default_aggregate_functions()
        .iter()
        .flat_map(|function| std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)))
        .map(str::to_lowercase)
        .collect();
    // Foghorn's own aggregates that SQL does not have.
    aggregates.extend(
        ["rate", "quantile", "p50", "p90", "p95", "p99", "p999", "distinct", "topk", "last"].map(str::to_owned),
    );
    let windows = SessionStateDefaults::default_window_functions();
    Functions {
        scalars,
        refused,
        aggregates,
        windows: windows.iter().map(|function| function.name().to_lowercase()).collect(),
        planners: SessionStateDefaults::default_expr_planners().into_iter().chain([Arc::new(Spelled) as _]).collect(),
        config: Arc::new(ConfigOptions::new()),
    }
});

/// What `name` (in any case) stands for.
pub(super) fn called(name: &str) -> Called {
    let name = name.to_lowercase();
    let functions = &*FUNCTIONS;
    if functions.scalars.contains_key(&name) {
        Called::Scalar
    } else if functions.refused.contains(&name) {
        Called::NotOfTheEvent
    } else if functions.aggregates.contains(&name) {
        Called::Aggregate
    } else if functions.windows.contains(&name) {
        Called::Window
    } else {
        Called::Unknown
    }
}

/// Names of all functions that may be called.
pub(super) fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.scalars.keys().map(String::as_str)
}

/// `substring(x FROM 2 FOR 3)` and `position('a' IN x)` are syntax of their own for functions that have names, too.
#[derive(Debug)]
struct Spelled;

impl Spelled {
    fn call(name: &str, args: Vec<Expr>) -> PlannerResult<Vec<Expr>> {
        match FUNCTIONS.scalars.get(name) {
            Some(function) => PlannerResult::Planned(function.call(args)),
            None => PlannerResult::Original(args),
        }
    }
}

impl ExprPlanner for Spelled {
    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>, DataFusionError> {
        Ok(Spelled::call("substr", args))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>, DataFusionError> {
        Ok(Spelled::call("strpos", args))
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        plan_err!("no table `{name}`")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Plans expressions over one stream's fields.
pub(super) struct Planner {
    schema: DFSchemaRef,
    simplifier: ExprSimplifier,
}

impl Planner {
    pub(super) fn new(schema: &StreamSchema) -> Self {
        let mut fields: Vec<Field> =
            schema.fields.iter().map(|field| Field::new(&*field.name, arrow_type(field.ty), true)).collect();
        if schema.field(EVENT_TIME).is_none() {
            fields.push(Field::new(EVENT_TIME, DataType::Timestamp(TimeUnit::Millisecond, None), false));
        }
        let schema: DFSchemaRef =
            Arc::new(DFSchema::try_from(Schema::new(fields)).expect("field names of a checked schema are distinct"));
        let context = SimplifyContext::builder()
            .with_schema(schema.clone())
            .with_config_options(FUNCTIONS.config.clone())
            .build();
        Planner { schema, simplifier: ExprSimplifier::new(context) }
    }

    /// Names resolved and types coerced, nothing rewritten yet.
    pub(super) fn coerced(&self, ast: &ast::Expr) -> Result<Expr, DataFusionError> {
        // Field names are matched as they are written: `Status` is not `status`.
        let options = ParserOptions::new().with_enable_ident_normalization(false);
        let planned = SqlToRel::new_with_options(&*FUNCTIONS, options).sql_to_expr(
            ast.clone(),
            &self.schema,
            &mut PlannerContext::new(),
        )?;
        self.simplifier.coerce(planned, &self.schema)
    }

    /// Constants folded, NOT pushed down to the comparisons.
    ///
    /// DataFusion sees one comparison at a time, and ANDs, ORs and NOTs are put together here: its own rules for pairs
    /// of IN lists say FALSE where the truth is null (`x IN (1) AND x IN (2)` for a null `x`), which a NOT above turns
    /// into TRUE.
    pub(super) fn simplified(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        self.pushed(expr, false)
    }

    fn pushed(&self, expr: Expr, negated: bool) -> Result<Expr, DataFusionError> {
        match expr {
            Expr::Not(inner) => self.pushed(*inner, !negated),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (self.pushed(*left, negated)?, self.pushed(*right, negated)?);
                Ok(joined(left, (op == Operator::And) != negated, right))
            }
            leaf if negated => self.leaf(Expr::Not(Box::new(leaf))),
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        let expr = self.simplifier.simplify(expr)?;
        // Arrow tells −0 from 0. Fields hold 0 only (see `columns`), so literals must, too.
        let one_zero = expr.transform(|expr| match expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), meta) if value == 0.0 && value.is_sign_negative() => {
                Ok(Transformed::yes(Expr::Literal(ScalarValue::Float64(Some(0.0)), meta)))
            }
            other => Ok(Transformed::no(other)),
        });
        Ok(one_zero?.data)
    }

    pub(super) fn type_of(&self, expr: &Expr) -> Result<DataType, DataFusionError> {
        expr.get_type(&self.schema)
    }

    pub(super) fn cast(&self, expr: Expr, ty: FieldType) -> Result<Expr, DataFusionError> {
        expr.cast_to(&arrow_type(ty), &self.schema)
    }

    /// The executable form of `expr` over a record batch that holds just the columns it reads, in the order given back.
    pub(super) fn physical(&self, expr: &Expr) -> Result<(Arc<dyn PhysicalExpr>, Vec<Field>), DataFusionError> {
        let read = expr.column_refs();
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .filter(|field| read.iter().any(|column| column.name == *field.name()))
            .map(|field| field.as_ref().clone())
            .collect();
        let schema = DFSchema::try_from(Schema::new(fields.clone()))?;
        let physical =
            create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        Ok((physical, fields))
    }
}

/// `left AND right` or `left OR right` without constants that decide or do not matter.
fn joined(left: Expr, and: bool, right: Expr) -> Expr {
    let constant = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => Some(*value),
        _ => None,
    };
    match (constant(&left), constant(&right)) {
        (Some(value), _) => {
            if value == and {
                right
            } else {
                left
            }
        }
        (_, Some(value)) => {
            if value == and {
                left
            } else {
                right
            }
        }
        _ => {
            let op = if and { Operator::And } else { Operator::Or };
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
        }
    }
}

/// How a field's values stand in Arrow.
pub(super) fn arrow_type(ty: FieldType) -> DataType {
    match ty {
        FieldType::String => DataType::Utf8View,
        FieldType::Int => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Bool => DataType::Boolean,
    }
}
