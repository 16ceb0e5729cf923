"""Makes fuzz/corpus/TARGET from small files: made here, and those of ../shared/data where that folder exists.

    python3 fuzz/seeds.py [PROGRAM]

PROGRAM is a built `megabyte` (default target/release/megabyte), which makes the seeds that are shards and prepared
folders. Pillow, NumPy and PyArrow add pictures, arrays and tables where they are installed.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import wave
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"
SHARED = ROOT.parent / "shared/data"
LARGEST = 40_000  # bytes of a seed
draw = random.Random(1)


def seed(target, *parts):
    """Writes a seed: options, then content."""
    content = b"".join(parts)
    if len(content) <= LARGEST:
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(content).hexdigest()[:24]).write_bytes(content)


def written(choice, text):
    """A text, and copies of it in which a number is another, as far out as numbers go."""
    seed("header", bytes([choice]), text)
    numbers = list(re.finditer(rb"\b\d+\b", text))
    for _ in range(20 if numbers else 0):
        found = draw.choice(numbers)
        other = draw.choice((0, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**64 - 1, 2**64, -1))
        seed("header", bytes([choice]), text[:found.start()], str(other).encode(), text[found.end():])


def choices(last=0):
    """The bytes that choose a layout."""
    return bytes(draw.randrange(256) for _ in range(15)) + bytes([last])


def picture(content):
    for _ in range(2):
        seed("image", choices(), content)


def sound(content):
    seed("audio", bytes(16), content)
    seed("audio", choices(), content)


def archive(content):
    for choice in (0, 1, 2, 3, 9):
        seed("archive", bytes([choice]), content)


def table(content):
    for choice in (0, 3, 6, 7, 9):
        seed("table", bytes([choice]), content)


def array(content, side=0):
    seed("array", bytes([128 if side else 0, side, side]), content)


def tar(members, form=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def png(width, height, channels, data):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + data[y * width * channels:(y + 1) * width * channels] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(rate, channels, width, frames):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(draw.randbytes(frames * channels * width))
    return out.getvalue()


def npy(kind, shape, data, fortran=False):
    header = f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data


def pictures():
    for channels in (1, 3):
        picture(png(7, 5, channels, draw.randbytes(35 * channels)))
        kind = b"P5" if channels == 1 else b"P6"
        picture(kind + b"\n7 5\n255\n" + draw.randbytes(35 * channels))
        picture(kind + b"\n3 2\n65535\n" + draw.randbytes(12 * channels))
    picture(b"P1\n3 2\n1 0 1 0 1 0\n")
    picture(b"P2\n2 2\n255\n0 9 99 255\n")
    picture(b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + draw.randbytes(16))
    picture(b"qoif" + struct.pack(">IIBB", 2, 1, 3, 0) + b"\xfe\1\2\3\xfe\4\5\6" + b"\0" * 7 + b"\1")
    try:
        from PIL import Image
    except ImportError:
        return print("no Pillow: fewer pictures")
    forms = [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("WEBP", {"lossless": True}),
             ("GIF", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
             ("TIFF", {"compression": "tiff_adobe_deflate"}), ("TIFF", {"compression": "packbits"}),
             ("TIFF", {"compression": "group4"}), ("TIFF", {"compression": "jpeg"}), ("PPM", {}), ("TGA", {}),
             ("TGA", {"compression": "tga_rle"}), ("ICO", {"sizes": [(16, 16)]}),
             ("ICO", {"sizes": [(16, 16)], "bitmap_format": "bmp"})]
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "F", "CMYK"):
        bits = Image.frombytes("RGB", (16, 16), draw.randbytes(768))
        image = Image.new(mode, (16, 16)) if mode in ("I;16", "F") else bits.convert(mode)
        for form, options in forms:
            out = io.BytesIO()
            try:
                image.save(out, form, **options)
            except (OSError, ValueError, KeyError):
                continue
            picture(out.getvalue())
            if form in ("JPEG", "WEBP"):
                picture(out.getvalue()[:len(out.getvalue()) * 2 // 3])


def tiff(order, chunks, **tags):
    """An 8 x 6 TIFF; `tags` are t256=..., lists of 16-bit numbers."""
    places, lengths = ("t324", "t325") if "t322" in tags else ("t273", "t279")
    body = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0))
    starts = []
    for chunk in chunks:
        starts.append(len(body))
        body += chunk
    tags = {"t256": [8], "t257": [6], places: starts, lengths: [len(chunk) for chunk in chunks], **tags}
    entries = b""
    for tag, values in sorted(tags.items()):
        data = struct.pack(order + "H" * len(values), *values)
        if len(data) > 4:
            body, data = body + data, struct.pack(order + "I", len(body))
        entries += struct.pack(order + "HHI", int(tag[1:]), 3, len(values)) + data.ljust(4, b"\0")
    struct.pack_into(order + "I", body, 4, len(body))
    return bytes(body + struct.pack(order + "H", len(tags)) + entries + bytes(4))


def tiffs():
    for order in "<>":
        for photometric, samples, more in ((1, 1, {}), (0, 1, {}), (1, 2, {"t338": [1]}), (2, 4, {"t338": [1]}), (2, 5, {"t338": [0, 2]}),
                                           (3, 1, {"t320": [i * 80 for i in range(768)]}), (5, 4, {}), (6, 3, {"t530": [1, 1]})):
            for bits in (1, 8, 12, 16, 32):
                common = {"t258": [bits] * samples, "t262": [photometric], "t277": [samples], **more}
                rows = [draw.randbytes(-(-8 * samples * bits // 8)) for _ in range(6)]
                planes = [draw.randbytes(-(-8 * bits // 8) * 6) for _ in range(samples)]
                picture(tiff(order, [b"".join(rows)], t266=[2], **common))
                picture(tiff(order, rows, t278=[1], t259=[8], **common)[:-3])
                picture(tiff(order, [zlib.compress(row) for row in rows], t278=[1], t259=[8], t317=[2], **common))
                picture(tiff(order, planes, t284=[2], **common))
                picture(tiff(order, [bytes(16 * 16 * samples * 4)], t322=[16], t323=[16], **common))
        for across, down in ((2, 1), (2, 2), (4, 4)):
            blocks = draw.randbytes(-(-8 // across) * -(-6 // down) * (across * down + 2))
            picture(tiff(order, [blocks], t258=[8] * 3, t262=[6], t277=[3], t530=[across, down]))
        for compression, options in ((2, 0), (3, 0), (3, 1), (3, 5), (4, 0)):
            picture(tiff(order, [draw.randbytes(40)], t262=[0], t259=[compression], t292=[options]))
        for kind, bits in (("e", 16), ("f", 32), ("d", 64)):
            floats = struct.pack(order + kind * 48, *(i / 47 for i in range(48)))
            picture(tiff(order, [floats], t258=[bits], t262=[1], t339=[3]))
            picture(tiff(order, [floats], t258=[bits], t262=[1], t339=[3], t317=[3]))


def sounds():
    for width in (1, 2, 3, 4):
        for rate, channels in ((16_000, 1), (44_100, 2), (8_000, 6)):
            sound(wav(rate, channels, width, 300))
    for code, width in ((1, 8), (2, 1), (3, 2), (5, 4), (6, 4), (7, 8)):
        sound(b".snd" + struct.pack(">IIIII", 24, 0xffffffff, code, 8_000, 1) + draw.randbytes(64 * width))
    fmt = struct.pack("<HHIIHH", 7, 1, 8_000, 8_000, 1, 8)
    sound(b"RIFF" + struct.pack("<I", 100) + b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data\x40\0\0\0" + bytes(64))
    aiff = struct.pack(">hIh", 1, 64, 16) + bytes.fromhex("400bfa00000000000000")
    body = b"AIFFCOMM" + struct.pack(">I", 18) + aiff + b"SSND" + struct.pack(">III", 136, 0, 0) + draw.randbytes(128)
    sound(b"FORM" + struct.pack(">I", len(body)) + body)
    # Integers in wider containers, lengths left open, ADPCM in blocks.
    for container, valid in ((32, 24), (24, 20), (16, 12)):
        fmt = struct.pack("<HHIIHHHHI", 0xfffe, 1, 8_000, 8_000 * container // 8, container // 8, container, 22, valid, 1)
        fmt += bytes.fromhex("0100000000001000800000aa00389b71")
        for size in (96, 0x7ffff000, 0xffffffff):
            sound(b"RIFF" + struct.pack("<I", 156) + b"WAVEfmt " + struct.pack("<I", 40) + fmt +
                  b"data" + struct.pack("<I", size) + draw.randbytes(96))
    for tag, channels in ((2, 1), (2, 2), (17, 1), (17, 2)):
        fmt = struct.pack("<HHIIHHHH", tag, channels, 8_000, 4_000, 64, 4, 2, 100)
        blocks = bytes(14) + draw.randbytes(114)
        sound(b"RIFF" + struct.pack("<I", 168) + b"WAVEfmt " + struct.pack("<I", 20) + fmt + b"data\x80\0\0\0" + blocks)
    # Frames of nothing, with tags and a frame of information.
    mp3 = b"\xff\xf3\x18\xc4" + bytes(68)
    aac = b"\xff\xf1\x60\x40\x01\xbf\xfc" + bytes(5) + b"\x07"
    tags = b"TAG" + bytes(125), b"ID3\x04\0\0\0\0\0\x0a" + bytes(10), b"LYRICSBEGINLYRICSEND" + b"TAG" + bytes(125)
    info = b"\xff\xf3\x88\xc4" + bytes(9) + b"Info\0\0\0\3\0\0\0\x09\0\0\4\0LAME3.100" + bytes(12) + b"\x24\0\x80"
    for frames in (mp3 * 9, info.ljust(288, b"\0") + mp3 * 9, aac * 9):
        sound(frames)
        for tag in tags:
            sound(tag + frames + tag + frames + tag)
    caf = struct.pack(">d4sIIIII", 8_000, b"lpcm", 2, 2, 1, 1, 16)
    sound(b"caff\0\1\0\0desc" + struct.pack(">q", 32) + caf + b"data" + struct.pack(">qI", 68, 0) + draw.randbytes(64))
    shipped = [file for name in ("mp3", "m4a", "aac", "ogg", "webm") for file in ROOT.glob(f"tests/modality/files/*.{name}")]
    for file in sorted(shipped) + sorted((SHARED / "audio/formats").glob("*")):
        content = file.read_bytes()
        for length in (3_000, 12_000):
            sound(content[:length])


def containers():
    members = {"a.txt": b"one\n", "b/c.json": b"{}", "long/" * 30 + "name.txt": b"long", "d": b""}
    sample = {"000.cls": b"7", "000.png": png(2, 2, 3, bytes(12)), "001.wav": wav(8_000, 1, 1, 8), "001.txt": b"x"}
    for files in (members, sample):
        plain = [tar(files, form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
        plain += [zipped(files), zipped(files, zipfile.ZIP_STORED), zipped({"in.tar": plain[0], "z": zipped(files)})]
        for content in plain:
            for packed in (content, gzip.compress(content), bz2.compress(content), lzma.compress(content)):
                archive(packed)
    archive(gzip.compress(b"one") + gzip.compress(b"two"))
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        archive(pack(b"one") + bytes(12))
        archive(pack(b"one") + pack(b"two") + b"behind")
    if shutil.which("zstd"):
        archive(subprocess.run(["zstd", "-q", "-c"], input=tar(members), stdout=subprocess.PIPE, check=True).stdout)

    for shape in ((2, 4, 4), (2, 4, 4, 3), (2, 3, 4, 4), (2, 48), (4, 4, 3), (3, 16)):
        size = 1
        for side in shape:
            size *= side
        for fortran in (False, True):
            array(npy("|u1", shape, draw.randbytes(size), fortran))
        sizes = b"".join(struct.pack(">I", side) for side in shape)
        array(b"\0\0\x08" + bytes([len(shape)]) + sizes + draw.randbytes(size))
    array(npy("<i8", (3,), bytes(24)))
    arrays = {"x.npy": npy("|u1", (2, 4, 4), bytes(32)), "data.npy": npy("|u1", (1, 4, 4), bytes(16))}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        array(zipped(arrays, method))
    array(b"\7" + draw.randbytes(3072) + b"\1" + draw.randbytes(3072))
    array(b"\7\7" + draw.randbytes(3072))
    array(png(16, 3, 3, draw.randbytes(144)), 4)
    array(b"P5\n9 4\n255\n" + draw.randbytes(36), 3)
    array(gzip.compress(b"P6\n4 2\n255\n" + draw.randbytes(24)), 2)


def tables():
    rows = [{"text": "one\n", "a": {"b": "deep"}}, {"text": "zwei"}, {"a": {"b": 1}}, {"text": None}, {"image": "x"}]
    table("\n".join(json.dumps(row) for row in rows).encode() + b"\nnot json\n")
    array = json.dumps(rows).encode()
    lines = "\n".join(json.dumps(row) for row in rows)
    for content in (array, b"\xef\xbb\xbf" + array, ("\ufeff" + lines).encode("utf-16le"), lines.encode("utf-16be"),
                    b'# of numbers\n{"text": NaN, "a": {"b": -Infinity}}\n', b'id,text\n1,"a ""b""\nc"\n2\n3,x\n',
                    b"text\ta.b\nx\ty\n", b'\n[{"text": "a"} , {"text": "b", "a.b": [1, "]"]}]', b'{"text": "caf\xe9"}\n'):
        table(content)
        for encoding in range(5):
            seed("table", bytes([15 * encoding + 3]), content)
    table(b'{"a.b": "x", "text": "\\ud83d\\ude00"}\r\n\r\n{"text": {"text": ["a"]}}')
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return print("no PyArrow: no Parquet files")
    texts = ["one", "two", None, "three" * 9, "one"] * 3
    picture = [{"bytes": png(2, 2, 1, bytes(4)), "path": "x"}] * 15
    plain = pyarrow.table({"text": texts, "id": list(range(15))})
    rich = pyarrow.table({"image": picture, "label": [1] * 15})
    nested = pyarrow.table({"a": [{"b": text} for text in texts], "text": [t and t.encode() for t in texts]})
    for data in (plain, rich, nested):
        for codec in ("none", "snappy", "gzip", "zstd", "lz4"):
            for options in ({}, {"use_dictionary": False, "data_page_version": "2.0"}, {"row_group_size": 4}):
                out = io.BytesIO()
                pyarrow.parquet.write_table(data, out, compression=codec, **options)
                table(out.getvalue())


def headers(program):
    for file in sorted((ROOT / "datasets").glob("*.toml")):
        seed("header", b"\x08", file.read_bytes())
    setting = "train.lr=1e-3"
    for file in sorted((ROOT / "configs").glob("*/*.toml")):
        written(12, file.read_bytes())
        seed("header", b"\x0b", file.read_bytes(), setting.encode())
    layouts = ['{"modality": "image", "layout": {"width": 8, "height": 8, "scan": "nested", "patch": 4, "inner": 2}}',
               '{"modality": "audio", "layout": {"rate": 8000, "channels": "stereo", "format": "mulaw8"}}',
               '{"modality": "text", "layout": {"bom": "strip", "newlines": "lf", "encoding": "utf-8"}}']
    for text in layouts:
        written(10, text.encode())
    if not program.is_file():
        return print(f"no {program}: no shards and no prepared folders")
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "source")
        source.mkdir()
        for name in ("a", "b", "c", "d"):
            Path(source, name + ".txt").write_text(f"{name} text\n" * 9)
            Path(source, name + ".png").write_bytes(png(2, 2, 3, draw.randbytes(12)))
            Path(source, name + ".wav").write_bytes(wav(8_000, 1, 1, 40))
        # What the target `header` prepares, so that this manifest is of the shards there.
        alone = Path(place, "a.txt")
        alone.write_text("some text\n" * 40)
        folders = [(alone, "text", []), (source, "text", []), (source, "image", ["data.size=4"]),
                   (source, "audio", ["data.rate=8000"]), (source, "bytes", [])]
        for number, (source, modality, settings) in enumerate(folders):
            out = Path(place, str(number))
            settings = [word for setting in settings for word in ("--set", setting)]
            command = [program, "prepare", source, "--modality", modality, *settings, "--out", out]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            manifest = (out / "manifest.json").read_bytes()
            written(0, manifest)
            written(5, manifest)
            partial = b'{"manifest": ' + manifest + b', "replaces": false, "sources": [], "open": {"id": 1, "records": 1}}'
            written(6, partial)
            for file in out.glob(".sources*"):
                written(7, file.read_bytes())
            for file in out.glob("*.shard"):
                for mode in (0, 1):
                    seed("shard", bytes([mode]), file.read_bytes())


def varint(number):
    out = b""
    while number >= 128:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def compressed():
    """Headers as docs/archives.md has them, without the checksum that the target adds, and files to take apart."""
    for container in range(5):
        for modality in range(4):
            for content, blocks in ((0, 0), (1, 1), (200_000, 4)):
                fields = bytes([container | modality << 4]) + varint(content) + draw.randbytes(8)
                if container >= 2:
                    fields += varint(content)
                if container > 0:
                    fields += draw.randbytes(12) + bytes([draw.choice((0, 2, 16, 24, 26)), 2, 11, 0])
                    fields += varint(32) + varint(1024) + varint(64)
                if container >= 3:
                    fields += varint(draw.randrange(300)) + draw.randbytes(4)
                for block in range(blocks):
                    fields += varint(draw.randrange(70_000)) + (varint(block) if container else b"") + draw.randbytes(8)
                seed("compressed", b"\0" + choices()[1:], fields)
    files = [png(8, 8, 3, draw.randbytes(192)), png(8, 8, 1, bytes(64)), wav(8_000, 1, 2, 100), b"text\r\n" * 20]
    for content in files:
        for layout in range(3):
            for container in range(5):
                options = bytes([1, layout, 0, 1, container]) + choices()[5:]
                seed("compressed", options, content)


def found():
    """The small files of the development data, as what they may be."""
    for file in sorted(SHARED.glob("bad/**/*")):
        if not file.is_file() or file.stat().st_size > LARGEST:
            continue
        content = file.read_bytes()
        if file.suffix == ".wav" or file.suffix[1:] in ("mp3", "m4a", "ogg", "aac", "opus", "webm", "wma"):
            sound(content)
        else:
            picture(content)
        if len(content) < 4_000:
            seed("layout", choices(2), content)
            array(content, 4)


def layouts():
    for last in range(4):
        for size in (0, 1, 3, 100, 1_000, 9_000):
            seed("layout", choices(last), draw.randbytes(size))
    for label in range(15):
        for text in ("a\r\nb\rc\n\n", "\ufeffПривет\r", "日本語\r\n"):
            for encoding in ("utf-8", "utf-16-le", "shift_jis", "cp1251", "gb18030", "iso2022_jp"):
                options = bytes([draw.randrange(2), draw.randrange(2), label]) + choices(2)[3:]
                seed("layout", options, text.encode(encoding, "replace"))


if __name__ == "__main__":
    pictures()
    sounds()
    containers()
    tables()
    tiffs()
    headers(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/megabyte"))
    found()
    layouts()
    compressed()
    for folder in sorted(CORPUS.iterdir()):
        print(f"{folder.name}: {len(list(folder.iterdir()))} seeds")
