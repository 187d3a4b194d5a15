//! The nasd binary: configuration, command line, supervision.
