;; Answers with one item more than there are slots: an invalid answer.

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (memory.fill (i32.const 2048) (i32.const 0) (i32.const 8192))
  (call $work (i32.add (local.get $slots) (i32.const 1))))
