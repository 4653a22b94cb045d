//! The program of a session: a plan as launches of blocks, for any number of images.

use bytemuck::Zeroable;

use super::abi::{
    CAM_CHANNELS, CHANNELS, GROUP, JobRow, MAX_JOBS, Mode, Opcode, StepRow, THREADS, TILE, WHOLE_PIXELS,
};
use super::lower::Tables;
use super::variant::Tiling;
use crate::Result;
use crate::engine::plan::Plan;

/// A job as a range of the step table.
struct StepRange {
    first: usize,
    steps: usize,
    /// Elements of its result, if the job is distributed over several blocks.
    spread: Option<usize>,
}

/// One launch, for a given number of images.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: u32,
    pub(super) jobs: u32,
    pub(super) job: [JobRow; MAX_JOBS],
}

/// Shared device memory that the launches of a level need: scratch elements and counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) scratch: usize,
    pub(super) counters: usize,
}

impl Needs {
    /// Memory that suffices for either, not for both at once.
    fn max(self, other: Needs) -> Needs {
        Needs { scratch: self.scratch.max(other.scratch), counters: self.counters.max(other.counters) }
    }
}

/// A plan lowered to the kernels' tables.
pub(super) struct Program {
    pub(super) tables: Tables,
    /// Elements of one image's work space: the plan's, and what lowered steps need beside it.
    pub(super) work_len: usize,
    levels: Vec<Vec<StepRange>>,
    /// Multiply-adds of each level for one image.
    pub(super) multiply_adds: Vec<u64>,
    tiling: Tiling,
    /// Number of blocks that occupy the whole GPU.
    fill: usize,
}

/// Elements per block of a job that is distributed over several blocks.
const SPREAD_LEN: usize = 1024;
/// Most blocks per image of such a job.
const MAX_SPREAD_BLOCKS: usize = 64;

impl Program {
    /// Lowers `plan` for a GPU with this number of multiprocessors.
    ///
    /// # Errors
    /// When a step exceeds a limit of the kernels.
    pub(super) fn new(plan: &Plan, multiprocessors: usize, tiling: Tiling) -> Result<Program> {
        let mut tables = Tables { work_len: plan.work_len, ..Tables::default() };
        let (mut levels, mut multiply_adds) = (Vec::new(), Vec::new());
        for level in &plan.levels {
            let mut jobs = Vec::new();
            for job in &level.jobs {
                let first = tables.steps.len();
                for step in &job.steps {
                    tables.add(plan, step)?;
                }
                let rows = &tables.steps[first..];
                if rows[0].is_convolution() {
                    jobs.extend((first..tables.steps.len()).map(|first| StepRange {
                        first,
                        steps: 1,
                        spread: None,
                    }));
                } else {
                    // The rows of one step (a sum of many) read earlier results only at the element that
                    // they write.
                    let elementwise = job.steps.len() == 1 && rows.iter().all(StepRow::is_elementwise);
                    let spread = Some(result_len(&rows[0])).filter(|&len| elementwise && len > SPREAD_LEN);
                    jobs.push(StepRange { first, steps: rows.len(), spread });
                }
            }
            levels.push(jobs);
            let steps = level.jobs.iter().flat_map(|job| &job.steps);
            multiply_adds.push(steps.map(|step| step.multiply_adds()).sum());
        }
        let work_len = tables.work_len;
        Ok(Program { tables, work_len, levels, multiply_adds, tiling, fill: 2 * multiprocessors.max(1) })
    }

