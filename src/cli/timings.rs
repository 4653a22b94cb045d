//! Time spent in each stage of a command: `--timings`.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A stage of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Model,
    Plan,
    Decode,
    Resize,
    Run,
    Draw,
    Encode,
    Write,
}

impl Stage {
    const ALL: [(Stage, &str); 8] = [
        (Stage::Model, "read the weights"),
        (Stage::Plan, "plan, pack the weights"),
        (Stage::Decode, "decode photos"),
        (Stage::Resize, "resize photos"),
        (Stage::Run, "run the network"),
        (Stage::Draw, "draw"),
        (Stage::Encode, "encode"),
        (Stage::Write, "write"),
    ];
}

/// Clocks of all stages. Stages overlap, and several threads may be in one.
#[derive(Debug)]
pub struct Timings {
    start: Instant,
    spent: Mutex<[Option<Spent>; Stage::ALL.len()]>,
}

/// Time of one stage.
#[derive(Debug, Clone, Copy)]
struct Spent {
    /// First start, since the start of the program.
    from: Duration,
    /// Last end.
    to: Duration,
    /// Sum over all threads.
    work: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Timings::since(Instant::now())
    }
}

impl Timings {
    /// Clocks relative to `start`.
    pub fn since(start: Instant) -> Self {
        Timings { start, spent: Mutex::default() }
    }

    /// Runs `work` and adds its time to `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let from = self.start.elapsed();
        let result = work();
        let to = self.start.elapsed();
        let mut spent = self.spent.lock().expect("no thread panics while it adds its time");
        let spent = spent[stage as usize].get_or_insert(Spent { from, to, work: Duration::ZERO });
        *spent = Spent { from: spent.from.min(from), to: spent.to.max(to), work: spent.work + (to - from) };
        result
    }

    /// A table with a row for each stage, in milliseconds.
    pub fn table(&self) -> String {
        let total = self.start.elapsed();
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let mut text = format!("{:<24}{:>9}{:>9}{:>9}\n", "milliseconds", "from", "to", "work");
        let spent = self.spent.lock().expect("no thread panics while it adds its time");
        for (stage, name) in Stage::ALL {
            if let Some(Spent { from, to, work }) = spent[stage as usize] {
                let _ = writeln!(text, "{name:<24}{:>9}{:>9}{:>9}", ms(from), ms(to), ms(work));
            }
        }
        let _ = writeln!(text, "{:<24}{:>9}{:>9}", "all", ms(Duration::ZERO), ms(total));
        text + "Times since the start of main, without loading of the program. Stages overlap; work is the sum \
                over all threads."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_spans_all_intervals_and_sums_their_work() {
        let timings = Timings::since(Instant::now());
        let nap = || std::thread::sleep(Duration::from_millis(5));
        timings.time(Stage::Draw, nap);
        nap();
        assert_eq!(timings.time(Stage::Draw, || 7), 7);
        let spent = timings.spent.lock().unwrap()[Stage::Draw as usize].unwrap();
        assert!(spent.to - spent.from >= Duration::from_millis(10), "{spent:?}");
        assert!(spent.work >= Duration::from_millis(5), "{spent:?}");
        assert!(spent.work <= spent.to - spent.from - Duration::from_millis(5), "{spent:?}");
    }

    #[test]
    fn the_table_has_a_row_for_each_used_stage() {
        assert!(Stage::ALL.iter().enumerate().all(|(i, (stage, _))| *stage as usize == i));
        let timings = Timings::since(Instant::now());
        timings.time(Stage::Encode, || ());
        let table = timings.table();
        let names: Vec<&str> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(names, ["milliseconds", "encode", "all", "Times"]);
    }
}
