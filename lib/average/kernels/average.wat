;; The fused update of the wasm backend, on the backend's own memory: for `size` float32 values
;;   average[i] += (current[i] - average[i]) * share
;; each operation rounded to float32, as the plain ops round it. scripts/wasm.ts assembles it.
(module
  (import "backend" "memory" (memory 0))

  ;; average and current are byte addresses; v128 loads and stores need no alignment.
  (func (export "average")
    (param $average i32) (param $current i32) (param $size i32) (param $share f32)
    (local $shares v128) ;; share, four times
    (local $old v128)
    (local $end i32)     ;; where average ends, or what comes of it in whole vectors
    (local.set $shares (f32x4.splat (local.get $share)))

    ;; Four values a turn, as long as there are that many.
    (local.set $end (i32.add (local.get $average)
                             (i32.shl (i32.and (local.get $size) (i32.const -4)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $average) (local.get $end)))
        (local.set $old (v128.load (local.get $average)))
        (v128.store (local.get $average)
          (f32x4.add (local.get $old)
            (f32x4.mul (f32x4.sub (v128.load (local.get $current)) (local.get $old))
                       (local.get $shares))))
        (local.set $average (i32.add (local.get $average) (i32.const 16)))
        (local.set $current (i32.add (local.get $current) (i32.const 16)))
        (br $next)))

    ;; The three or fewer that are left, one by one.
    (local.set $end (i32.add (local.get $average)
                             (i32.shl (i32.and (local.get $size) (i32.const 3)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $average) (local.get $end)))
        (f32.store (local.get $average)
          (f32.add (f32.load (local.get $average))
            (f32.mul (f32.sub (f32.load (local.get $current)) (f32.load (local.get $average)))
                     (local.get $share))))
        (local.set $average (i32.add (local.get $average) (i32.const 4)))
        (local.set $current (i32.add (local.get $current) (i32.const 4)))
        (br $next)))))
