"""One file out of a zip archive that somebody else made."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stages.records.errors import InputError


def extract_member(archive: Path, member: str, out: Path, *, max_bytes: int) -> None:
    """Write the archive's file `member` to `out`, whatever folder of the archive it lies in.

    Only `out` is ever written, so names in the archive cannot lead elsewhere. `member` is the full
    name in the archive or, if no entry has it, the name without folders; if that fits none either,
    the archive's single file with the same suffix is taken.

    Raises:
        InputError: not a readable zip archive, no such member or several, or one that unpacks to more
            than `max_bytes` (counted while unpacking: the size in the archive's index may lie).
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            info = _find(opened, archive, member)
            with opened.open(info) as source, out.open("wb") as target:
                size = 0
                while chunk := source.read(1 << 20):
                    size += len(chunk)
                    if size > max_bytes:
                        raise InputError(
                            f"unpacks to more than {max_bytes} bytes", file=archive, record=member
                        )
                    target.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError: zipfile's word for an encrypted member
        raise InputError(f"not a zip archive that can be read: {error}", file=archive) from None


def _find(opened: zipfile.ZipFile, archive: Path, member: str) -> zipfile.ZipInfo:
    # __MACOSX holds resource forks under the same names
    files = [
        info for info in opened.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    wanted = PurePosixPath(member)
    for matches in (
        [info for info in files if info.filename == member],
        [info for info in files if PurePosixPath(info.filename).name == wanted.name],
        [info for info in files if PurePosixPath(info.filename).suffix.lower() == wanted.suffix.lower()],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(info.filename for info in matches[:5])
            raise InputError(f"several files fit {member}: {names}", file=archive, field="member")
    raise InputError(f"no file {member} in the archive", file=archive, field="member")
