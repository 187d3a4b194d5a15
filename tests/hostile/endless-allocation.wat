;; Grows its memory until it is refused more, and then panics as an allocator does: ends in out of memory.

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (loop $more
    (br_if $more (i32.ne (memory.grow (i32.const 256)) (i32.const -1))))
  (unreachable))
