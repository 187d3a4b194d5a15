;; Wants to see the file system: refused by the import's name before anything is linked.
(component
  (import "wasi:filesystem/types@0.2.0" (instance
    (export "open" (func (param "path" string) (result u32))))))
