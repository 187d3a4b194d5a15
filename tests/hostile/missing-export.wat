;; Exports the strategy interface with `describe` alone: the error names the function that is missing.
(component
  (core module $module (func (export "describe") (result i32) (i32.const 0)))
  (core instance $core (instantiate $module))
  (func $describe (result u32) (canon lift (core func $core "describe")))
  (instance $strategy (export "describe" (func $describe)))
  (export "nas:strategy/strategy@0.1.0" (instance $strategy)))
