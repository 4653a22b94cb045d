//! Saying that a test could not run: past the test runner, which keeps what passing tests print.

/// Names a test, or a part of one, and why it could not run. `.ci/run` counts these lines.
macro_rules! skipped {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        // Nothing depends on the line getting out.
        let _ = writeln!(std::io::stderr(), "skipped: {}", format_args!($($what)*));
    }};
}
