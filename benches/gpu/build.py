"""Makes all that a GPU machine without cargo and network needs, and checks that it can be carried.

Into target/gpu/: programs.tar.xz, wheels/, data/ and state.tar.xz where given, and manifest.json. msdcam
travels without its built-in weights, which are a file of the tree: `unpack` puts them in again.
"""

import datetime
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from files import KIT, ROOT, WEIGHTS, WORK, read_json, sha256, write_json

MOST_BYTES = 60_000_000  # tree and kit together
TESTS = "it"  # the integration tests
BENCHES = ["serve", "floors", "cubin"]
# Pure Python, of which benches/peers needs these beside what has PyTorch.
WHEELS = ["grad-cam==1.5.7", "torchcam==0.5.0", "captum==0.9.0", "ttach==0.0.3"]
TEST_IMAGES = 1_000  # enough to follow a training; the whole test set is evaluated afterwards
RECORD = 3_073  # bytes of an image in CIFAR-10's binary files


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **more):
    return subprocess.run([str(word) for word in command], cwd=ROOT, check=True, text=True, **more)


def output(*command):
    return run(*command, stdout=subprocess.PIPE).stdout.strip()


def executables():
    """Name and path of each program, built."""
    found = {}
    for command in (
        ["build", "--bin", "msdcam", *(word for name in BENCHES for word in ("--bench", name))],
        ["test", "--no-run", "--test", TESTS],
    ):
        words = [*command, "--release", "--workspace", "--message-format", "json-render-diagnostics"]
        lines = output("cargo", *words).splitlines()
        made = [message for message in map(json.loads, lines) if message.get("executable")]
        found |= {message["target"]["name"]: Path(message["executable"]) for message in made}
    return {name: found[name] for name in ["msdcam", *BENCHES, TESTS]}


def wheels():
    """Folder of the peers' wheels, fetched once."""
    home = ROOT / ".cache/gpu-wheels"
    wanted = "\n".join(WHEELS)
    if not (home / "done").exists() or (home / "done").read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", home, *WHEELS)
        (home / "done").write_text(wanted)
    return home


def pack_programs(programs, archive):
    """`programs`, stripped, as one archive; where a program holds the weights file, two parts of it."""
    weights = WEIGHTS.read_bytes()
    facts = {}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w:xz") as tar:

        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))

        for name, path in programs.items():
            stripped = Path(folder) / name
            shutil.copy(path, stripped)
            if path.suffix != ".cubin":
                run("strip", stripped)
            content = stripped.read_bytes()
            facts[name] = {"bytes": len(content), "sha256": sha256(stripped)}
            before, found, after = content.partition(weights)
            if found:
                add(f"{name}.1", before)
                add(f"{name}.2", after)
            else:
                add(name, content)
    return facts


def unpack(kit, folder):
    """The programs of `kit` in `folder`.

    Raises ValueError where one is not what was packed."""
    folder.mkdir(parents=True, exist_ok=True)
    unpack_flat(kit / "programs.tar.xz", folder)
    manifest = read_json(kit / "manifest.json")
    # Read by benches/peers, where there is no git.
    (folder / "commit").write_text(manifest["commit"] + " with changes" * manifest["changed"] + "\n")
    for name, facts in manifest["programs"].items():
        path, parts = folder / name, [folder / f"{name}.1", folder / f"{name}.2"]
        if parts[0].exists():
            path.write_bytes(parts[0].read_bytes() + WEIGHTS.read_bytes() + parts[1].read_bytes())
            for part in parts:
                part.unlink()
        path.chmod(0o755)
        if sha256(path) != facts["sha256"]:
            raise ValueError(f"{path}: not the program that was packed")


