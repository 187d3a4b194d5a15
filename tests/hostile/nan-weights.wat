;; Trains shared weights along a mixture with a weight that is not a number: an invalid answer.

;; option 0, weight NaN
(data (i32.const 640) "\00\00\00\00\00\00\c0\7f")

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  ;; one gene: mixture of one option
  (i32.store (i32.const 768) (i32.const 4))
  (i32.store offset=8 (i32.const 768) (i32.const 640))
  (i32.store offset=12 (i32.const 768) (i32.const 1))
  ;; one step: that architecture, train split, apply
  (i32.store (i32.const 832) (i32.const 768))
  (i32.store offset=4 (i32.const 832) (i32.const 1))
  (i32.store8 offset=10 (i32.const 832) (i32.const 2))
  ;; work: train-shared
  (call $propose (i32.const 832) (i32.const 1))
  (i32.store8 (i32.const 2048) (i32.const 1))
  (call $work (i32.const 1)))
