//! Convolution and its gradient through the micro-kernels of [`super::gemm`].

mod conv2d;
mod conv2d_grad;
mod conv2d_grad_head;
mod conv2d_grad_small;
mod depthwise;
mod grouped;
mod pack;
mod residual;
mod winograd;

pub(crate) use conv2d::{Conv2dKernel, Conv2dTiling};
pub(crate) use conv2d_grad::Conv2dGradKernel;
pub(crate) use conv2d_grad_head::HeadConv2dGradKernel;
pub(crate) use conv2d_grad_small::SmallConv2dGradKernel;
pub(crate) use depthwise::{depthwise_conv2d, depthwise_conv2d_grad};
pub(crate) use grouped::GroupedKernel;
pub(crate) use winograd::{Block, WinogradKernel, WinogradTiling};
