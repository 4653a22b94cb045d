//! Report of a test that could not run, written past the test harness, which captures what passing tests
//! print.

/// Names a test, or a part of it, and why it could not run. `.ci/run` counts these lines.
macro_rules! skipped {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        // A line that cannot be written is lost; the test is not affected.
        let _ = writeln!(std::io::stderr(), "skipped: {}", format_args!($($what)*));
    }};
}
