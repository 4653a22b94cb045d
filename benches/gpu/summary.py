"""One screen about a visit: its steps, and what was measured beside what had been expected."""

import fnmatch
import math

from files import ROOT, read_json

EXPECTED = ROOT / "benches/gpu/expected.json"


def is_number(value):
    return isinstance(value, int | float) and math.isfinite(value)


def number(value):
    if value is None:
        return "-"
    if not is_number(value):
        return str(value)
    magnitude = abs(value)
    if magnitude and magnitude < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if magnitude >= 1000 else f"{value:.4g}"


def text(results, expected=None):
    """Markdown. Figures for which nothing was expected are in results.json alone."""
    machine, steps, figures = results["machine"], results["steps"], results["figures"]
    kit = results.get("kit", {})
    device = machine.get("device") or machine.get("name") or "no GPU found"
    lines = [f"# Visit: {device}", ""]
    lines.append(
        f"driver {machine.get('driver_version')}, {results['started']}, commit {kit.get('commit')}{' with changes' * bool(kit.get('changed'))}"
    )
    if results["rehearsal"]:
        lines.append("A REHEARSAL: no time here is a GPU's")
    lines.append("")
    for status in ("passed", "failed", "unfinished", "skipped"):
        names = [s["name"] for s in steps if s["status"] == status]
        if names:
            lines.append(f"{status} ({len(names)}): {', '.join(names)}")
    for step in steps:
        if step["status"] != "passed" and step["why"] != "the smoke test passed":
            lines.append(f"- {step['name']} {step['status']}: {step['why']}")
    lines += ["", "| | expected | measured | measured / expected |", "|---|---|---|---|"]
    for row in expected or read_json(EXPECTED)["rows"]:
        names = fnmatch.filter(figures, row["figure"])
        values = [figures[name]["value"] for name in names if is_number(figures[name]["value"])]
        value = min(values, default=None)
        ratio = f"{value / row['value']:.2f}" if value is not None and row["value"] and not results["rehearsal"] else "-"
        between = f" ({number(row['low'])} to {number(row['high'])})" if "low" in row else ""
        lines.append(f"| {row['what']} | {number(row['value'])} {row['unit']}{between} | {number(value)} | {ratio} |")
    return "\n".join(lines) + "\n"
