//! Networks as graphs of primitives: built from space files, inferred, counted, named and written down.
//!
//! A space file gives a search space and a *template*: a [`Graph`] with [`Primitive::Switch`] nodes bound to
//! decisions. Specialising a template with an architecture gives a network (a graph without switches). The
//! template itself, with weights for every option, is the one-shot graph. Costs, drawings, the trainer and
//! exports read this one description.
//!
//! This crate does no input or output and cannot see a tensor.

pub mod graph;

pub use graph::{Graph, Groups, Node, NodeIdx, Primitive};
