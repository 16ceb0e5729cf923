"""The same work by Pillow, soundfile, scipy and numpy: one measurement, printed as one JSON object.

    python benches/data/pipeline.py --kind image --source FOLDER --out FOLDER --workers 2

Files are read, decoded, fitted, laid out and hashed by a pool of workers; the main process drops duplicates, chooses the
split and writes one packed file a split with an index, and syncs them. The clock starts when the workers are there.
"""

import argparse
import hashlib
import json
import math
import os
import struct
import time
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from scipy.signal import resample_poly

SIDE, PATCH, RATE = 64, 8, 16_000
# Longer documents are cut by place, as `data.cut_over` says.
CUT_OVER = 1 << 20


def split_of(digest: bytes) -> int:
    """Train, valid or test: 90, 5 and 5 in a hundred."""
    place = int.from_bytes(digest[:8], "little") % 100
    return 0 if place < 90 else 1 if place < 95 else 2


def image(path: str, draft: bool) -> bytes:
    """A centred square at 64 x 64, in patches of 8 x 8."""
    with Image.open(path) as picture:
        if draft:
            # libjpeg scales while it decodes, to a half, a quarter or an eighth: faster, and other pixels.
            short = min(picture.size)
            picture.draft("RGB", tuple(side * SIDE * 2 // short for side in picture.size))
        picture = picture.convert("RGB")
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if (width, height) != (SIDE, SIDE):
        box = (left, top, left + side, top + side)
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
    n = SIDE // PATCH
    return np.asarray(picture).reshape(n, PATCH, n, PATCH, 3).transpose(0, 2, 1, 3, 4).tobytes()


def audio(path: str) -> bytes:
    """Mono at 16 kHz, 16 bits."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate != RATE:
        divisor = math.gcd(rate, RATE)
        samples = resample_poly(samples, RATE // divisor, rate // divisor)
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()


def text(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


READERS = {
    "image": lambda path: image(path, False),
    "image-draft": lambda path: image(path, True),
    "audio": audio,
    "text": text,
}
READ = None


def work(path: str) -> tuple[str, bytes, bytes]:
    content = READ(path)
    return path, hashlib.blake2b(content, digest_size=32).digest(), content


class Packed:
    """The items of a split, one after the other, and where they are."""

    def __init__(self, out: Path, name: str):
        self.file = open(out / f"{name}.bin", "wb", buffering=1 << 20)
        self.index_path = out / f"{name}.idx"
        self.index: list[bytes] = []
        self.bytes = 0

    def push(self, name: str, digest: bytes, content: bytes | memoryview) -> None:
        self.file.write(content)
        encoded = name.encode()
        self.index.append(struct.pack("<QQ32sI", self.bytes, len(content), digest, len(encoded)) + encoded)
        self.bytes += len(content)

    def finish(self) -> None:
        with open(self.index_path, "wb") as index:
            index.write(b"".join(self.index))
            for file in (index, self.file):
                file.flush()
                os.fsync(file.fileno())
        self.file.close()


def files_below(source: str) -> list[str]:
    found = []
    for folder, _, names in os.walk(source):
        found += (os.path.join(folder, name) for name in names)
    return sorted(found)


def prepare(source: str, out: Path, pool, cuts: bool) -> dict:
    """All of it; what the clock measures."""
    splits = [Packed(out, name) for name in ("train", "valid", "test")]
    files = files_below(source)
    seen: set[bytes] = set()
    documents = duplicates = 0
    chunk = max(1, min(16, len(files) // 8))
    for path, digest, content in pool.imap(work, files, chunk):
        if digest in seen:
            duplicates += 1
            continue
        seen.add(digest)
        documents += 1
        name = os.path.relpath(path, source)
        if not cuts or len(content) <= CUT_OVER:
            splits[split_of(digest)].push(name, digest, content)
            continue
        view, ends = memoryview(content), [0, len(content) * 9 // 10, len(content) * 19 // 20, len(content)]
        for split, start, end in zip(splits, ends, ends[1:]):
            split.push(name, hashlib.blake2b(view[start:end], digest_size=32).digest(), view[start:end])
    for split in splits:
        split.finish()
    return {"documents": documents, "duplicates": duplicates, "bytes": sum(split.bytes for split in splits)}


def main() -> None:
    global READ
    parser = argparse.ArgumentParser(description="prepares files by Pillow, soundfile, scipy and numpy")
    parser.add_argument("--kind", choices=sorted(READERS), required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    READ = READERS[args.kind]
    # Reading and hashing files leaves the interpreter's lock alone, so threads save text the way between processes.
    pool = ThreadPool(args.workers) if args.kind == "text" else get_context("fork").Pool(args.workers)
    with pool:
        pool.map(len, [()] * args.workers)
        started = time.perf_counter()
        result = prepare(args.source, args.out, pool, args.kind in ("text", "audio"))
        result["seconds"] = time.perf_counter() - started
    print(json.dumps(result))


if __name__ == "__main__":
    main()
