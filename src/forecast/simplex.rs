//! The least value of a function over the unit cube: by Nelder and Mead, from a given corner on. Nothing is drawn: the same
//! function has the same answer.

/// How far the first corners lie apart.
const STEP: f64 = 0.15;
/// Corners that close are one place.
const CLOSE: f64 = 1e-3;

/// The best place found with at most `looks` looks at `f` (a few more where the last step shrinks), and what `f` says there.
/// It never says more than it did at `start`.
pub fn least<const N: usize>(start: [f64; N], looks: usize, f: impl Fn(&[f64; N]) -> f64) -> ([f64; N], f64) {
    let mut looked = 0;
    let mut look = |place: [f64; N]| {
        looked += 1;
        let place = place.map(|x| x.clamp(0.0, 1.0));
        ((place, f(&place)), looked)
    };
    let mut corners = vec![look(start).0];
    for axis in 0..N {
        let mut corner = start;
        corner[axis] += if corner[axis] + STEP <= 1.0 { STEP } else { -STEP };
        corners.push(look(corner).0);
    }
    loop {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst) = (corners[0], corners[N]);
        let wide = |axis: usize| corners.iter().any(|corner| (corner.0[axis] - best.0[axis]).abs() > CLOSE);
        if !(0..N).any(wide) {
            return best;
        }
        let middle: [f64; N] =
            std::array::from_fn(|axis| corners[..N].iter().map(|corner| corner.0[axis]).sum::<f64>() / N as f64);
        let along = |far: f64| std::array::from_fn(|axis| middle[axis] + far * (worst.0[axis] - middle[axis]));
        let (mirrored, looked) = look(along(-1.0));
        if looked >= looks {
            return if mirrored.1 < best.1 { mirrored } else { best };
        }
        let next = if mirrored.1 < best.1 {
            let (further, _) = look(along(-2.0));
            if further.1 < mirrored.1 { further } else { mirrored }
        } else if mirrored.1 < corners[N - 1].1 {
            mirrored
        } else {
            let (inside, _) = look(along(if mirrored.1 < worst.1 { -0.5 } else { 0.5 }));
            if inside.1 >= worst.1.min(mirrored.1) {
                for corner in &mut corners[1..] {
                    let halved = std::array::from_fn(|axis| f64::midpoint(corner.0[axis], best.0[axis]));
                    *corner = look(halved).0;
                }
                continue;
            }
            inside
        };
        corners[N] = next;
    }
}
