//! A plan cut into launches: which blocks do what, for any number of images.

use bytemuck::Zeroable;

use super::abi::{
    CAM_CHANNELS, CHANNELS, Code, GROUP, Job as Row, MAX_JOBS, Mode, Step, THREADS, TILE, WHOLE_PIXELS,
};
use super::lower::Tables;
use super::variant::Tiling;
use crate::Result;
use crate::engine::plan::Plan;

/// A job: rows of the step table.
struct Job {
    first: usize,
    steps: usize,
    /// Numbers of its result, where the job can be spread over blocks.
    spread: Option<usize>,
}

/// One launch for a number of images.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: u32,
    pub(super) jobs: u32,
    pub(super) job: [Row; MAX_JOBS],
}

/// What the launches of a level need of the shared memories: numbers of scratch, counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) scratch: usize,
    pub(super) counters: usize,
}

/// See the module's documentation.
pub(super) struct Program {
    pub(super) tables: Tables,
    levels: Vec<Vec<Job>>,
    /// Multiply-adds of each level for one image.
    pub(super) multiply_adds: Vec<u64>,
    tiling: Tiling,
    /// Blocks that fill the chip.
    fill: usize,
}

/// Numbers that a block of a spread job makes.
const SPREAD: usize = 1024;
/// The most blocks an image's spread job gets.
const MOST_SPREAD: usize = 64;

impl Program {
    /// Prepares `plan` for a chip with `multiprocessors`.
    ///
    /// # Errors
    /// When a step is beyond what the kernels can address.
    pub(super) fn new(plan: &Plan, multiprocessors: usize, tiling: Tiling) -> Result<Program> {
        let mut tables = Tables::default();
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
                    jobs.extend((first..tables.steps.len()).map(|first| Job {
                        first,
                        steps: 1,
                        spread: None,
                    }));
                } else {
                    // The rows of one step (a sum of many) read their own results only where they write.
                    let spreadable = job.steps.len() == 1 && rows[0].is_spreadable();
                    let spread = Some(numbers(&rows[0])).filter(|&len| spreadable && len > SPREAD);
                    jobs.push(Job { first, steps: rows.len(), spread });
                }
            }
            levels.push(jobs);
            let steps = level.jobs.iter().flat_map(|job| &job.steps);
            multiply_adds.push(steps.map(|step| step.multiply_adds()).sum());
        }
        Ok(Program { tables, levels, multiply_adds, tiling, fill: 2 * multiprocessors.max(1) })
    }

    /// Number of levels.
    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }

    /// The launches of level `level` for `images` images, and what they need.
    pub(super) fn grids(&self, level: usize, images: usize) -> (Vec<Grid>, Needs) {
        let whole = self.is_whole(level, images);
        let mut grids = Vec::new();
        let mut most = Needs::default();
        for jobs in self.levels[level].chunks(MAX_JOBS) {
            let mut grid = Grid { blocks: 0, jobs: jobs.len() as u32, job: [Row::zeroed(); MAX_JOBS] };
            let mut needs = Needs::default();
            for (row, job) in grid.job.iter_mut().zip(jobs) {
                let (cut, blocks) = self.cut(job, images, whole, &mut needs);
                *row = Row { first_block: grid.blocks, ..cut };
                grid.blocks += blocks as u32;
            }
            most.scratch = most.scratch.max(needs.scratch);
            most.counters = most.counters.max(needs.counters);
            grids.push(grid);
        }
        (grids, most)
    }

    /// What the launches of all levels need for up to `images` images.
    pub(super) fn needs(&self, images: usize) -> Needs {
        let mut most = Needs::default();
        for images in 1..=images {
            for level in 0..self.len() {
                let (_, needs) = self.grids(level, images);
                most.scratch = most.scratch.max(needs.scratch);
                most.counters = most.counters.max(needs.counters);
            }
        }
        most
    }

    /// Whether large tiles alone fill the chip in this level.
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

    /// How `job` is cut for `images` images, and into how many blocks.
    fn cut(&self, job: &Job, images: usize, whole: bool, needs: &mut Needs) -> (Row, usize) {
        let step = &self.tables.steps[job.first];
        let row = Row { first_step: job.first as u32, steps: job.steps as u32, across: 1, ..Row::zeroed() };
        if step.is_convolution() {
            return if whole { cut_whole(row, step, images) } else { cut_split(row, step, images, needs) };
        }
        if let Some(len) = job.spread {
            let across = len.div_ceil(SPREAD).min(MOST_SPREAD);
            return (Row { mode: Mode::Spread as u32, across: across as u32, ..row }, across * images);
        }
        let rows = &self.tables.steps[job.first..][..job.steps];
        let map =
            |step: &Step| (step.out_c as usize).div_ceil(CAM_CHANNELS) * (step.out_h * step.out_w) as usize;
        let parts = rows.iter().filter(|row| row.is(Code::Cam)).map(map).max().unwrap_or(0);
        let scratch = needs.scratch as u32;
        needs.scratch += parts * images;
        if !step.is(Code::Cam) {
            return (Row { mode: Mode::Chain as u32, scratch, ..row }, images);
        }
        let counter = needs.counters as u32;
        needs.counters += images;
        let across = (step.out_c as usize).div_ceil(CAM_CHANNELS);
        (Row { mode: Mode::Cam as u32, across: across as u32, scratch, counter, ..row }, across * images)
    }
}

/// Numbers in a step's result.
fn numbers(step: &Step) -> usize {
    (step.out_c * step.out_h * step.out_w) as usize
}

/// Pixels of a convolution's result, over all images.
fn pixels(step: &Step, images: usize) -> usize {
    images * (step.rows * step.columns) as usize
}

fn whole_blocks(step: &Step, images: usize) -> usize {
    let warps = pixels(step, images).div_ceil(WHOLE_PIXELS) * (step.out_c as usize).div_ceil(CHANNELS);
    warps.div_ceil(THREADS as usize / 32)
}

fn cut_whole(row: Row, step: &Step, images: usize) -> (Row, usize) {
    let across = (step.out_c as usize).div_ceil(CHANNELS) as u32;
    (Row { mode: Mode::Whole as u32, across, groups: 1, ..row }, whole_blocks(step, images))
}

fn cut_split(row: Row, step: &Step, images: usize, needs: &mut Needs) -> (Row, usize) {
    let channels = step.out_c as usize;
    let tile_pixels = if channels <= CHANNELS { 32 } else { 16 };
    let across = channels.div_ceil(TILE / tile_pixels);
    let tiles = pixels(step, images).div_ceil(tile_pixels) * across;
    let groups = (step.terms as usize).div_ceil(GROUP).max(1);
    let mut row = Row { mode: Mode::Split as u32, across: across as u32, groups: groups as u32, ..row };
    if groups > 1 {
        (row.scratch, row.counter) = (needs.scratch as u32, needs.counters as u32);
        needs.scratch += tiles * groups * TILE;
        needs.counters += tiles;
    }
    (row, tiles * groups)
}
