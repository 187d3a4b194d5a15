//! Tables, plots and drawings.
