//! Cost of launches: nodes of a graph with plain and with programmatic edges, forks, and whole graphs by the
//! host's clock.

use cudarc::driver::sys;
use cudarc::driver::sys::CUgraphDependencyType as Edge;
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream};
use msdcam::Result;

use crate::gpu::{Gpu, Kind, Memory, said};
use crate::report::{Found, Rows, median, short};

const THREADS: u32 = 256;
/// Number of nodes of the chain in all rows.
const NODES: u32 = 54;
/// The same in a tiny run.
const FEW_NODES: u32 = 14;

pub fn rows(rows: &mut Rows) {
    for (edges, kernel) in [("plain", "link"), ("pdl", "link_early"), ("pdl_late", "link_late")] {
        for blocks in [32, 132, 264] {
            rows.add(format!("graph_node_{edges}_{blocks}"), move |gpu| chain(gpu, kernel, blocks));
        }
    }
    rows.add("graph_1_host", one_node_by_the_host);
    rows.add("graph_54_host", chain_by_the_host);
    rows.add("graph_fork", fork);
}

/// Two arrays that the links of a chain read and write alternately.
struct Links<'a> {
    gpu: &'a Gpu,
    kernel: &'static str,
    blocks: u32,
    arrays: [Memory; 2],
}

impl<'a> Links<'a> {
    fn new(gpu: &'a Gpu, kernel: &'static str, blocks: u32) -> Result<Links<'a>> {
        let blocks = gpu.pick(blocks, blocks / 10);
        let first: Vec<u32> = (0..blocks * THREADS).map(|i| i.wrapping_mul(2654435761)).collect();
        let arrays = [gpu.upload(&first)?, gpu.memory(first.len() * 4)?];
        Ok(Links { gpu, kernel, blocks, arrays })
    }

    /// A chain of an even number of `nodes`; `wrap` submits each of them.
    fn capture(
        &self,
        nodes: u32,
        wrap: impl Fn(u32, &dyn Fn() -> Result<()>) -> Result<()>,
    ) -> Result<CudaGraph> {
        self.gpu.capture(|| {
            (0..nodes).try_for_each(|node| {
                let (from, to) = (&self.arrays[node as usize % 2], &self.arrays[(node as usize + 1) % 2]);
                let programmatic = node > 0 && self.kernel != "link";
                let kind = if programmatic { Kind::Programmatic } else { Kind::Plain };
                let shape = (self.blocks, THREADS);
                wrap(node, &|| self.gpu.launch(self.kernel, shape, kind, &[from.at, to.at]))
            })
        })
    }

    /// Whether the first array holds what `links` links make of it.
    fn are_right(&self, links: u32) -> Result<bool> {
        let (mut scale, mut term) = (1_u32, 0_u32);
        for _ in 0..links {
            (scale, term) = (scale.wrapping_mul(5), term.wrapping_mul(5).wrapping_add(1));
        }
        let count = u64::from(self.blocks * THREADS);
        let expected = |i: u64| {
            let from = ((i + u64::from(links) * u64::from(THREADS)) % count) as u32;
            from.wrapping_mul(2654435761).wrapping_mul(scale).wrapping_add(term)
        };
        let words: Vec<u32> = self.arrays[0].read(count as usize)?;
        Ok(words.iter().zip(0..).all(|(&word, i)| word == expected(i)))
    }
}

/// A node of a plain chain.
fn alone(_node: u32, launch: &dyn Fn() -> Result<()>) -> Result<()> {
    launch()
}

/// Microseconds per launch of `graph` in a back-to-back sequence, and the number of launches.
fn replay(gpu: &Gpu, graph: &CudaGraph) -> Result<(Vec<f64>, u32)> {
    let (together, repeats) = gpu.pick((10, 20), (2, 3));
    let launch = || (0..together).try_for_each(|_| said("a graph", graph.launch()));
    let times = gpu.device_times(repeats + 1, launch)?;
    let runs = together * times.len() as u32;
    Ok((times[1..].iter().map(|time| time / f64::from(together)).collect(), runs))
}

fn chain(gpu: &Gpu, kernel: &'static str, blocks: u32) -> Result<Found> {
    let nodes = gpu.pick(NODES, FEW_NODES);
    let links = Links::new(gpu, kernel, blocks)?;
    let (long, pair) = (links.capture(nodes, alone)?, links.capture(2, alone)?);
    let (long_times, long_runs) = replay(gpu, &long)?;
    let (pair_times, pair_runs) = replay(gpu, &pair)?;
    let right = links.are_right(long_runs * nodes + pair_runs * 2)?;
    let (whole, two) = (median(&long_times), median(&pair_times));
    let each: Vec<f64> = long_times.iter().map(|time| time / f64::from(nodes)).collect();
    // Panics if the driver lacks the call.
    let programmatic = std::panic::catch_unwind(|| programmatic_edges(gpu.standin, long.cu_graph()));
    Ok(Found::median(&each, right)
        .with("graph_us", short(whole))
        .with("graph_of_two_us", short(two))
        .with("one_node_more_us", short((whole - two) / f64::from(nodes - 2)))
        .with("programmatic_edges", programmatic.ok().flatten()))
}

