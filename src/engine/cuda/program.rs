//! The program of a session: a plan as launches of blocks, for any number of images.

use super::abi::{CAM_CHANNELS, CHAIN_SHARED, ChainRow, Divisor, MAX_JOBS, Opcode, StepRow};
use super::conv2d::Conv;
use super::cut::{Cut, CutKind, Limits, Needs};
use super::lower::{Lowered, Tables};
use super::order::{self, Node};
use super::tiles::cut;
use super::variant::{Launches, Tiling, Variant};
use crate::Result;
use crate::engine::plan::{Job, Plan, Step};

/// A job before it is divided into blocks.
enum PlannedJob {
    /// A range of the step table, and how the first step is shared by several blocks.
    Steps { first: usize, count: usize, spread: Spread },
    /// A convolution.
    Conv(Box<Conv>),
}

/// Division of a step among the blocks of an image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// One block.
    No,
    /// This many blocks.
    Blocks(usize),
    /// Up to this many blocks, fewer where the images alone occupy the GPU: each block repeats a part of the work.
    Repeated(usize),
}

/// One launch, for a given number of images.
pub(super) struct Grid {
    pub(super) blocks: u32,
    /// Bytes of shared memory of a block.
    pub(super) shared: u32,
    pub(super) jobs: Vec<Cut>,
}

/// A plan lowered to the kernels' tables.
pub(super) struct Program {
    pub(super) tables: Tables,
    /// The launches' order.
    pub(super) nodes: Vec<Node>,
    /// The jobs of each node.
    jobs: Vec<Vec<PlannedJob>>,
    /// Multiply-adds of each level for one image.
    pub(super) multiply_adds: Vec<u64>,
    tiling: Tiling,
    limits: Limits,
}

/// Elements per block of a step that is distributed over several blocks.
const SPREAD_LEN: usize = 1024;
/// Results per block of a grouped convolution, each of which is a sum.
const GROUPED_LEN: usize = 512;
/// Channels per block that are summed, each by a warp.
const SUMMED_CHANNELS: usize = 8;
/// Outputs per block of a linear layer, and elements of a resized map.
const LINEAR_OUTPUTS: usize = 16;
const CLASSIFIER_OUTPUTS: usize = 32;
const RESIZED_LEN: usize = 4096;
/// Estimated cycles of a block of steps: those of a head, which are more than a small tile's.
const CHAIN_CYCLES: usize = 6000;
/// Most blocks per image of such a step, and of one whose elements are independent.
const MAX_SPREAD_BLOCKS: usize = 64;
const MAX_ELEMENT_BLOCKS: usize = 256;

impl Program {
    /// Lowers `plan` for a GPU with these limits.
    ///
    /// # Errors
    /// When a step exceeds a limit of the kernels, or the system has too little memory for the weights.
    pub(super) fn new(plan: &Plan, limits: Limits, variant: &Variant) -> Result<Program> {
        // Tables are made of slices of the weights: those that are computed are held, or refused, before.
        let used = plan.steps().flat_map(|step| step.op.params());
        used.map(|id| plan.params[id.index()].data.hold()).try_for_each(|held| held.map(drop))?;
        let mut tables = Tables::default();
        let nodes = order::order(plan, variant.launches == Launches::Branches);
        let mut jobs_of_nodes = Vec::new();
        for node in &nodes {
            let mut jobs = Vec::new();
            for job in node.jobs.iter().map(|&index| &plan.levels[node.level].jobs[index]) {
                let first = tables.steps.len();
                for step in &job.steps {
                    match tables.lower(plan, step)? {
                        Lowered::Steps(rows) => tables.steps.extend(rows),
                        Lowered::Convs(rows) => {
                            jobs.extend(rows.into_iter().map(|conv| PlannedJob::Conv(Box::new(conv))))
                        }
                    }
                }
                let rows = &tables.steps[first..];
                if let Some(row) = rows.first() {
                    // The rows of one step (a sum of many) read earlier results only at the element that they
                    // write, but a block only shares the first row.
                    let spread = spread(row, rows.len() == 1);
                    jobs.push(PlannedJob::Steps { first, count: rows.len(), spread });
                }
            }
            jobs_of_nodes.push(jobs);
        }
        let of_job = |job: &Job| job.steps.iter().map(Step::multiply_adds).sum::<u64>();
        let multiply_adds = plan.levels.iter().map(|level| level.jobs.iter().map(of_job).sum()).collect();
        Ok(Program { tables, nodes, jobs: jobs_of_nodes, multiply_adds, tiling: variant.tiling, limits })
    }

    /// Number of levels.
    pub(super) fn len(&self) -> usize {
        self.multiply_adds.len()
    }

