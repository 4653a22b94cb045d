"""Results as a table for people and as a picture for the README."""

import math
import re
from html import escape

import lineup

NETWORKS = {
    "cifar": "CIFAR-10 network: ten exits, 32 x 32, trained",
    "imagenet": "ImageNet network: five exits, 224 x 224, random weights",
}


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def plural(count, word):
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def about_setting(setting):
    isa = f", {setting['isa']}" if setting.get("isa") else ""
    return f"batch {setting['batch']}, {plural(setting['threads'], 'thread')}{isa}"


def titles(results):
    """The title of each network, ours first."""
    found = [setting["network"] for setting in results["settings"]]
    return {network: title for network, title in NETWORKS.items() if network in found} | {
        network: network for network in found if network not in NETWORKS
    }


def label(row):
    """Name and version; what a forward-only row leaves out is said where rows are compared."""
    package = next(iter(row["versions"]), None)  # no packages where the row could not be had
    return f"{row['name']} ({package} {row['versions'][package]})" if package else row["name"]


def timed(row):
    return "median_ms" in row and "problem" not in row


def number(ms):
    """Three digits that matter."""
    return f"{ms:.{max(0, 2 - math.floor(math.log10(ms)))}f}"


def table(results):
    about, how = results["machine"], results["how"]
    of_files = [s for s in results["settings"] if s["network"] not in NETWORKS]
    family = about.get("cpu_family")
    cpu = about["cpu"] + (f" of family {family}" if family else "")
    driver = about.get("driver") and f"driver {about['driver']}"
    where = [about.get("gpu"), driver, cpu, plural(about["cpus"], "CPU"), about["system"], about["rustc"]]
    changed = " with changes" if about["changed_files"] else ""
    text = "# msdcam beside its peers\n\n"
    if about.get("rehearsal"):
        text += "**A rehearsal, with PyTorch on the CPU: the times mean nothing.**\n\n"
    text += (
        f"{', '.join(filter(None, where))}; {about['date']}, commit {about['commit'] or 'unknown'}{changed}. "
        f"Milliseconds for one batch, median{'' if of_files else ' (p90)'}, from images in host memory "
        f"to answers in host memory, all exits; f32 everywhere. Peers took turns: {how['rounds']} rounds of "
        f"{how['seconds_per_turn']:g} s each. Every row's answers agree with PyTorch in f64. "
    )
    if of_files:
        text += "Grad-CAM is the forward pass, the backward pass and the finished heat map of the predicted class."
    else:
        text += '"Heat maps" says whether the row makes them: the others compute the forward pass alone.'
    if any("msdcam_beside_ms" in row for setting in results["settings"] for row in setting["rows"]):
        text += " A compiled row took its turns in a process of its own, with msdcam's rows alone."
    text += "\n"
    if of_files:
        text += summary(of_files, about, how)
    for network, title in NETWORKS.items():
        settings = [s for s in results["settings"] if s["network"] == network]
        if not settings:
            continue
        heads = [about_setting(s) for s in settings]
        text += f"\n## {title}\n\n| | heat maps | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}\n"
        for name in sorted({row["name"] for s in settings for row in s["rows"]}, key=lineup.ORDER.index):
            of_setting = [next((row for row in s["rows"] if row["name"] == name), None) for s in settings]
            rows = [row for row in of_setting if row]
            first = next((row for row in rows if row["versions"]), rows[0])
            cells = [cell(row, how["rounds"]) for row in of_setting]
            maps = "yes" if first["computes"] == "grad_cam" else "no"
            name = f"**{label(first)}**" if lineup.is_ours(name) else label(first)
            text += f"| {name} | {maps} | {' | '.join(cells)} |\n"
    return text


