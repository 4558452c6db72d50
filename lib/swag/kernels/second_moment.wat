;; The fused second moment of the wasm backend, on the backend's own memory: for `size` float32 values
;;   sum[i] += (value[i] - mean[i])^2 * share
;; each operation rounded to float32, as the plain ops round it. scripts/wasm.ts assembles it.
(module
  (import "backend" "memory" (memory 0))

  ;; sum, mean and value are byte addresses; v128 loads and stores need no alignment.
  (func (export "secondMoment")
    (param $sum i32) (param $mean i32) (param $value i32) (param $size i32) (param $share f32)
    (local $shares v128) ;; share, four times
    (local $deviations v128)
    (local $deviation f32)
    (local $end i32)     ;; where sum ends, or what comes of it in whole vectors
    (local.set $shares (f32x4.splat (local.get $share)))

    ;; Four values a turn, as long as there are that many.
    (local.set $end (i32.add (local.get $sum)
                             (i32.shl (i32.and (local.get $size) (i32.const -4)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $sum) (local.get $end)))
        (local.set $deviations
          (f32x4.sub (v128.load (local.get $value)) (v128.load (local.get $mean))))
        (v128.store (local.get $sum)
          (f32x4.add (v128.load (local.get $sum))
            (f32x4.mul (f32x4.mul (local.get $deviations) (local.get $deviations))
                       (local.get $shares))))
        (local.set $sum (i32.add (local.get $sum) (i32.const 16)))
        (local.set $mean (i32.add (local.get $mean) (i32.const 16)))
        (local.set $value (i32.add (local.get $value) (i32.const 16)))
        (br $next)))

    ;; The three or fewer that are left, one by one.
    (local.set $end (i32.add (local.get $sum)
                             (i32.shl (i32.and (local.get $size) (i32.const 3)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $sum) (local.get $end)))
        (local.set $deviation
          (f32.sub (f32.load (local.get $value)) (f32.load (local.get $mean))))
        (f32.store (local.get $sum)
          (f32.add (f32.load (local.get $sum))
            (f32.mul (f32.mul (local.get $deviation) (local.get $deviation))
                     (local.get $share))))
        (local.set $sum (i32.add (local.get $sum) (i32.const 4)))
        (local.set $mean (i32.add (local.get $mean) (i32.const 4)))
        (local.set $value (i32.add (local.get $value) (i32.const 4)))
        (br $next)))))