/// Number of programmatic edges of `graph`; `None` if the driver does not tell.
fn programmatic_edges(standin: bool, graph: sys::CUgraph) -> Option<usize> {
    if standin {
        return None;
    }
    let (mut count, none, no_data) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the graph is alive, and there is room for one value.
    unsafe { sys::cuGraphGetEdges_v2(graph, none, none, no_data, &mut count) }.result().ok()?;
    let (mut from, mut to) = (vec![std::ptr::null_mut(); count], vec![std::ptr::null_mut(); count]);
    let mut edges =
        vec![sys::CUgraphEdgeData { from_port: 0, to_port: 0, type_: 0, reserved: [0; 5] }; count];
    let (from, to, data) = (from.as_mut_ptr(), to.as_mut_ptr(), edges.as_mut_ptr());
    // SAFETY: as above, with room for the reported number of edges.
    unsafe { sys::cuGraphGetEdges_v2(graph, from, to, data, &mut count) }.result().ok()?;
    let programmatic = Edge::CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC as u8;
    Some(edges.iter().take(count).filter(|edge| edge.type_ == programmatic).count())
}

/// Time of launches of `graph` by the host's clock, and their number.
fn launches(gpu: &Gpu, graph: &CudaGraph) -> Result<(Vec<f64>, u32)> {
    let repeats = gpu.pick(1000, 4);
    let launch = || said("a graph", graph.launch());
    let warm_up = gpu.host_times(repeats / 10, launch)?.len();
    Ok((gpu.host_times(repeats, launch)?, (warm_up + repeats) as u32))
}

fn one_node_by_the_host(gpu: &Gpu) -> Result<Found> {
    let words = gpu.upload(&[0_u32; 32])?;
    let graph = gpu.capture(|| gpu.launch("bump", (1, 32), Kind::Plain, &[words.at]))?;
    let (times, runs) = launches(gpu, &graph)?;
    Ok(Found::median(&times, words.read::<u32>(32)? == [runs; 32]))
}

fn chain_by_the_host(gpu: &Gpu) -> Result<Found> {
    let nodes = gpu.pick(NODES, FEW_NODES);
    let links = Links::new(gpu, "link", 132)?;
    let (times, runs) = launches(gpu, &links.capture(nodes, alone)?)?;
    Ok(Found::median(&times, links.are_right(runs * nodes)?))
}

fn fork(gpu: &Gpu) -> Result<Found> {
    let nodes = gpu.pick(NODES, FEW_NODES);
    // Every sixth node, eight of 54.
    let forks = |node: u32| node % 6 == 1 && node < 48;
    let taken = (0..nodes).filter(|&node| forks(node)).count() as u32;
    let links = Links::new(gpu, "link", 32)?;
    let shape = (links.blocks, THREADS);
    let counts = gpu.upload(&vec![0_u32; (links.blocks * THREADS) as usize])?;
    let side = said("a stream", gpu.context.new_stream())?;
    let event = || said("an event", gpu.context.new_event(None));
    let (begin, end) = (event()?, event()?);
    let follow = |event: &CudaEvent, from: &CudaStream, to: &CudaStream| {
        said("a fork", event.record(from).and_then(|()| to.wait(event)))
    };
    let plain = links.capture(nodes, alone)?;
    let forked = links.capture(nodes, |node, launch| {
        if !forks(node) {
            return launch();
        }
        follow(&begin, &gpu.stream, &side)?;
        let argument = std::ptr::from_ref(&counts.at).cast_mut().cast();
        gpu.launch_on(&side, "bump", shape, Kind::Plain, vec![argument])?;
        launch()?;
        follow(&end, &side, &gpu.stream)
    })?;
    let (plain_times, plain_runs) = replay(gpu, &plain)?;
    let (forked_times, forked_runs) = replay(gpu, &forked)?;
    let counted: Vec<u32> = counts.read(counts.bytes / 4)?;
    let right = links.are_right((plain_runs + forked_runs) * nodes)?
        && counted.iter().all(|&count| count == forked_runs * taken);
    let without = median(&plain_times);
    let each: Vec<f64> = forked_times.iter().map(|with| (with - without) / f64::from(taken)).collect();
    Ok(Found::median(&each, right)
        .with("graph_without_us", short(without))
        .with("graph_with_us", short(median(&forked_times))))
}