    /// The launches of the node with this index for `images` images, and the memory that they need.
    pub(super) fn grids(&self, node: usize, images: usize) -> (Vec<Grid>, Needs) {
        let mut grids = Vec::new();
        let mut largest = Needs::default();
        for jobs in self.jobs[node].chunks(MAX_JOBS) {
            let mut needs = Needs::default();
            let mut jobs: Vec<Cut> = jobs.iter().map(|job| self.cut(job, images, &mut needs)).collect();
            // Blocks start in their order: those that take long must not start last.
            jobs.sort_by_key(|cut| std::cmp::Reverse(cut.cycles));
            let blocks = jobs.iter().map(|cut| cut.blocks as u32).sum();
            let shared = jobs.iter().map(|cut| cut.shared as u32).max().unwrap_or(0);
            grids.push(Grid { blocks, shared, jobs });
            largest = largest.max(needs);
        }
        (grids, largest)
    }

    /// The memory that the launches of each stream need for up to `images` images.
    pub(super) fn needs(&self, images: usize) -> Vec<Needs> {
        let streams = self.nodes.iter().map(|node| node.stream + 1).max().unwrap_or(1);
        let mut needs = vec![Needs::default(); streams];
        for (index, node) in self.nodes.iter().enumerate() {
            let own = (1..=images).map(|images| self.grids(index, images).1);
            needs[node.stream] = own.fold(needs[node.stream], Needs::max);
        }
        needs
    }

    /// The division of `job` into blocks for `images` images.
    fn cut(&self, job: &PlannedJob, images: usize, needs: &mut Needs) -> Cut {
        match *job {
            PlannedJob::Conv(ref conv) => cut(conv, images, self.tiling, &self.limits, needs),
            PlannedJob::Steps { first, count, spread } => self.cut_steps(first, count, spread, images, needs),
        }
    }

    fn cut_steps(&self, first: usize, count: usize, spread: Spread, images: usize, needs: &mut Needs) -> Cut {
        let across = match spread {
            Spread::No => 1,
            Spread::Blocks(blocks) => blocks,
            Spread::Repeated(blocks) => blocks.min(2 * self.limits.multiprocessors / images).max(1),
        };
        let rows = &self.tables.steps[first..][..count];
        let mut row = ChainRow {
            first_step: first as u32,
            steps: count as u32,
            by_across: Divisor::new(across),
            scratch: needs.scratch as u32,
            counter: 0,
        };
        needs.scratch += images * rows.iter().map(parts_of_cam).max().unwrap_or(0);
        if across > 1 && (rows[0].is(Opcode::Cam) || rows[0].is(Opcode::Classifier)) {
            row.counter = needs.counters as u32;
            needs.counters += images;
        }
        let shared = rows.iter().map(classifier_shared).max().unwrap_or(0).max(CHAIN_SHARED);
        let (blocks, shared) = (across * images, size_of::<f32>() * shared);
        Cut { kind: CutKind::Chain(row), blocks, shared, cycles: CHAIN_CYCLES }
    }
}

/// Groups of channels of a `cam` step or of a pooled gradient.
fn cam_groups(step: &StepRow) -> usize {
    (step.out_c as usize).div_ceil(CAM_CHANNELS)
}

/// Scratch elements of an image for the parts of a `cam` step's map.
fn parts_of_cam(step: &StepRow) -> usize {
    if step.is(Opcode::Cam) { cam_groups(step) * (step.out_h * step.out_w) as usize } else { 0 }
}

/// Floats of shared memory of a classifier: the pooled values and the logits.
fn classifier_shared(step: &StepRow) -> usize {
    let floats = step.in_c * step.out_h * step.out_w + step.out_c;
    if step.is(Opcode::Classifier) { floats as usize } else { 0 }
}

/// The division of a job's first step; `alone`: of its only one.
fn spread(step: &StepRow, alone: bool) -> Spread {
    let len = (step.out_c * step.out_h * step.out_w) as usize;
    let up_to = |most: usize, of: usize, per_block: usize| match of.div_ceil(per_block).min(most) {
        0 | 1 => Spread::No,
        blocks => Spread::Blocks(blocks),
    };
    let blocks = |of: usize, per_block: usize| up_to(MAX_SPREAD_BLOCKS, of, per_block);
    let repeated = |of: usize, per_block: usize| match blocks(of, per_block) {
        Spread::Blocks(blocks) => Spread::Repeated(blocks),
        one => one,
    };
    if step.is(Opcode::Cam) {
        return repeated(cam_groups(step), 1);
    }
    if step.is(Opcode::Classifier) {
        return blocks(step.out_c as usize, CLASSIFIER_OUTPUTS);
    }
    match alone {
        false => Spread::No,
        true if step.is(Opcode::GroupedConv2d) || step.is(Opcode::GroupedConv2dGrad) => {
            up_to(MAX_ELEMENT_BLOCKS, len, GROUPED_LEN)
        }
        true if step.is_elementwise() => up_to(MAX_ELEMENT_BLOCKS, len, SPREAD_LEN),
        true if step.is(Opcode::SpatialMean) || step.is(Opcode::ChannelDot) => blocks(len, SUMMED_CHANNELS),
        true if step.is(Opcode::PooledConv2dGrad) => repeated(cam_groups(step), 1),
        true if step.is(Opcode::Linear) => blocks(len, LINEAR_OUTPUTS),
        true if step.is(Opcode::ResizeMinMax) => repeated(len, RESIZED_LEN),
        true => Spread::No,
    }
}
