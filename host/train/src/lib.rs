//! The training core on libtorch and the trainer process.
