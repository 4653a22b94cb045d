//! Folders that users take for checkpoints: an unpacked one, and one of a distributed training.

use std::path::Path;

/// What the folder at `path` is and what to do about it; `None` if it is no folder, or one of neither kind.
pub fn kind(path: &Path) -> Option<String> {
    if !path.is_dir() {
        return None;
    }
    let names = || std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let packed_again = "is an unpacked checkpoint; pack it again: `zip -0 -r checkpoint.pth FOLDER`";
    if path.join("data.pkl").is_file() || names().any(|inner| inner.join("data.pkl").is_file()) {
        return Some(packed_again.into());
    }
    let distributed = |name: &Path| name.extension().is_some_and(|ending| ending == "distcp");
    names().any(|name| distributed(&name)).then(|| {
        "is a distributed checkpoint; make one file of it with torch.distributed.checkpoint.format_utils.dcp_to_torch_save"
            .into()
    })
}
