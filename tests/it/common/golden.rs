//! Golden answers: `tests/golden/*.safetensors` with their JSON metadata; see `golden/README.md`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use msdcam::Shape;
use msdcam::engine::tensor::Tensor;
use msdcam::imaging::rgb_image::RgbImage;
use safetensors::{Dtype, SafeTensors};

/// One golden file.
pub struct Golden {
    pub name: String,
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

/// Path of `name` in the repository, which `CARGO_MANIFEST_DIR` locates at run time: a test binary may
/// have been built elsewhere.
pub fn repository(name: &str) -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    now.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).into()).join(name)
}

impl Golden {
    /// Loads `tests/golden/<name>.safetensors`.
    pub fn load(name: &str) -> Golden {
        let path = repository(&format!("tests/golden/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let metadata = header.metadata().clone().unwrap_or_default();
        Golden { name: name.into(), bytes, metadata }
    }

    /// The JSON text under `key` of the metadata.
    pub fn json<T: serde::de::DeserializeOwned>(&self, key: &str) -> T {
        let text = self.metadata.get(key).unwrap_or_else(|| panic!("{}: no metadata '{key}'", self.name));
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{}: {key}: {e}", self.name))
    }

    /// Whether there is a tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.view().tensor(name).is_ok()
    }

    /// Dimensions and elements of f32 tensor `name`.
    pub fn array(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (dims, dtype, data) = self.raw(name);
        assert_eq!(dtype, Dtype::F32, "{}: {name}", self.name);
        let elements = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (dims, elements.collect())
    }

    /// Tensor `name` as a batch: (N, C, H, W), (N, H, W) as one channel, (N, C) as vectors.
    pub fn tensor(&self, name: &str) -> Tensor {
        let (dims, data) = self.array(name);
        let (n, shape) = match dims[..] {
            [n, c, h, w] => (n, Shape::new(c, h, w)),
            [n, h, w] => (n, Shape::new(1, h, w)),
            [n, c] => (n, Shape::vector(c)),
            _ => panic!("{}: {name} has dimensions {dims:?}", self.name),
        };
        Tensor::new(n, shape, data)
    }

    /// Elements of i64 tensor `name`.
    pub fn classes(&self, name: &str) -> Vec<usize> {
        let (_, dtype, data) = self.raw(name);
        assert_eq!(dtype, Dtype::I64, "{}: {name}", self.name);
        data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize).collect()
    }

    /// Tensor `name`, bytes of shape (H, W, 3), as an image.
    pub fn picture(&self, name: &str) -> RgbImage {
        let (dims, dtype, data) = self.raw(name);
        assert_eq!((dtype, dims.len(), dims[2]), (Dtype::U8, 3, 3), "{}: {name}", self.name);
        RgbImage::new(dims[1], dims[0], data.to_vec())
    }

    fn raw(&self, name: &str) -> (Vec<usize>, Dtype, &[u8]) {
        let view = self.view().tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name));
        (view.shape().to_vec(), view.dtype(), view.data())
    }

    fn view(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("checked when it was loaded")
    }
}
