"""What reference encoders make of held-out files: command-line tools as Debian packs them, and PPMd from PyPI.

Each says its version. One that is not there, or fails, is left out, with a line that says why.
"""

import importlib.metadata
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# PPMd's model of 95 MB of text fits into this much; with less it begins anew on the way.
PPMD_ORDER, PPMD_MEMORY = 12, 2000 << 20


class Absent(Exception):
    """A coder that this machine lacks, or that failed here."""


@dataclass(frozen=True)
class Tool:
    """A program that makes one file of another."""

    name: str
    package: str
    ending: str
    # The command, in which IN, OUT and OPTIONS stand for these.
    command: tuple[str, ...]
    options: tuple[str, ...]
    version: tuple[str, ...] = ("--version",)

    @property
    def program(self) -> str:
        return self.command[0]

    def told(self) -> str:
        """The first line of its output that has a version."""
        if not shutil.which(self.program):
            raise Absent(f"{self.program} is not installed (apt-get install {self.package})")
        asked = subprocess.run([self.program, *self.version], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        lines = [line for line in (asked.stdout + asked.stderr).splitlines() if re.search(r"\d+\.\d+", line)]
        if not lines:
            raise Absent(f"{self.program} does not say its version")
        number = re.search(r"v?(\d+(\.\d+)+)", lines[0]).group(1)
        return f"{self.program} {number}"

    def setting(self) -> str:
        """The program and what decides about the size."""
        return " ".join([self.program, *self.options])

    def size(self, file: Path, place: Path) -> int:
        """Bytes of the file that it makes, all headers included."""
        out = place / f"out.{self.ending}"
        out.unlink(missing_ok=True)
        stands = {"IN": [str(file)], "OUT": [str(out)], "OPTIONS": self.options}
        words = [word for part in self.command for word in stands.get(part, [part])]
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0 or not out.is_file():
            raise Absent(f"{self.setting()} failed on {file}: {(done.stderr or done.stdout).strip()[-300:]}")
        size = out.stat().st_size
        out.unlink()
        return size


CWEBP = Tool(
    "WebP lossless", "webp", "webp", ("cwebp", "-quiet", "OPTIONS", "IN", "-o", "OUT"),
    ("-lossless", "-exact", "-q", "100", "-m", "6"), ("-version",),
)
CJXL = Tool("JPEG XL", "libjxl-tools", "jxl", ("cjxl", "IN", "OUT", "OPTIONS"), ("-d", "0", "-e", "9"))
# Without room for tags, and the index for players: the others have neither.
FLAC = Tool(
    "FLAC", "flac", "flac", ("flac", "--silent", "OPTIONS", "IN", "-o", "OUT"),
    ("-8", "-e", "-p", "--no-padding", "--no-seektable"),
)
WAVPACK = Tool("WavPack", "wavpack", "wv", ("wavpack", "-q", "OPTIONS", "IN", "-o", "OUT"), ("-hh", "-x4"))
ZPAQ = Tool("zpaq", "zpaq", "zpaq", ("zpaq", "add", "OUT", "IN", "OPTIONS"), ("-m5",), ())
# Those that make a file of each file.
OF_FILES = {"photos": (CWEBP, CJXL), "speech": (FLAC, WAVPACK), "enwik8": ()}


def ppmd(content: bytes, before: bytes) -> int:
    """Bytes that 7-zip's PPMd needs for `content` after it has seen `before`, without 7-zip's container."""
    try:
        import pyppmd
    except ImportError as error:
        raise Absent("pyppmd is not installed (pip install -r benches/density/requirements.txt)") from error
    encoder = pyppmd.Ppmd7Encoder(PPMD_ORDER, PPMD_MEMORY)
    # What is pending in the range coder, a few bytes, is counted to what comes after.
    known = len(encoder.encode(before)) if before else 0
    whole = known + len(encoder.encode(content)) + len(encoder.flush())
    return whole - known


def shard_items(path: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of a shard's items (docs/shards.md)."""
    file = path.read_bytes()
    if file[:8] != b"\x89MBS\r\n\x1a\n" or int.from_bytes(file[8:12], "little") != 2:
        raise SystemExit(f"{path}: is no shard of version 2")
    length = int.from_bytes(file[-16:-8], "little")
    header = json.loads(file[-24 - length : -24])
    end = 16 + header["payload"]
    names = end + 64 * header["items"]
    items = []
    for entry in range(end, names, 64):
        number = lambda at, size, entry=entry: int.from_bytes(file[entry + at : entry + at + size], "little")
        start, name = number(0, 8), names + number(16, 8)
        stop = int.from_bytes(file[entry + 64 : entry + 72], "little") if entry + 64 < names else header["payload"]
        items.append((file[name : name + number(24, 4)].decode(), file[16 + start : 16 + stop]))
    return items


def test_items(prepared: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of what a prepared folder holds out for the test."""
    shards = json.loads((prepared / "manifest.json").read_text())["shards"]
    names = sorted(shard["file"] for shard in shards if shard["file"].startswith("test-"))
    return [item for name in names for item in shard_items(prepared / name)]


def measure(task: str, files: list[Path], content: bytes, before: bytes) -> dict:
    """All coders on the files of a task and on their content as one; of text also after `before`."""
    rows, absent = [], []

    def add(name: str, version, setting: str, size) -> None:
        try:
            row = {"name": name, "version": version(), "setting": setting, "bytes": size()}
        except Absent as reason:
            absent.append(f"{task}: {name} is left out: {reason}")
            return
        row["bits_per_byte"] = 8 * row["bytes"] / len(content)
        rows.append(row)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for tool in OF_FILES[task]:
            add(tool.name, tool.told, tool.setting(), lambda tool=tool: sum(tool.size(file, place) for file in files))
        whole = place / "content"
        whole.write_bytes(content)
        version = lambda: f"pyppmd {importlib.metadata.version('pyppmd')}"
        setting = f"variant H, order {PPMD_ORDER}, {PPMD_MEMORY >> 20} MiB"
        add("PPMd", version_of(version), setting, lambda: ppmd(content, b""))
        if before:
            add("PPMd, primed", version_of(version), f"{setting}, after {len(before):,} bytes", lambda: ppmd(content, before))
        add(ZPAQ.name, ZPAQ.told, ZPAQ.setting(), lambda: ZPAQ.size(whole, place))
    return {"task": task, "files": len(files), "content_bytes": len(content), "rows": rows, "absent": absent}


def version_of(version):
    """The version of a package, where it is installed."""

    def told() -> str:
        try:
            return version()
        except importlib.metadata.PackageNotFoundError as error:
            raise Absent("pyppmd is not installed (pip install -r benches/density/requirements.txt)") from error

    return told


def table(results: list[dict]) -> str:
    """Markdown: a row a coder, a column a task, in bits per byte of the content; and what was left out."""
    cells, order = {}, []
    for found in results:
        for row in found["rows"]:
            key = (row["name"], row["version"], row["setting"])
            if key not in cells:
                order.append(key)
            cells.setdefault(key, {})[found["task"]] = f"{row['bits_per_byte']:.3f}"
    tasks = [found["task"] for found in results]
    lines = [f"| coder | version | setting | {' | '.join(tasks)} |", f"| --- | --- | --- |{' ---: |' * len(tasks)}"]
    for name, version, setting in order:
        values = [cells[name, version, setting].get(task, "-") for task in tasks]
        lines.append(f"| {name} | {version} | `{setting}` | {' | '.join(values)} |")
    counts = [f"{found['task']}: {found['files']:,} files, {found['content_bytes']:,} bytes of content" for found in results]
    lines += ["", "; ".join(counts) + ".", *(line + "." for found in results for line in found["absent"])]
    return "\n".join(lines) + "\n"