def summary(settings, about, how):
    """The table of networks in ONNX files: a line for each setting."""
    peers = lineup.chosen(how["device"], files=True)
    rows = [{row["name"]: row for row in s["rows"]} for s in settings]
    peers = [peer for peer in peers if any(peer.name in of_setting for of_setting in rows)]
    heads = ["network", "instructions", "threads", "batch", *map(head, peers), "Grad-CAM / faster runtime"]
    text = f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    marks = {}
    for setting, of_setting in zip(settings, rows, strict=True):
        cells = [setting["network"], setting.get("isa") or "all", setting["threads"], setting["batch"]]
        runtimes = []
        for peer in peers:
            row, mark = of_setting.get(peer.name), ""
            if row and timed(row):
                if peer.computes == lineup.GRAD_CAM and "heat" not in row["largest_error"]:
                    mark = "†"
                elif not peer.limited and setting.get("isa") == "avx2" and about.get("avx512"):
                    mark = "‡"
                elif peer.computes == lineup.FORWARD and not lineup.is_ours(peer.name):
                    runtimes.append(row["median_ms"])
            marks[mark] = True
            cells.append(median(row, how["rounds"]) + mark)
        ours = of_setting.get(lineup.PEERS[0].name)
        cells.append(f"{ours['median_ms'] / min(runtimes):.2f}" if runtimes and ours and timed(ours) else "")
        text += f"| {' | '.join(map(str, cells))} |\n"
    versions = {}
    for row in (row for of_setting in rows for row in of_setting.values()):
        versions |= row["versions"]
    notes = [
        f"Versions: {', '.join(f'{package} {number}' for package, number in versions.items())}." if versions else "",
        "The 90th percentiles and the medians of the rounds are in the JSON file.",
        *["†: no PyTorch network of this file is known: logits agree with ONNX Runtime's, and the map is unchecked."] * ("†" in marks),
        *["‡: with AVX-512, since ONNX Runtime has no switch for it; not counted in the last column."] * ("‡" in marks),
    ]
    return text + f"\n{' '.join(filter(None, notes))}\n"


def head(peer):
    """Name and what is computed."""
    name = peer.name.removesuffix(", forward only")
    if peer.computes == lineup.FORWARD:
        return f"{name} forward"
    return f"{name} Grad-CAM" if lineup.is_ours(name) else name


def median(row, rounds):
    return re.sub(r" \(.*?\)", "", cell(row, rounds))


def cell(row, rounds):
    if row is None:
        return ""
    if "problem" in row:
        return row["problem"].split(":")[0]
    had = len(row["round_medians_ms"])
    cut_short = f", {plural(had, 'round')}" if had < rounds else ""
    return f"{number(row['median_ms'])} ({number(row['p90_ms'])}){cut_short}"


BAR, GAP, LEFT, WIDTH, RIGHT = 20, 8, 300, 470, 90
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px } .small { font-size: 11px; fill: #57606a }
.ours { fill: #0969da } .ours-forward { fill: #54aeff } .maps { fill: #8c959f } .forward { fill: #d0d7de }
.grid { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 }
  .ours { fill: #4493f8 } .ours-forward { fill: #1f4f8f } .maps { fill: #656c76 } .forward { fill: #3d444d }
  .grid { stroke: #3d444d }
}
"""


def picture(results):
    """Horizontal bars on a log scale, ours first: one image, the most threads, each network."""
    parts, y = [], 10
    for network, title in titles(results).items():
        settings = [s for s in results["settings"] if s["network"] == network]
        settings = [s for s in settings if any(map(timed, s["rows"]))]
        if not settings:
            continue
        chosen = min(settings, key=lambda s: (s["batch"], -s["threads"]))
        y = panel(parts, y, title, chosen, results["how"]["device"])
    about = results["machine"]
    footer = f"{about.get('gpu') or about['cpu']}, {about['date'].split()[0]}. Pale bars: the forward pass alone, no heat maps."
    parts.append(f'<text class="small" x="10" y="{y + 6}">{escape(footer)}</text>')
    width, height = LEFT + WIDTH + RIGHT, y + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Time of msdcam and its peers, milliseconds">\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def panel(parts, y, title, setting, device):
    rows = [row for row in setting["rows"] if timed(row)]
    times = [row["median_ms"] for row in rows]
    low, high = min(times) / 2, max(times) * 1.1

    def x(ms):
        return LEFT + WIDTH * math.log(ms / low) / math.log(high / low)

    what = plural(setting["batch"], "image")
    if device == "cpu":
        what += f", {plural(setting['threads'], 'thread')}"
    parts.append(f'<text class="title" x="10" y="{y + 14}">{escape(title)}; {what}, ms</text>')
    top, bottom = y + 26, y + 26 + len(rows) * (BAR + GAP)
    for tick in (10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="small" x="{x(tick):.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>')
    for i, row in enumerate(rows):
        kind = "maps" if row["computes"] == "grad_cam" else "forward"
        if lineup.is_ours(row["name"]):
            kind = "ours" if kind == "maps" else "ours-forward"
        at, end = top + i * (BAR + GAP), x(row["median_ms"])
        parts.append(f'<text x="{LEFT - 8}" y="{at + 15}" text-anchor="end">{escape(row["name"])}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{at}" width="{max(end - LEFT, 2):.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{max(end, LEFT + 2) + 6:.1f}" y="{at + 15}">{number(row["median_ms"])}</text>')
    return bottom + 34
