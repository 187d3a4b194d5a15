;; Panics in every call, the way the SDK's panic hook does it: an error line, then a trap.

(data (i32.const 640) "panicked at 'no plan survives'")

(func $panic (result i32)
  (call $log (i32.const 4) (i32.const 640) (i32.const 30))
  (unreachable))

(func (export "nas:strategy/strategy@0.1.0#describe") (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#start") (param i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#restore") (param i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#replay") (param i32 i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#ask") (param i32 i64 i32 i32 i32 i64 f64) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#tell") (param i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#judge") (param i64 i32 i32 i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#recommend") (param i32) (result i32) (call $panic))
(func (export "nas:strategy/strategy@0.1.0#save") (result i32) (call $panic))
