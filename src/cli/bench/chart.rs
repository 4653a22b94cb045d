//! The chart of a benchmark: latency against exit.

use crate::render::chart::{From, Lines, Series, Size};

use super::{BenchReport, Latency, Times};

/// Median latency of each exit, as SVG.
pub fn draw(report: &BenchReport, device: &str) -> String {
    let line = |pick: fn(&Times) -> &Latency| -> Vec<(f64, f64)> {
        report.exits.iter().map(|exit| (exit.exit as f64, pick(&exit.times).p50_ms)).collect()
    };
    let (forward, grad_cam) = (line(|t| &t.forward), line(|t| &t.grad_cam));
    let series = [
        Series { name: "with Grad-CAM", points: &grad_cam, intervals: &[] },
        Series { name: "forward alone", points: &forward, intervals: &[] },
    ];
    let title = format!("Latency up to each exit, batch {}: {device}", report.batch);
    let chart = Lines { title: &title, x: "exit", y: "median, ms", from: From::Zero, series: &series };
    chart.draw(Size::FILE).svg()
}
