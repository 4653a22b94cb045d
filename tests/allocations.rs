//! A runner makes all its memory when it is made: a run allocates nothing.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::nets::{asked, cam_graph, golden_network, inputs};
use common::run::{self, input_spaces};
use msdcam::Tensor;
use msdcam::cpu::Isa;
use msdcam::graph::passes::Passes;
use msdcam::graph::plan::{Order, Plan};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test in this file: another one beside it would be counted too.
#[test]
fn a_run_allocates_nothing_after_the_first() {
    let (golden, network) = golden_network("subnets-even");
    let (graph, exits) = cam_graph(&network);
    let plan = Arc::new(Plan::new(&graph, &asked(&exits), Order::Depth, &Passes::ALL).unwrap());
    let inputs = inputs(&golden.tensor("input"), exits.len());
    let two = input_spaces(&plan, &inputs.iter().collect::<Vec<&Tensor>>());
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            for batch in [1, 2, 5, 20] {
                let spaces: Vec<f32> = two.iter().copied().cycle().take(batch * plan.input_len).collect();
                let mut outputs = vec![0.0; batch * plan.output_len];
                let mut runner = run::cpu(threads, isa).load(Arc::clone(&plan), batch).unwrap();
                runner.run(&spaces, &mut outputs).unwrap();
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                for _ in 0..3 {
                    runner.run(&spaces, &mut outputs).unwrap();
                }
                let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
                assert_eq!(made, 0, "{}, {threads} threads, {batch} images", isa.name());
            }
        }
    }
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 100, "the counter counts");
}
