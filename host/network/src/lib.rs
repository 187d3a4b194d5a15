//! Networks as graphs of primitives: built from space files, inferred, counted, named and written down.
//!
//! A space file gives a search space and a *template*: a [`Graph`] with [`Primitive::Switch`] nodes bound to
//! decisions. Specialising a template with an architecture gives a network (a graph without switches). The
//! template itself, with weights for every option, is the one-shot graph. Costs, drawings, the trainer and
//! exports read this one description.
//!
//! This crate does no input or output and cannot see a tensor.

mod block;
mod builder;
mod cell;
mod costs;
mod count;
mod definition;
mod error;
mod expected;
mod file;
pub mod graph;
mod hyper;
mod identities;
mod identity;
mod list;
mod liveness;
mod named;
mod operations;
mod outline;
mod parameters;
mod shapes;
mod simplify;
mod specialize;

pub use builder::{BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, GraphBuilder, Window};
pub use costs::{Costs, Counting, NodeCost, costs, node_costs};
pub use definition::SpaceDefinition;
pub use error::NetworkError;
pub use expected::{CostMetric, ExpectedCost, ExpectedCosts, expected_cost};
pub use file::SpaceFileError;
pub use graph::{Graph, Groups, Node, NodeIdx, Primitive};
pub use operations::{OperationSettings, Order, Site, operation, operation_names};
pub use outline::{CellOutline, OutlineEdge, OutlineKind, OutlineNode};
pub use parameters::{ParameterKind, ParameterSpec, parameters};
pub use shapes::{Shape, shapes};
pub use simplify::simplify;
pub use specialize::{active_nodes, mixture_support, specialize};
