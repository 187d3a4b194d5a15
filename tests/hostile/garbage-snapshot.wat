;; Saves a snapshot that it does not restore (a byte short): restoring is refused as corrupt.

(func (export "nas:strategy/strategy@0.1.0#save") (result i32)
  (drop (call $ok))
  (i32.store offset=4 (i32.const 1024) (i32.const 80)) (i32.store offset=8 (i32.const 1024) (i32.const 4))
  (i32.store offset=12 (i32.const 1024) (i32.const 1))
  (i32.store offset=16 (i32.const 1024) (i32.const 256)) (i32.store offset=20 (i32.const 1024) (i32.const 7))
  (i32.const 1024))
