#![doc = include_str!("README.md")]
#![no_std]

/// The weights file: convolution and linear weights in half precision, the architecture and the class names as metadata.
pub static MSDNET_CIFAR10: &[u8] = include_bytes!("msdnet_cifar10.safetensors");