    /// Number of levels.
    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }

    /// The launches of `level` for `images` images, and the memory that they need.
    pub(super) fn grids(&self, level: usize, images: usize) -> (Vec<Grid>, Needs) {
        let whole = self.is_whole(level, images);
        let mut grids = Vec::new();
        let mut largest = Needs::default();
        for jobs in self.levels[level].chunks(MAX_JOBS) {
            let mut grid = Grid { blocks: 0, jobs: jobs.len() as u32, job: [JobRow::zeroed(); MAX_JOBS] };
            let mut needs = Needs::default();
            for (row, job) in grid.job.iter_mut().zip(jobs) {
                let (cut, blocks) = self.cut(job, images, whole, &mut needs);
                *row = JobRow { first_block: grid.blocks, ..cut };
                grid.blocks += blocks as u32;
            }
            largest = largest.max(needs);
            grids.push(grid);
        }
        (grids, largest)
    }

    /// The memory that the launches of all levels need for up to `images` images.
    pub(super) fn needs(&self, images: usize) -> Needs {
        let each = (1..=images).flat_map(|images| (0..self.len()).map(move |level| (level, images)));
        each.map(|(level, images)| self.grids(level, images).1).fold(Needs::default(), Needs::max)
    }

    /// Whether this level's convolutions occupy the whole GPU with large tiles.
    fn is_whole(&self, level: usize, images: usize) -> bool {
        match self.tiling {
            Tiling::Split => false,
            Tiling::Whole => true,
            Tiling::Auto => {
                let steps = self.levels[level].iter().map(|job| &self.tables.steps[job.first]);
                let convolutions = steps.filter(|step| step.is_convolution());
                convolutions.map(|step| whole_blocks(step, images)).sum::<usize>() >= self.fill
            }
        }
    }

    /// The division of `job` into blocks for `images` images, and their number.
    fn cut(&self, job: &StepRange, images: usize, whole: bool, needs: &mut Needs) -> (JobRow, usize) {
        let step = &self.tables.steps[job.first];
        let row =
            JobRow { first_step: job.first as u32, steps: job.steps as u32, across: 1, ..JobRow::zeroed() };
        if step.is_convolution() {
            return if whole { cut_whole(row, step, images) } else { cut_split(row, step, images, needs) };
        }
        if let Some(len) = job.spread {
            let across = len.div_ceil(SPREAD_LEN).min(MAX_SPREAD_BLOCKS);
            return (JobRow { mode: Mode::Spread as u32, across: across as u32, ..row }, across * images);
        }
        let rows = &self.tables.steps[job.first..][..job.steps];
        let map = |step: &StepRow| {
            (step.out_c as usize).div_ceil(CAM_CHANNELS) * (step.out_h * step.out_w) as usize
        };
        let parts = rows.iter().filter(|row| row.is(Opcode::Cam)).map(map).max().unwrap_or(0);
        let scratch = needs.scratch as u32;
        needs.scratch += parts * images;
        if !step.is(Opcode::Cam) {
            return (JobRow { mode: Mode::Chain as u32, scratch, ..row }, images);
        }
        let counter = needs.counters as u32;
        needs.counters += images;
        let across = (step.out_c as usize).div_ceil(CAM_CHANNELS);
        (JobRow { mode: Mode::Cam as u32, across: across as u32, scratch, counter, ..row }, across * images)
    }
}

/// Elements of a step's result.
fn result_len(step: &StepRow) -> usize {
    (step.out_c * step.out_h * step.out_w) as usize
}

/// Pixels of a convolution's result, over all images.
fn pixels(step: &StepRow, images: usize) -> usize {
    images * (step.rows * step.columns) as usize
}

/// Blocks of a convolution in large tiles.
fn whole_blocks(step: &StepRow, images: usize) -> usize {
    let warps = pixels(step, images).div_ceil(WHOLE_PIXELS) * (step.out_c as usize).div_ceil(CHANNELS);
    warps.div_ceil(THREADS as usize / 32)
}

/// A convolution in large tiles, and its number of blocks.
fn cut_whole(row: JobRow, step: &StepRow, images: usize) -> (JobRow, usize) {
    let across = (step.out_c as usize).div_ceil(CHANNELS) as u32;
    (JobRow { mode: Mode::Whole as u32, across, groups: 1, ..row }, whole_blocks(step, images))
}

/// A convolution in small tiles, and its number of blocks.
fn cut_split(row: JobRow, step: &StepRow, images: usize, needs: &mut Needs) -> (JobRow, usize) {
    let channels = step.out_c as usize;
    let tile_pixels = if channels <= CHANNELS { 32 } else { 16 };
    let across = channels.div_ceil(TILE / tile_pixels);
    let tiles = pixels(step, images).div_ceil(tile_pixels) * across;
    let groups = (step.terms as usize).div_ceil(GROUP).max(1);
    let mut row = JobRow { mode: Mode::Split as u32, across: across as u32, groups: groups as u32, ..row };
    if groups > 1 {
        (row.scratch, row.counter) = (needs.scratch as u32, needs.counters as u32);
        needs.scratch += tiles * groups * TILE;
        needs.counters += tiles;
    }
    (row, tiles * groups)
}
