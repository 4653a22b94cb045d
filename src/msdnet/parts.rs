//! Every learned part of a network, in order: what it is, where it stands, how large its output is.
//!
//! Tensor names, parameter counts and multiply-adds all follow from this one walk.

use super::config::{Config, Layout, Stem};
use super::names::{self, Branch, ConvBn, Names};

/// One learned part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Prefix of its tensors.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The block that it belongs to, or whose head; counted from 0.
    pub exit: usize,
    /// Whether it belongs to the exit's head rather than to the trunk.
    pub head: bool,
    /// Rows and columns of its output.
    pub output: [usize; 2],
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A convolution, zero-padded by half its kernel.
    Conv {
        /// Channels in.
        cin: usize,
        /// Channels out.
        cout: usize,
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Row and column stride.
        stride: [usize; 2],
        /// Whether it has a bias.
        bias: bool,
    },
    /// A batch norm over this many channels.
    BatchNorm(usize),
    /// A linear layer with a bias.
    Linear {
        /// Features in.
        cin: usize,
        /// Features out.
        cout: usize,
    },
}

impl Part {
    /// Name and dimensions of each of its tensors.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let tensor = |n: &str, dims: &[usize]| (format!("{}.{n}", self.name), dims.to_vec());
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], bias, .. } => {
                let weight = tensor("weight", &[cout, cin, h, w]);
                if bias { vec![weight, tensor("bias", &[cout])] } else { vec![weight] }
            }
            Kind::BatchNorm(c) => {
                ["weight", "bias", "running_mean", "running_var"].map(|n| tensor(n, &[c])).into()
            }
            Kind::Linear { cin, cout } => vec![tensor("weight", &[cout, cin]), tensor("bias", &[cout])],
        }
    }

    /// Channels that it reads.
    pub fn channels_in(&self) -> usize {
        match self.kind {
            Kind::Conv { cin, .. } | Kind::Linear { cin, .. } => cin,
            Kind::BatchNorm(channels) => channels,
        }
    }

    /// Trained numbers: weights and biases, not the running statistics.
    pub fn parameters(&self) -> u64 {
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], bias, .. } => {
                (cout * cin * h * w) as u64 + if bias { cout as u64 } else { 0 }
            }
            Kind::BatchNorm(c) => 2 * c as u64,
            Kind::Linear { cin, cout } => (cin * cout + cout) as u64,
        }
    }

    /// Multiply-adds for one image. A batch norm counts none: it folds into its convolution.
    ///
    /// Of a shared global convolution's right branch, whose own weights are never read, the
    /// count is the same, since the left branch's weights stand in.
    pub fn multiply_adds(&self) -> u64 {
        match self.kind {
            Kind::Conv { cin, cout, kernel: [h, w], .. } => {
                (cin * cout * h * w) as u64 * (self.output[0] * self.output[1]) as u64
            }
            Kind::BatchNorm(_) => 0,
            Kind::Linear { cin, cout } => (cin * cout) as u64,
        }
    }
}

/// Every learned part, in PyTorch's order: all blocks, then all heads.
pub fn parts(config: &Config) -> Vec<Part> {
    let mut walk = Walk { config, names: Names::new(config), out: Vec::new(), exit: 0, head: false };
    let taps = walk.trunk();
    walk.head = true;
    for (exit, (channels, size)) in taps.into_iter().enumerate() {
        walk.exit = exit;
        walk.exit_head(channels, size);
    }
    walk.out
}

struct Walk<'a> {
    config: &'a Config,
    names: Names,
    out: Vec<Part>,
    exit: usize,
    head: bool,
}

