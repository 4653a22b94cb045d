//! Vectors of `f32` in three instruction sets. Kernels are written once over [`Simd`] and compiled for each;
//! the device chooses one when it is opened.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

use crate::{Error, Result};

/// Instruction set of the CPU's kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F and VL: 16 floats a vector, 32 registers.
    Avx512,
    /// AVX2 with fused multiply-add: 8 floats a vector, 16 registers.
    Avx2,
    /// Any CPU: 8 floats at a time, as the compiler translates them.
    Portable,
}

impl Isa {
    /// The best one that this machine has.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                return Isa::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    }

    /// Its name: `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        if self == Isa::Avx512 { 16 } else { 8 }
    }

    /// The one that the variable `MSDCAM_CPU` demands: `avx512`, `avx2` or `portable`; `None` without it.
    ///
    /// # Errors
    /// When it names one that this machine lacks.
    pub fn from_env() -> Result<Option<Isa>> {
        let Some(name) = std::env::var_os("MSDCAM_CPU") else { return Ok(None) };
        let available = Isa::available();
        if let Some(isa) = available.iter().find(|isa| name == isa.name()) {
            return Ok(Some(*isa));
        }
        let (name, names) =
            (name.to_string_lossy(), available.iter().map(|isa| isa.name()).collect::<Vec<_>>());
        Err(Error::device(format!("MSDCAM_CPU is '{name}': this machine has {}", names.join(", "))))
    }

    /// All that this machine can run, best first.
    pub fn available() -> Vec<Isa> {
        let best = Isa::detect();
        [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().skip_while(|&isa| isa != best).collect()
    }
}

/// A function compiled for each instruction set, of which the one for `isa` is returned:
/// `compiled!(isa, S => unsafe fn(x: T) { ... })`. S is the set's [`Simd`], and the body is an unsafe block.
///
/// # Safety
/// Of the function: the CPU has the instruction set, and what the body requires.
macro_rules! compiled {
    ($isa:expr, $simd:ident => unsafe fn($($arg:ident: $type:ty),*) $body:block) => {{
        /// # Safety
        /// As for the macro.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl")]
        unsafe fn avx512($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Avx512;
            // SAFETY: the body is compiled for the instruction set of this function, which the CPU has; what it
            // requires of its arguments is what the function's documentation asks of the caller.
            unsafe { $body }
        }
        /// # Safety
        /// As for the macro.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Avx2;
            // SAFETY: the body is compiled for the instruction set of this function, which the CPU has; what it
            // requires of its arguments is what the function's documentation asks of the caller.
            unsafe { $body }
        }
        /// # Safety
        /// As for the macro.
        unsafe fn portable($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Portable;
            // SAFETY: the body is compiled for the instruction set of this function, which the CPU has; what it
            // requires of its arguments is what the function's documentation asks of the caller.
            unsafe { $body }
        }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::engine::cpu::simd::Isa::Avx512 => avx512,
            #[cfg(target_arch = "x86_64")]
            $crate::engine::cpu::simd::Isa::Avx2 => avx2,
            _ => portable as unsafe fn($($type),*),
        }
    }};
}
pub(crate) use compiled;

/// A safe function that the compiler vectorizes for each instruction set, of which the one for `isa` is returned:
/// `vectorized!(isa, fn(x: T) { ... })`. The CPU has the instruction set: a device was opened for it.
macro_rules! vectorized {
    ($isa:expr, fn($($arg:ident: $type:ty),*) $body:block) => {{
        /// # Safety
        /// The CPU has AVX-512.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl")]
        fn avx512($($arg: $type),*) $body
        /// # Safety
        /// The CPU has AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($arg: $type),*) $body
        fn portable($($arg: $type),*) $body
        let chosen = match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::engine::cpu::simd::Isa::Avx512 => avx512,
            #[cfg(target_arch = "x86_64")]
            $crate::engine::cpu::simd::Isa::Avx2 => avx2,
            _ => portable as unsafe fn($($type),*),
        };
        move |$($arg: $type),*| {
            // SAFETY: only the CPU's instruction set is required.
            unsafe { chosen($($arg),*) }
        }
    }};
}
pub(crate) use vectorized;

/// Floats in the longest vector.
pub(crate) const MAX_LANES: usize = 16;

/// A vector of `LANES` floats.
///
/// # Safety
/// For every function: the CPU has the implementing instruction set, and the pointers are valid for the
/// floats that the function loads or stores.
pub(crate) trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// A permutation: the source of each lane, and which lanes become zero.
    type Index: Copy;
    /// Floats in a vector.
    const LANES: usize;

    /// `x` in every lane.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn splat(x: f32) -> Self::V;

    /// LANES floats from `p`, at any alignment.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn load(p: *const f32) -> Self::V;

    /// Lanes 0, 2, 4 and so on of `a`, then of `b`.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn even(a: Self::V, b: Self::V) -> Self::V;

    /// Every second of the 2 * LANES floats from `p`.
    ///
    /// # Safety
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn load_even(p: *const f32) -> Self::V {
        // SAFETY: the caller promises that the floats are there.
        unsafe { Self::even(Self::load(p), Self::load(p.add(Self::LANES))) }
    }

    /// Lanes 1, 3, 5 and so on of `a`, then of `b`.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn odd(a: Self::V, b: Self::V) -> Self::V;

    /// Prefetches the cache line of `p` into the L2 cache.
    ///
    /// # Safety
    /// See [`Simd`]; `p` may be any address.
    unsafe fn prefetch(p: *const f32);

    /// Stores LANES floats at `p`, at any alignment.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn store(p: *mut f32, v: Self::V);

    /// Stores the first `n` floats, n <= LANES.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize);

    /// Stores the first `n` floats, n <= LANES, and perhaps more up to LANES. Shorter stores cross cache
    /// lines less often.
    ///
    /// # Safety
    /// See [`Simd`]; `p` is valid for LANES floats.
    unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize);

    /// a * b + c.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// a + b.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;

    /// a - b.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;

    /// The larger in each lane; `b` where either is NaN.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;

    /// The larger in each lane; NaN where either is NaN.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn max_nan(a: Self::V, b: Self::V) -> Self::V;

    /// The smaller in each lane; `b` where either is NaN.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;

    /// The lanes whose bit of `mask` is set; the others are zero.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V;

    /// The permutation that puts lane `index[i]` in each lane i whose bit of `mask` is set, and zero in the
    /// others.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index;

    /// `v` permuted.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn permute(v: Self::V, index: Self::Index) -> Self::V;

    /// Partial sums of four vectors: lane v of each group of four lanes has the sum of that group of
    /// vector v.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn sums_of_four(vectors: [Self::V; 4]) -> Self::V;

    /// The sums of LANES vectors, in order, from the partial sums of the first LANES / 4 calls of
    /// [`Simd::sums_of_four`].
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn sums_of_fours(fours: [Self::V; MAX_LANES / 4]) -> Self::V;

    /// Transposes the first LANES vectors as a matrix.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]);

    /// The lanes of `a` and `b` in turn: the first half of the result, and the second.
    ///
    /// # Safety
    /// See [`Simd`].
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2];
}
