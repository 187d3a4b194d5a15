;; Reads beyond its memory in `ask`: ends in a trap.

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (drop (i32.load (i32.const -16)))
  (unreachable))
