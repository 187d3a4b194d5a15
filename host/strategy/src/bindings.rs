//! What wasmtime's bindings generator makes of `wit/strategy.wit`. Nothing outside this crate sees these types:
//! [`crate::convert`] turns them into the protocol's and back.
//!
//! Imports may trap (a draw where drawing is forbidden); exports are called asynchronously, so that a long
//! computation of a guest gives way to the other tasks of its thread.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "search-strategy",
    imports: { default: trappable },
    exports: { default: async },
});

pub use exports::nas::strategy::strategy as exported;
pub use nas::strategy::{costs, history, log, random, space, types};