def pack_data(source, folder):
    """Training images as they are, and some of the test images, evenly spread."""
    with gzip.open(source / "train_jpeg.tar.gz") as tar:
        (folder / "train.tar.xz").write_bytes(lzma.compress(tar.read()))
    test = (source / "test_batch.bin").read_bytes()
    count = len(test) // RECORD
    records = [test[i * RECORD : (i + 1) * RECORD] for i in range(0, count, max(1, count // TEST_IMAGES))][:TEST_IMAGES]
    pack_binary(folder / "test.tar.xz", {"test_batch.bin": b"".join(records)})


def pack_binary(archive, files):
    """CIFAR-10's binary files as one archive."""
    with tarfile.open(archive, "w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def pack_state(source, archive):
    """The pieces of an unfinished training."""
    with tarfile.open(archive, "w:xz") as tar:
        for piece in sorted(source.glob("state-*")):
            tar.add(piece, piece.name)


def unpack_flat(archive, folder):
    """The files of an archive, in one folder whatever their names say."""
    with tarfile.open(archive) as tar:
        for member in tar:
            (folder / Path(member.name).name).write_bytes(tar.extractfile(member).read())


def tree_files():
    """The files of the tree that travel: tracked, and untracked but not ignored."""
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def kit_files():
    return sorted(p for p in KIT.rglob("*") if p.is_file() and WORK not in p.parents)


def commit():
    changed = bool(output("git", "status", "--porcelain"))
    return output("git", "rev-parse", "--short=12", "HEAD"), changed


def tree_hashes():
    """The start of the SHA-256 of every file that travels, but for the kit."""
    return {str(path.relative_to(ROOT)): sha256(path)[:16] for path in tree_files()}


def tree_differs(hashes):
    """Which files of the tree are not those that the kit was made of."""
    return [name for name, hash in hashes.items() if not (ROOT / name).is_file() or sha256(ROOT / name)[:16] != hash]


def make(data=None, state=None, keep=False):
    """`keep`: data and state of the last kit stay, where no others are given."""
    KIT.mkdir(parents=True, exist_ok=True)
    for old in KIT.iterdir():
        if not (keep and old.name in ("data", "state.tar.xz")):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    programs = executables()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MSDCAM_NVRTC": os.environ.get("MSDCAM_NVRTC") or output(ROOT / "benches/nvrtc")}
        line_info, floors = Path(folder) / "line_info.cubin", Path(folder) / "floors.cubin"
        run(programs["cubin"], "90", line_info, "--generate-line-info", env=environment)
        run(programs["floors"], "--compile", floors, env=environment)
        del programs["cubin"]
        facts = pack_programs({**programs, line_info.name: line_info, floors.name: floors}, KIT / "programs.tar.xz")
    shutil.copytree(wheels(), KIT / "wheels", ignore=shutil.ignore_patterns("done"))
    if data:
        (KIT / "data").mkdir(exist_ok=True)
        pack_data(data, KIT / "data")
    if state:
        pack_state(state, KIT / "state.tar.xz")
    revision, changed = commit()
    write_json(KIT / "manifest.json", {
        "commit": revision, "changed": changed, "date": datetime.date.today().isoformat(),
        "rustc": output("rustc", "--version"), "programs": facts, "tree": tree_hashes(),
    })  # fmt: skip


def main(args):
    if args.data and not (args.data / "train_jpeg.tar.gz").is_file():
        say(f"{args.data}: no train_jpeg.tar.gz: nothing to train with")
        return 1
    if args.state and not list(args.state.glob("state-*")):
        say(f"{args.state}: no state-* of a training there")
        return 1
    if not shutil.which("strip"):
        say("strip is not here: the programs would be too large to carry")
        return 1
    make(args.data, args.state)
    tree = sum(p.stat().st_size for p in tree_files())
    print(f"{tree:>12,}  the tree: tracked files, and untracked ones that are not ignored")
    for path in kit_files():
        print(f"{path.stat().st_size:>12,}  {path.relative_to(ROOT)}")
    total = tree + sum(p.stat().st_size for p in kit_files())
    print(f"{total:>12,}  in all; carry {KIT.relative_to(ROOT)}")
    manifest = read_json(KIT / "manifest.json")
    if manifest["changed"]:
        say(f"made of {manifest['commit']} with changes: figures of it will not be adopted")
    if not args.data:
        say("without --data there is nothing to train with")
    if total > MOST_BYTES:
        say(f"{total:,} bytes: more than the {MOST_BYTES:,} that can be carried")
        return 1
    return 0
