//! What a search strategy is written with.
