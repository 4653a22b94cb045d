//! Makes the steps of a plan ready for one kind of CPU: packs their weights and chooses an algorithm.

use std::collections::HashMap;
use std::sync::Arc;

use super::aligned::Arena;
use super::cam::{CamStep, PooledGrad};
use super::conv::{
    Conv2dTiles, FewPixelConv2dGrad, PackedConv2d, PackedConv2dGrad, PackedWeight, WinogradConv2d,
    WinogradTiles,
};
use super::simd::Isa;
use super::step::{CompiledStep, Constants};
use super::{gemm, gemv, linear};
use crate::Shape;
use crate::engine::graph::ops::PooledConv2dGrad;
use crate::engine::graph::{Op, ParamId};
use crate::engine::plan::{Plan, Step};

/// See the module's documentation. Steps that read the same weight share it.
pub(super) struct Compiler<'a> {
    plan: &'a Plan,
    isa: Isa,
    arena: Arena,
    /// Convolutions' weights that are packed already.
    packed: HashMap<ParamId, Arc<PackedWeight>>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(plan: &'a Plan, isa: Isa) -> Self {
        let weights: usize = plan.params.iter().map(|param| param.data.len()).sum();
        Compiler { plan, isa, arena: Arena::new(weights), packed: HashMap::new() }
    }

    fn data(&self, id: ParamId) -> &'a Arc<[f32]> {
        &self.plan.params[id.index()].data
    }

    /// A convolution's weight as the forward pass has packed it, or packed anew where that is of no use.
    fn packed(&mut self, id: ParamId) -> Arc<PackedWeight> {
        if let Some(packed) = self.packed.get(&id).filter(|packed| packed.is_transposable(self.isa)) {
            return Arc::clone(packed);
        }
        let param = &self.plan.params[id.index()];
        let (channels, k) = (param.dims[0], param.data.len() / param.dims[0]);
        let at = |o: usize, i: usize| param.data[o * k + i];
        let packed = PackedWeight::for_transposed(&mut self.arena, self.isa, channels, k, at);
        self.packed.insert(id, Arc::clone(&packed));
        packed
    }

    fn pooled(&mut self, op: &PooledConv2dGrad) -> PooledGrad {
        let (isa, params) = (self.isa, &self.plan.params);
        if PooledGrad::is_by_class(op, params) {
            PooledGrad::by_class(&mut self.arena, isa, op, params)
        } else {
            PooledGrad::by_tap(isa, op, params, self.packed(op.weight))
        }
    }

    /// Makes one step ready.
    pub(super) fn compile(&mut self, step: &Step) -> CompiledStep {
        CompiledStep::new(step.clone(), self.constants(step), self.isa)
    }

    fn constants(&mut self, step: &Step) -> Constants {
        let isa = self.isa;
        // With fewer pixels than half a vector, vectors of pixels would be mostly empty.
        let few = |plane: usize| 2 * plane <= isa.lanes();
        let narrow =
            |affine: Vec<(f64, f64)>| affine.into_iter().map(|(s, t)| (s as f32, t as f32)).collect();
        match &step.op {
            Op::Conv2d(op) => {
                let shapes = [step.inputs[0].shape, step.output.shape];
                let (weight, bias) = (self.data(op.weight), op.bias.map(|id| &self.data(id)[..]));
                let tiles = Conv2dTiles::new(isa, op, shapes);
                let wins = |other: &WinogradTiles| other.cost(other.whole()) < tiles.cost(tiles.whole());
                if let Some(tiles) = WinogradTiles::new(isa, op, shapes).filter(wins) {
                    let conv = WinogradConv2d::new(&mut self.arena, isa, op, tiles, weight, bias);
                    return Constants::WinogradConv2d(conv);
                }
                let conv = PackedConv2d::new(&mut self.arena, op, tiles, weight, bias);
                self.packed.insert(op.weight, Arc::clone(conv.weight()));
                Constants::Conv2d(conv)
            }
            Op::Linear(op) => {
                let shapes = [&step.inputs[0], &step.output].map(|slot| Shape::vector(slot.shape.len()));
                let conv = linear::as_conv2d(op, shapes);
                let (weight, bias) = (self.data(op.weight), Some(&self.data(op.bias)[..]));
                let tiles = Conv2dTiles::new(isa, &conv, shapes);
                Constants::Conv2d(PackedConv2d::new(&mut self.arena, &conv, tiles, weight, bias))
            }
            Op::Conv2dGrad(op) => {
                let grad = step.inputs[0].shape;
                if few(grad.plane()) {
                    let (kernels, weight) = (gemm::transposed_kernels(isa), self.packed(op.weight));
                    Constants::FewPixelConv2dGrad(FewPixelConv2dGrad::new(kernels, op, grad, weight))
                } else {
                    let weight = self.data(op.weight);
                    Constants::Conv2dGrad(PackedConv2dGrad::new(&mut self.arena, isa, op, grad, weight))
                }
            }
            Op::BatchNorm(op) => Constants::Affine(narrow(op.affine(&self.plan.params))),
            Op::BatchNormGrad(op) => {
                let affine = op.forward.affine(&self.plan.params);
                Constants::Affine(narrow(affine.into_iter().map(|(scale, _)| (scale, 0.0)).collect()))
            }
            Op::LinearGrad(op) => Constants::Matrix(Arc::clone(self.data(op.weight))),
            Op::PooledConv2dGrad(op) => Constants::PooledGrad(self.pooled(op)),
            Op::Cam(op) => {
                let (pooled, tap) = (self.pooled(&op.pooled), step.inputs[1].shape);
                Constants::Cam(CamStep::new(pooled, gemv::kernel(isa), op.sum.relu, tap))
            }
            _ => Constants::Nothing,
        }
    }
}
