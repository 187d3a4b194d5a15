//! Search actor and scheduler as pure state machines.
