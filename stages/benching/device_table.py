"""What a device was measured at, against what it could do, and the goals: numbers and a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.benching.results import NOT_MEASURED

COPY, MATMUL = "copy", "matmul"
HALF = 50.0  # percent of the bandwidth bound

Rows = Mapping[str, Mapping[str, Any]]


def compared(rows: Rows) -> dict[str, dict[str, Any]]:
    """Return the rows with shares of what the device was measured at, where that is there.

    `bound_percent`: the seconds that reading `bytes_read` takes at the copy's bandwidth, of `decode_s`.
    `mfu_percent`: `flops` over `median_s`, of the matrix product's rate (model FLOP utilisation).
    """
    bandwidth = rows.get(COPY, {}).get("bytes_s")
    rate = rows.get(MATMUL, {}).get("flops_s")
    made: dict[str, dict[str, Any]] = {}
    for name, row in rows.items():
        more = {}
        if bandwidth and "bytes_read" in row and row["decode_s"] > 0:
            more["bound_percent"] = round(100 * row["bytes_read"] / bandwidth / row["decode_s"], 2)
        if rate and "flops" in row:
            more["mfu_percent"] = round(100 * row["flops"] / row["median_s"] / rate, 2)
        made[name] = {**row, **more}
    return made


def goals(rows: Rows, decoding: str, training: str) -> list[tuple[str, str]]:
    """Return each goal and what was measured of it.

    Args:
        rows: as of `compared`.
        decoding: the row of the engine that must reach half of the bandwidth bound.
        training: the row of the training that must fit.
    """
    share = rows.get(decoding, {}).get("bound_percent")
    if share is not None:
        missed = f", missed by {HALF - share:.2f}" if share < HALF else ""
        reached = f"{share:.2f} %{missed}"
    fits = rows.get(training, {}).get("fits")
    return [
        (
            f"{decoding}: at least {HALF:g} % of the bandwidth bound",
            reached if share is not None else NOT_MEASURED,
        ),
        (f"{training}: fits", {True: "yes", False: "no"}.get(fits, NOT_MEASURED)),
    ]


def device_table(rows: Rows, judged: list[tuple[str, str]]) -> str:
    """Return rows and goals as Markdown; what was not measured says why."""
    lines = [
        "| what | median, s | tokens/s | % of the bound | MFU, % | peak, MiB | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, row in rows.items():
        seconds = _number(row.get("median_s")) or NOT_MEASURED
        tokens = _number(row.get("decode_tokens_s", row.get("tokens_s")))
        shares = [_number(row.get(key)) for key in ("bound_percent", "mfu_percent", "peak_mib")]
        lines.append(f"| {name} | {seconds} | {tokens} | {' | '.join(shares)} | {_note(row)} |")
    lines += ["", "| goal | measured |", "|---|---|", *(f"| {goal} | {value} |" for goal, value in judged)]
    return "\n".join(lines)


def _note(row: Mapping[str, Any]) -> str:
    if words := row.get("failed") or row.get("reason"):
        return " ".join(str(words).replace("|", "/").split())
    if "bytes_s" in row:
        return f"{row['bytes_s'] / 1e9:.4g} GB/s"
    if "flops_s" in row:
        return f"{row['flops_s'] / 1e12:.4g} TFLOP/s"
    return {True: "fits", False: "does not fit"}.get(row.get("fits"), "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
