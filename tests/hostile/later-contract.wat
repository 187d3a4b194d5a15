;; A strategy of a contract that this host does not know yet: the error names both versions.
(component
  (core module $module (func (export "describe") (result i32) (i32.const 0)))
  (core instance $core (instantiate $module))
  (func $describe (result u32) (canon lift (core func $core "describe")))
  (instance $strategy (export "describe" (func $describe)))
  (export "nas:strategy/strategy@0.2.0" (instance $strategy)))
