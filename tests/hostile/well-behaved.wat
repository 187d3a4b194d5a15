;; A whole strategy in WebAssembly text: asks for one sampled architecture a call, counts what it was told.
;;
;; Every hostile strategy beside this file is this one with some functions exchanged: the assembler takes
;; from here what a hostile file does not define itself (an export by its name, anything else by its `$name`).
;; Layouts are those of the canonical ABI for wit/strategy.wit; a result area starts with 0 for `ok`.

(import "nas:strategy/log@0.1.0" "write" (func $log (param $level i32) (param $text i32) (param $length i32)))
(import "nas:strategy/random@0.1.0" "next-u64" (func $next-u64 (result i64)))
(import "nas:strategy/space@0.1.0" "sample"
  (func $sample (param $bounds i32) (param $n-bounds i32) (param $result i32)))

(memory (export "memory") 2)
(data (i32.const 16) "well-behaved")
(data (i32.const 32) "0.1.0")
(data (i32.const 48) "Samples and counts")
;; The snapshot format "told", version 1, as a string and as a record.
(data (i32.const 80) "told")
(data (i32.const 96) "\50\00\00\00\04\00\00\00\01\00\00\00")

;; State: how many jobs were told. Scratch below 1024; result areas from 1024; the heap from 65536.
(global $told (mut i64) (i64.const 0))
(global $heap (mut i32) (i32.const 65536))

(func $allocate (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (global.get $heap))
  (global.set $heap
    (i32.and (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 15)) (i32.const -16)))
  (block $fits
    (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
    (br_if $fits
      (i32.ne (i32.const -1)
        (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
    (unreachable))
  (local.get $at))

(func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
  (call $allocate (local.get $size)))

;; Nothing on the heap outlives a call.
(func $free (param $result i32) (global.set $heap (i32.const 65536)))
(export "cabi_post_nas:strategy/strategy@0.1.0#describe" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#start" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#restore" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#replay" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#ask" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#tell" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#recommend" (func $free))
(export "cabi_post_nas:strategy/strategy@0.1.0#save" (func $free))

;; A zeroed result area: `ok`.
(func $ok (result i32)
  (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
  (i32.const 1024))

(func (export "nas:strategy/strategy@0.1.0#describe") (result i32)
  (drop (call $ok))
  (i32.store (i32.const 1024) (i32.const 16)) (i32.store (i32.const 1028) (i32.const 12))
  (i32.store (i32.const 1032) (i32.const 32)) (i32.store (i32.const 1036) (i32.const 5))
  (i32.store (i32.const 1040) (i32.const 48)) (i32.store (i32.const 1044) (i32.const 18))
  (i32.store (i32.const 1060) (i32.const 96)) (i32.store (i32.const 1064) (i32.const 1))
  (i32.const 1024))

(func (export "nas:strategy/strategy@0.1.0#start") (param $setup i32) (result i32)
  (global.set $told (i64.const 0))
  (call $ok))

;; An error of `restore`: 0 is an unknown format, 1 a corrupt snapshot.
(func $refuse (param $case i32) (result i32)
  (drop (call $ok))
  (i32.store8 (i32.const 1024) (i32.const 1))
  (i32.store8 (i32.const 1028) (local.get $case))
  (i32.const 1024))

;; Setup (112 bytes) and snapshot lie one after the other; the snapshot is `format {name, version}, bytes, needs`.
(func (export "nas:strategy/strategy@0.1.0#restore") (param $arguments i32) (result i32)
  (local $snapshot i32)
  (local.set $snapshot (i32.add (local.get $arguments) (i32.const 112)))
  (if (i32.ne (i32.load offset=8 (local.get $snapshot)) (i32.const 1))
    (then (return (call $refuse (i32.const 0)))))
  (if (i32.ne (i32.load offset=16 (local.get $snapshot)) (i32.const 8))
    (then (return (call $refuse (i32.const 1)))))
  (global.set $told (i64.load (i32.load offset=12 (local.get $snapshot))))
  (call $ok))

(func (export "nas:strategy/strategy@0.1.0#replay") (param $jobs i32) (param $n-jobs i32) (result i32)
  (global.set $told (i64.add (global.get $told) (i64.extend_i32_u (local.get $n-jobs))))
  (call $ok))

;; One proposal (72 bytes at 2048): `train` the sampled architecture to full fidelity.
(func $propose (param $genes i32) (param $n-genes i32)
  (memory.fill (i32.const 2048) (i32.const 0) (i32.const 72))
  (i32.store offset=8 (i32.const 2048) (local.get $genes))
  (i32.store offset=12 (i32.const 2048) (local.get $n-genes))
  (i32.store offset=16 (i32.const 2048) (i32.const 1)))

;; `ok(work([the proposal at 2048]))`
(func $work (param $n-proposals i32) (result i32)
  (drop (call $ok))
  (i32.store offset=8 (i32.const 1024) (i32.const 2048))
  (i32.store offset=12 (i32.const 1024) (local.get $n-proposals))
  (i32.const 1024))

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (call $sample (i32.const 0) (i32.const 0) (i32.const 512))
  (if (i32.load8_u (i32.const 512)) (then (unreachable)))
  (call $propose (i32.load offset=4 (i32.const 512)) (i32.load offset=8 (i32.const 512)))
  (call $work (i32.const 1)))

(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (global.set $told (i64.add (global.get $told) (i64.const 1)))
  (call $ok))

(func (export "nas:strategy/strategy@0.1.0#judge")
  (param $job i64) (param $fidelity i32) (param $measures i32) (param $n-measures i32) (result i32)
  (i32.const 0))

(func (export "nas:strategy/strategy@0.1.0#recommend") (param $limit i32) (result i32)
  (call $ok))

;; `ok({format: {"told", 1}, bytes: the count, needs-weights: []})`
(func (export "nas:strategy/strategy@0.1.0#save") (result i32)
  (i64.store (i32.const 256) (global.get $told))
  (drop (call $ok))
  (i32.store offset=4 (i32.const 1024) (i32.const 80)) (i32.store offset=8 (i32.const 1024) (i32.const 4))
  (i32.store offset=12 (i32.const 1024) (i32.const 1))
  (i32.store offset=16 (i32.const 1024) (i32.const 256)) (i32.store offset=20 (i32.const 1024) (i32.const 8))
  (i32.const 1024))
