//! The runtime of strategy components.

pub mod services;
