"""Facts about machine code that can be read from its text: size, spills, loops."""

import re
import subprocess
from pathlib import Path

LINE = re.compile(r"\s+/\*([0-9a-f]{4,6})\*/\s+(?:@!?U?P\w\s+)?([A-Z]\w*)([.\w]*)\s*(.*?)\s*;?\s*$")
LABEL = re.compile(r"^(\.L_x_\d+):")


class Code:
    """Instructions of the cubin's sections: (address, name, modifiers, operands), with addresses counted on."""

    def __init__(self, cubin, nvdisasm):
        text = subprocess.run([Path(nvdisasm) / "nvdisasm", "-c", cubin], capture_output=True, text=True, check=True).stdout
        self.instructions, labels, base = [], {}, 0
        for line in text.splitlines():
            if line.lstrip().startswith(".section"):
                base = 16 * len(self.instructions)
            elif found := LABEL.match(line):
                labels[found[1]] = 16 * len(self.instructions)
            elif found := LINE.match(line):
                self.instructions.append((base + int(found[1], 16), *found.groups()[1:]))
        self.branches = []  # (from, to)
        for address, name, _, operands in self.instructions:
            target = re.search(r"`\((\.L_x_\d+)\)", operands)
            if name == "BRA" and target and target[1] in labels:
                self.branches.append((address, labels[target[1]]))

    @property
    def bytes(self):
        return 16 * len(self.instructions)

    def count(self, *names):
        return sum(name in names for _, name, _, _ in self.instructions)

    def ffma_loops(self, least=16):
        """Innermost loops with at least so many FFMA: address, and numbers of instructions, FFMA and loads by kind."""
        loops = sorted({(to, at) for at, to in self.branches if to < at})
        found = []
        for first, last in loops:
            if any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops):
                continue
            body = self.instructions[first // 16 : last // 16 + 1]
            ffma = sum(name == "FFMA" for _, name, _, _ in body)
            if ffma < least:
                continue
            # A shared load of one word brings less than the issue slot that it takes.
            narrow = sum(name == "LDS" and not re.search(r"\.(64|128)\b", modifiers) for _, name, modifiers, _ in body)
            wide = sum(name == "LDS" for _, name, _, _ in body) - narrow
            loads = sum(name in ("LDG", "LD") for _, name, _, _ in body)
            found.append({"at": first, "instructions": len(body), "ffma": ffma, "lds": narrow, "wide_lds": wide, "ldg": loads})
        return found
