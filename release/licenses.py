"""Licenses of what the program is made of besides its own source: the packages that it links, and the bundled font.

    python3 release/licenses.py [PACKAGE]     texts to standard output; PACKAGE: msdcam (default) or msdcam-python

Reads `cargo metadata` for this machine's target. A text that several packages have is printed once.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FONT = "DejaVu fonts, reduced to the letters that pictures need"


def linked(metadata, name):
    """The packages that `name` links, without those of the workspace, by name and version."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    own = set(metadata["workspace_members"])
    waiting = [package for package in own if packages[package]["name"] == name]
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return sorted((packages[package] for package in seen - own), key=lambda package: (package["name"], package["version"]))


def texts(folder):
    """Texts of licenses and notices in the folder of a package, by the names of their files."""
    begins = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.upper().startswith(begins))
    return [path.read_text(errors="replace").strip() for path in files]


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "msdcam"
    about = subprocess.check_output(["rustc", "-vV"], text=True).splitlines()
    host = next(line.split()[1] for line in about if line.startswith("host"))
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.check_output(command, cwd=ROOT))

    parts = {(ROOT / "src/render/font/LICENSE").read_text().strip(): [FONT]}
    print(f"{name} is made of its own source and of these parts:\n\n{FONT}")
    for package in linked(metadata, name):
        part = f"{package['name']} {package['version']}"
        found = texts(Path(package["manifest_path"]).parent)
        print(f"{part}: {package['license']}" + ("" if found else ", whose package has no text of it"))
        for text in found:
            parts.setdefault(text, []).append(part)
    for text, of in parts.items():
        print(f"\n{'=' * 78}\n{', '.join(of)}\n{'=' * 78}\n\n{text}")


if __name__ == "__main__":
    main()