impl Walk<'_> {
    /// All blocks; returns channels and size of each exit's tap.
    fn trunk(&mut self) -> Vec<(usize, [usize; 2])> {
        let c = self.config;
        let sizes = self.first_layer();
        let last = c.scales() - 1;
        let (mut width, mut layer) = (c.channels, 0);
        let mut taps = Vec::new();
        for (block, layers) in c.layers_per_exit().into_iter().enumerate() {
            self.exit = block;
            let mut module = usize::from(block == 0);
            for _ in 0..layers {
                layer += 1;
                self.dense_layer(layer, module, width, &sizes);
                module += 1;
                width += c.growth;
                let finest = c.finest_scale(layer);
                if finest > c.finest_scale(layer - 1) && c.reduction_permille > 0 {
                    let kept = c.reduced(width);
                    for (position, scale) in (finest..=last).enumerate() {
                        let f = c.scale_factor[scale];
                        let at = self.names.transition(block, module, position);
                        self.conv_bn(at, width * f, kept * f, 1, 1, biased(c), sizes[scale]);
                    }
                    module += 1;
                    width = kept;
                }
            }
            taps.push((width * c.scale_factor[last], sizes[last]));
        }
        taps
    }

    /// The first layer; returns every scale's size.
    fn first_layer(&mut self) -> Vec<[usize; 2]> {
        let c = self.config;
        let (mut size, mut cin) = ([c.input; 2], 3);
        let mut sizes = Vec::new();
        for (scale, f) in c.scale_factor.iter().enumerate() {
            let (at, cout) = (self.names.first(scale), c.channels * f);
            if scale == 0 && c.stem == Stem::Imagenet {
                // Biased in both ports, unlike the other convolutions of the authors' port.
                size = self.conv_bn(at, cin, cout, 7, 2, true, size);
                size = shrunk(size, [2, 2]); // the 3x3 max pool of stride 2 and padding 1
            } else {
                let stride = if scale == 0 { 1 } else { 2 };
                let global = c.global_conv.is_some_and(|g| g.first);
                size = self.spatial(at, cin, cout, stride, global, size);
            }
            sizes.push(size);
            cin = cout;
        }
        sizes
    }

    fn dense_layer(&mut self, layer: usize, module: usize, width: usize, sizes: &[[usize; 2]]) {
        let c = self.config;
        let (finest_in, finest) = (c.finest_scale(layer - 1), c.finest_scale(layer));
        for (position, scale) in (finest..c.scales()).enumerate() {
            let has_down = scale > finest_in;
            let grown = c.growth * c.scale_factor[scale];
            let share = if has_down { grown / 2 } else { grown };
            if has_down {
                self.branch(layer, module, position, Branch::Down, width, scale - 1, share, sizes);
            }
            let normal = Branch::Normal { beside_down: has_down };
            self.branch(layer, module, position, normal, width, scale, share, sizes);
        }
    }

    /// One branch that reads scale `source`, whose bottleneck runs at that scale's size.
    #[allow(clippy::too_many_arguments)] // one call site; a struct would only rename them
    fn branch(
        &mut self,
        layer: usize,
        module: usize,
        position: usize,
        branch: Branch,
        width: usize,
        source: usize,
        cout: usize,
        sizes: &[[usize; 2]],
    ) {
        let c = self.config;
        let at = self.names.branch(self.exit, module, layer, position, branch);
        let mut cin = width * c.scale_factor[source];
        if let Some(bottleneck) = at.bottleneck {
            let inner = cin.min(c.bottleneck_factor[source] * cout);
            self.conv_bn(bottleneck, cin, inner, 1, 1, biased(c), sizes[source]);
            cin = inner;
        }
        let stride = if branch == Branch::Down { 2 } else { 1 };
        let global = c.global_conv.is_some_and(|g| g.all);
        self.spatial(at.spatial, cin, cout, stride, global, sizes[source]);
    }

    fn exit_head(&mut self, tap: usize, size: [usize; 2]) {
        let c = self.config;
        let (at, inner) = (self.names.head(self.exit), c.head_channels(tap));
        let size = self.conv_bn(at.first, tap, inner, 3, 2, biased(c), size);
        self.conv_bn(at.second, inner, inner, 3, 2, biased(c), size);
        self.push(at.linear, Kind::Linear { cin: inner, cout: c.classes }, [1, 1]);
    }

    /// A spatial convolution, plain or global, and its batch norm; returns the output size.
    fn spatial(
        &mut self,
        at: ConvBn,
        cin: usize,
        cout: usize,
        stride: usize,
        global: bool,
        size: [usize; 2],
    ) -> [usize; 2] {
        let c = self.config;
        let Some(g) = c.global_conv.filter(|_| global) else {
            return self.conv_bn(at, cin, cout, c.kernel, stride, biased(c), size);
        };
        let (tall, wide) = ([g.kernel, 1], [1, g.kernel]);
        let [l1, l2, r1, r2] = names::global(&at.conv);
        let done = shrunk(size, [stride; 2]);
        for (name, cin, kernel, stride, output) in [
            (l1, cin, tall, [stride, 1], shrunk(size, [stride, 1])),
            (l2, cout, wide, [1, stride], done),
            (r1, cin, wide, [1, stride], shrunk(size, [1, stride])),
            (r2, cout, tall, [stride, 1], done),
        ] {
            self.push(name, Kind::Conv { cin, cout, kernel, stride, bias: true }, output);
        }
        self.push(at.bn, Kind::BatchNorm(cout), done);
        done
    }

    #[allow(clippy::too_many_arguments)] // a convolution has that many numbers
    fn conv_bn(
        &mut self,
        at: ConvBn,
        cin: usize,
        cout: usize,
        kernel: usize,
        stride: usize,
        bias: bool,
        size: [usize; 2],
    ) -> [usize; 2] {
        let output = shrunk(size, [stride; 2]);
        let conv = Kind::Conv { cin, cout, kernel: [kernel; 2], stride: [stride; 2], bias };
        self.push(at.conv, conv, output);
        self.push(at.bn, Kind::BatchNorm(cout), output);
        output
    }

    fn push(&mut self, name: String, kind: Kind, output: [usize; 2]) {
        self.out.push(Part { name, kind, exit: self.exit, head: self.head, output });
    }
}

/// Whether a port's ordinary convolutions carry a bias.
fn biased(config: &Config) -> bool {
    config.layout == Layout::Subnets
}

/// Size after an odd kernel padded by half of it: ceil(size / stride).
fn shrunk(size: [usize; 2], stride: [usize; 2]) -> [usize; 2] {
    [size[0].div_ceil(stride[0]), size[1].div_ceil(stride[1])]
}
