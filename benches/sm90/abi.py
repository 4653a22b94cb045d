"""Layout of the structures in kernels/common.cuh, read from its text."""

import re
import struct
import sys
from pathlib import Path

TEXT = Path(__file__).resolve().parents[2] / "kernels/common.cuh"
SIZES = {"unsigned int": 4, "int": 4, "float": 4, "unsigned short": 2, "unsigned char": 1, "unsigned long long": 8}


class Layout:
    """(name, offset, bytes of an element, number of elements) of each field; size and alignment of the whole."""

    def __init__(self, name, text, structures, defines):
        found = re.search(rf"\nstruct (?:__align__\(\d+\) )?{name} \{{\n(.*?)\n\}};", text, re.DOTALL)
        if not found:
            fail(f"no struct {name}")
        self.fields, at, self.alignment = [], 0, 1
        # A union of structures is as large as its largest, which comes last.
        lines = re.sub(r"union \{.*?(struct \w+ \w+;)\s*\};", r"\1", found[1], flags=re.DOTALL)
        for line in lines.splitlines():
            line = line.split("//")[0].strip()
            if not line:
                continue
            field = re.fullmatch(r"(.+?)\s*(\*?)\s*(\w+)(?:\[(\w+)\])?;", line)
            if not field:
                fail(f"struct {name}: '{line}' is not understood")
            kind, pointer, label, count = field.groups()
            kind = re.sub(r"\bconst\b|\bstruct\b", "", kind).strip()
            if pointer or kind.endswith("*"):
                size = alignment = 8
            elif kind in SIZES:
                size = alignment = SIZES[kind]
            else:
                inner = structures(kind)
                size, alignment = inner.size, inner.alignment
            if count and not count.isdigit():
                if count not in defines:
                    fail(f"struct {name}: '{line}': no number {count}")
                count = defines[count]
            at = -(-at // alignment) * alignment
            self.fields.append((label, at, size, int(count or 1)))
            at += size * int(count or 1)
            self.alignment = max(self.alignment, alignment)
        self.size = -(-at // self.alignment) * self.alignment
        self.name = name

    def field(self, label):
        for field in self.fields:
            if field[0] == label:
                return field
        fail(f"struct {self.name} has no field {label}")

    def numbers(self, data):
        """The 32-bit fields of a structure in `data`, by name."""
        return {
            label: struct.unpack_from("<I", data, at)[0]
            for label, at, size, count in self.fields
            if size == 4 and count == 1 and at + 4 <= len(data)
        }


def fail(problem):
    sys.exit(f"benches/sm90: {TEXT.name}: {problem}; benches/sm90/abi.py must follow the kernels' interface")


def structures():
    """A function from a name to its layout."""
    text = TEXT.read_text()
    defines = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)\b", text)}
    known = {}

    def layout(name):
        if name not in known:
            known[name] = Layout(name, text, layout, defines)
        return known[name]

    return layout


def modes():
    """Names of a job's modes, in order; none if there is no such enum."""
    found = re.search(r"\nenum Mode\b[^{]*\{\n(.*?)\n\};", TEXT.read_text(), re.DOTALL)
    lines = [line.split("//")[0].strip().rstrip(",") for line in found[1].splitlines()] if found else []
    return [line.removeprefix("MODE_").lower() for line in lines if line]


def job_facts(row):
    """A job's mode, and the numbers of the structure that belongs to it, from the bytes of a `Job`."""
    layout = structures()
    job, names = layout("Job"), modes()
    mode = job.numbers(row).get("mode", 0)
    mode = names[mode] if mode < len(names) else ""
    at = job.fields[-1][1]  # of the union
    return mode, layout("Chain" if mode == "chain" else "Conv").numbers(row[at:])


def job_table():
    """STANDIN_SM90_JOBS: offsets in the launch's argument of the jobs' first blocks (all ones: no job), their
    number, the offset of the first job, and the bytes from one job to the next."""
    layout = structures()
    launch = layout("Launch")
    _, first_blocks, size, most = launch.field("first_block")
    _, jobs, stride, count = launch.field("job")
    if size != 4 or most != count:
        fail("Launch.first_block is not a 32-bit number for each job")
    return f"{first_blocks},{most},{jobs},{stride}"
