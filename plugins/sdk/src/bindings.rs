//! What wit-bindgen makes of `wit/strategy.wit`: the contract's types as they cross the component's border.
//!
//! The SDK hands these types on as they are, so a call copies nothing between two representations. Their
//! documentation is the contract's own.

// Generated: the glue between a component's memory and Rust values cannot be written without `unsafe`.
#![allow(unsafe_code, missing_docs, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "search-strategy",
    pub_export_macro: true,
    default_bindings_module: "nas_strategy_sdk::bindings",
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    additional_derives_ignore: ["setup", "descriptor"],
    generate_all,
});
