;; Lets the host do the work, for ever: ends in too many host calls.

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (loop $more
    (drop (call $next-u64))
    (br $more))
  (unreachable))
