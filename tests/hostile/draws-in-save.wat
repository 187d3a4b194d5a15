;; Draws random numbers in `save`: stopped by name.

(func (export "nas:strategy/strategy@0.1.0#save") (result i32)
  (drop (call $next-u64))
  (call $ok))
