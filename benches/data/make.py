"""Makes the files that are prepared: photographs, small pictures, sounds and text, no two alike.

    python benches/data/make.py --shared FOLDER --out FOLDER [--quick]

Originals are taken from `--shared` where they are there; else pictures are smooth noise and the text is words by
chance. Prints what was made as one JSON object.
"""

import argparse
import json
import lzma
import wave
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPH, SMALL = (500, 375), (64, 64)


def originals(folder: Path, pattern: str, size: tuple[int, int], random: np.random.Generator) -> list[np.ndarray]:
    """Pictures of a folder in a size, or noise that is about as smooth as a photograph."""
    pictures = []
    for path in sorted(folder.glob(pattern)):
        picture = Image.open(path).convert("RGB")
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        pictures.append(np.asarray(picture))
    for _ in range(0 if pictures else 20):
        coarse = Image.fromarray(random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        pictures.append(np.clip(smooth + random.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8))
    return pictures


def pictures(out: Path, kind: str, count: int, source: list[np.ndarray], random: np.random.Generator) -> None:
    """Each is an original, turned or not, rolled and in another light."""
    out.mkdir()
    for i in range(count):
        pixels = source[i % len(source)]
        pixels = np.roll(pixels, random.integers(0, 32, 2), (0, 1))
        pixels = pixels[:, ::-1] if random.random() < 0.5 else pixels
        pixels = (pixels * random.uniform(0.7, 1.0)).astype(np.uint8)
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        if kind == "jpeg":
            picture.save(out / f"{i:05}.jpg", quality=int(random.integers(80, 96)))
        else:
            picture.save(out / f"{i:05}.png")


def sounds(out: Path, count: int, seconds: int, rate: int, channels: int, random: np.random.Generator) -> None:
    """Tones in noise; what the samples are changes nothing about the speed."""
    out.mkdir()
    time = np.arange(seconds * rate, dtype=np.float64)[:, None] / rate
    for i in range(count):
        tones = sum(np.sin(2 * np.pi * random.uniform(80, 4_000, channels) * time) for _ in range(3))
        samples = 0.2 * tones + 0.05 * random.standard_normal((seconds * rate, channels))
        with wave.open(str(out / f"{i:04}.wav"), "wb") as file:
            file.setparams((channels, 2, rate, 0, "NONE", ""))
            file.writeframes((samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())


def words(shared: Path, size: int, random: np.random.Generator) -> bytes:
    """The beginning of enwik8, or words."""
    enwik8 = shared / "text" / "enwik8.xz"
    if enwik8.is_file():
        with lzma.open(enwik8) as file:
            return file.read(size)
    lexicon = [bytes(random.integers(97, 123, int(n), dtype=np.uint8)) for n in random.integers(1, 12, 20_000)]
    return b" ".join(lexicon[i] for i in random.integers(0, len(lexicon), size // 6))[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description="makes the files that are prepared")
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    part = 10 if args.quick else 1
    images = args.shared / "images"
    args.out.mkdir(parents=True, exist_ok=True)
    photographs, small = 1_200 // part, 6_000 // part
    pictures(args.out / "jpeg", "jpeg", photographs, originals(images / "imagenet_originals", "*", PHOTOGRAPH, random), random)
    pictures(args.out / "png", "png", small, originals(images / "imagenet64_png", "*.png", SMALL, random), random)
    count, seconds = 60 // part, 30
    sounds(args.out / "wav22", count * 2, seconds, 22_050, 1, random)
    sounds(args.out / "wav44", count, seconds, 44_100, 2, random)
    text = words(args.shared, 100_000_000 // part, random)
    (args.out / "one").mkdir()
    (args.out / "one" / "text").write_bytes(text)
    (args.out / "many").mkdir()
    files = 2_000 // part
    for i in range(files):
        start, end = len(text) * i // files, len(text) * (i + 1) // files
        (args.out / "many" / f"{i:05}.txt").write_bytes(text[start:end])
    amounts = {
        "jpeg": photographs,
        "png": small,
        "wav22": count * 2 * seconds,
        "wav44": count * seconds,
        "many": len(text) / 1e6,
        "one": len(text) / 1e6,
    }
    print(json.dumps({"amounts": amounts, "shared": images.is_dir()}))


if __name__ == "__main__":
    main()
