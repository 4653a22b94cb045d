//! Vectors of `f32` on the three kinds of CPU that we serve. Kernels are written once over
//! [`Simd`] and compiled for each kind; the right one is chosen when the program starts.

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

/// A kind of CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 16 numbers a vector, 32 registers.
    Avx512,
    /// 8 numbers a vector, 16 registers, fused multiply-add.
    Avx2,
    /// Whatever the compiler makes of eight numbers at a time.
    Portable,
}

impl Isa {
    /// The best kind that this machine has.
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

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        if self == Isa::Avx512 { 16 } else { 8 }
    }

    /// The kinds that this machine can run, best first.
    pub fn available() -> Vec<Isa> {
        let best = Isa::detect();
        [Isa::Avx512, Isa::Avx2, Isa::Portable].into_iter().skip_while(|&isa| isa != best).collect()
    }
}

/// The function of one kind of CPU, compiled for it: `compiled!(isa, S => unsafe fn(x: T) { ... })`, where the
/// body may do what is unsafe and S is that kind's [`Simd`].
///
/// # Safety of the function
/// The CPU is of that kind; else as the body asks for.
macro_rules! compiled {
    ($isa:expr, $simd:ident => unsafe fn($($arg:ident: $type:ty),*) $body:block) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl")]
        unsafe fn avx512($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Avx512;
            // SAFETY: the caller's promise, passed on.
            unsafe { $body }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Avx2;
            // SAFETY: the caller's promise, passed on.
            unsafe { $body }
        }
        unsafe fn portable($($arg: $type),*) {
            type $simd = $crate::engine::cpu::simd::Portable;
            // SAFETY: the caller's promise, passed on.
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

/// The most numbers in a vector.
pub(crate) const MAX_LANES: usize = 16;

/// A vector of `LANES` numbers.
///
/// # Safety
/// Every function needs a CPU of the implementing kind; loads and stores need valid memory for
/// the numbers that they touch.
pub(crate) trait Simd: Copy {
    type V: Copy;
    /// Where each number of a permutation comes from.
    type Index: Copy;
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    /// Asks for the cache line of `p`, which may be any address, to be brought into the second-level cache.
    unsafe fn prefetch(p: *const f32);
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Stores the first `n` numbers, n <= LANES.
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize);
    /// Stores the first `n` numbers, n <= LANES, and perhaps more up to LANES: the shorter a store, the
    /// rarer it lies across two cache lines.
    unsafe fn store_at_least(p: *mut f32, v: Self::V, n: usize);
    /// a * b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The numbers whose bit of `mask` is set, zero elsewhere.
    unsafe fn keep(v: Self::V, mask: u32) -> Self::V;
    /// Number `index[i]` at each place i whose bit of `mask` is set, zero elsewhere.
    unsafe fn index(index: &[u32; MAX_LANES], mask: u32) -> Self::Index;
    unsafe fn permute(v: Self::V, index: Self::Index) -> Self::V;
    /// Four vectors summed up to a four of numbers in each LANES / 4th part of a vector.
    unsafe fn sums_of_four(vectors: [Self::V; 4]) -> Self::V;
    /// The sums that the first LANES / 4 results of [`Simd::sums_of_four`] stand for, in order.
    unsafe fn sums_of_fours(fours: [Self::V; MAX_LANES / 4]) -> Self::V;
    /// Number j of vector i becomes number i of vector j, of the first LANES vectors.
    unsafe fn transpose(rows: &mut [Self::V; MAX_LANES]);
    /// The numbers of `a` and `b` in turn: the first half of the result, and the second.
    unsafe fn interleave(a: Self::V, b: Self::V) -> [Self::V; 2];
    /// Every second of the 2 * LANES numbers from `p`.
    unsafe fn load_even(p: *const f32) -> Self::V;
}
