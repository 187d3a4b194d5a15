//! The component's exports.

use std::cell::RefCell;

use crate::{Running, Strategy, StrategyError, log};

/// Where the one strategy of a component lives.
pub type Slot<S> = RefCell<Option<Running<S>>>;

/// Runs `call` on the strategy; an error if it was neither started nor restored.
pub fn with_instance<S: Strategy, T>(
    slot: &Slot<S>,
    call: impl FnOnce(&mut Running<S>) -> Result<T, StrategyError>,
) -> Result<T, StrategyError> {
    match slot.borrow_mut().as_mut() {
        Some(running) => call(running),
        None => Err(StrategyError::Internal("called before `start` or `restore`".to_owned())),
    }
}

/// Makes a panic's message reach the host's log before the instance dies of it.
pub fn install_panic_hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|info| log::error(info.to_string()))));
}

/// Exports a [`Strategy`] as the component's. Does nothing where the target is not WebAssembly.
#[macro_export]
macro_rules! export {
    ($strategy:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        mod exported_strategy {
            use super::*;
            use $crate::{Running, Slot, install_panic_hook, with_instance};

            ::std::thread_local! {
                static INSTANCE: Slot<$strategy> = const { Slot::new(None) };
            }

            struct Component;

            impl $crate::bindings::exports::nas::strategy::strategy::Guest for Component {
                fn describe() -> $crate::Descriptor {
                    install_panic_hook();
                    Running::<$strategy>::describe()
                }

                fn start(setup: $crate::Setup) -> ::core::result::Result<(), $crate::StrategyError> {
                    install_panic_hook();
                    INSTANCE.set(Some(Running::start(setup)?));
                    Ok(())
                }

                fn restore(
                    setup: $crate::Setup,
                    snapshot: $crate::Snapshot,
                ) -> ::core::result::Result<(), $crate::RestoreError> {
                    install_panic_hook();
                    INSTANCE.set(Some(Running::restore(setup, &snapshot)?));
                    Ok(())
                }

                fn replay(jobs: ::std::vec::Vec<$crate::Job>) -> ::core::result::Result<(), $crate::StrategyError> {
                    INSTANCE.with(|slot| with_instance(slot, |running| running.replay(&jobs)))
                }

                fn ask(request: $crate::Request) -> ::core::result::Result<$crate::Answer, $crate::StrategyError> {
                    INSTANCE.with(|slot| with_instance(slot, |running| running.ask(&request)))
                }

                fn tell(finished: $crate::Job) -> ::core::result::Result<(), $crate::StrategyError> {
                    INSTANCE.with(|slot| with_instance(slot, |running| running.tell(&finished)))
                }

                fn judge(report: $crate::ProgressReport) -> $crate::Verdict {
                    let verdict = INSTANCE.with(|slot| with_instance(slot, |running| Ok(running.judge(&report))));
                    verdict.unwrap_or($crate::Verdict::Proceed)
                }

                fn recommend(limit: u32) -> ::std::vec::Vec<$crate::Architecture> {
                    INSTANCE.with(|slot| with_instance(slot, |running| Ok(running.recommend(limit)))).unwrap_or_default()
                }

                fn save() -> ::core::result::Result<$crate::Snapshot, $crate::StrategyError> {
                    INSTANCE.with(|slot| with_instance(slot, |running| running.save()))
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
    };
}
