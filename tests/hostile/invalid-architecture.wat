;; Proposes an architecture that no space contains: one gene, option 4294967295. For this host's runtime that is
;; an answer like any other; the space refuses it, and the job fails.

(data (i32.const 640) "\01\00\00\00\00\00\00\00\ff\ff\ff\ff\00\00\00\00")

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (call $propose (i32.const 640) (i32.const 1))
  (call $work (i32.const 1)))
