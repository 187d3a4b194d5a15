;; Answers with 512 proposals which all name the same 16,384 genes as their architecture: small for the guest,
;; 200 MB for a host that would copy them. Ends in result too large.

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (local $at i32)
  (drop (call $allocate (i32.const 1048576)))
  (local.set $at (i32.const 262144))
  (loop $next
    (i32.store offset=8 (local.get $at) (i32.const 524288))
    (i32.store offset=12 (local.get $at) (i32.const 16384))
    (local.set $at (i32.add (local.get $at) (i32.const 72)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 299008))))
  (drop (call $ok))
  (i32.store offset=8 (i32.const 1024) (i32.const 262144))
  (i32.store offset=12 (i32.const 1024) (i32.const 512))
  (i32.const 1024))
