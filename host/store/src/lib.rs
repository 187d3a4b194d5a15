//! The journal (truth), the result store (index) and weights files.
