"""Writes pictures of every kind that Pillow or this file can write, and what Pillow or the format's definition makes of them.

    pictures.py OUT

For each there is OUT/NAME, OUT/NAME.rgb with its upright pixels on white, red, green and blue by turns, and a line in
OUT/index.jsonl: name, width, height, and by how much another decoder's values may differ, at most and on average.
"""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path(sys.argv[1])
INDEX = open(OUT / "index.jsonl", "w")
SIZES = [(1, 1), (7, 5), (33, 18), (64, 48)]
EXACT = (0, 0.0)


def scene(width, height, channels):
    """Something smooth with edges and noise in it, the same every time."""
    draw = np.random.default_rng([width, height, channels])
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        plane = 128 + 90 * np.sin((x + 3 * channel) / 9) + 37 * np.cos((y - 2 * channel) / 7)
        plane += 60 * ((x // 11 + y // 7 + channel) % 2) - 30 + draw.normal(0, 6, (height, width))
        planes.append(plane)
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def on_white(rgba):
    colours, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return ((alpha * colours + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)


def pillow(content):
    """What Pillow makes of a file."""
    picture = Image.open(io.BytesIO(content))
    picture.seek(0)
    if picture.mode in ("I", "I;16", "I;16B"):
        gray = np.asarray(picture).astype(np.uint32)
        gray = Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8))
        picture = gray
    else:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("La", "LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        return on_white(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def case(name, content, rgb, tolerance=EXACT):
    if rgb.ndim == 2:
        rgb = np.stack([rgb] * 3, -1)
    (OUT / name).write_bytes(content)
    (OUT / (name + ".rgb")).write_bytes(np.ascontiguousarray(rgb, np.uint8).tobytes())
    most, mean = tolerance
    line = {"name": name, "width": rgb.shape[1], "height": rgb.shape[0], "most": most, "mean": mean}
    INDEX.write(json.dumps(line) + "\n")


def saved(name, picture, format, tolerance=EXACT, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    case(name, file.getvalue(), pillow(file.getvalue()), tolerance)


def pictures(width, height):
    """A picture of each of Pillow's modes."""
    rgb, alpha = scene(width, height, 3), scene(width, height, 4)
    rgba = Image.fromarray(alpha, "RGBA")
    gray = Image.fromarray(rgb[..., 0])
    yield "1", gray.convert("1")
    yield "L", gray
    yield "P", Image.fromarray(rgb).quantize(37)
    yield "LA", Image.merge("LA", (gray, Image.fromarray(alpha[..., 3])))
    yield "RGB", Image.fromarray(rgb)
    yield "RGBA", rgba


# PNG, by hand: all colour types and bit depths, interlaced or not, as the specification has them.

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def packed(samples, bits):
    """Rows of samples, each filling whole bytes, the first sample in the most significant bits."""
    height = samples.shape[0]
    flat = samples.reshape(height, -1)
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in flat]
    if bits == 8:
        return [row.astype(np.uint8).tobytes() for row in flat]
    ones = (flat[..., None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in ones]


def png(samples, kind, bits, interlaced, *chunks):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    data = b""
    for left, top, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::across]
        if part.size:
            data += b"".join(b"\0" + row for row in packed(part, bits))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    parts = chunk(b"IHDR", header), *(chunk(*each) for each in chunks), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def eight(values, bits):
    return (values.astype(np.uint64) * 255 + ((1 << bits) - 1) // 2) // ((1 << bits) - 1)


def pngs():
    for width, height in SIZES:
        for interlaced in (False, True):
            for kind, channels, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16))):
                for bits in depths:
                    values = scene(width, height, channels).astype(np.uint64)
                    values = values >> (8 - bits) if bits <= 8 else values * 257 + (values * 7919) % 200
                    values = np.minimum(values, (1 << bits) - 1)
                    chunks = []
                    if kind == 3:
                        palette = scene(1 << bits, 1, 3)[0]
                        chunks.append((b"PLTE", palette.tobytes()))
                        expected = palette[values[..., 0].astype(int)]
                    else:
                        expected = eight(values, bits)
                        gray = channels < 3
                        colours = np.repeat(expected[..., :1], 3, -1) if gray else expected[..., :3]
                        if channels in (2, 4):
                            colours = on_white(np.concatenate([colours, expected[..., -1:]], -1))
                        expected = colours
                    name = f"png-{width}x{height}-{kind}-{bits}{'-interlaced' if interlaced else ''}.png"
                    case(name, png(values, kind, bits, interlaced, *chunks), expected)
        for mode, picture in pictures(width, height):
            saved(f"pillow-{width}x{height}-{mode}.png", picture, "PNG", optimize=width == 33)
    gray = Image.fromarray(scene(33, 18, 1)[..., 0] & 0xF0)
    saved("transparent-L.png", gray, "PNG", transparency=0x80)
    saved("transparent-P.png", Image.fromarray(scene(33, 18, 3)).quantize(16), "PNG", transparency=bytes([0, 80, 160, 255]))


def oriented():
    """All orientations in every format that has them."""
    picture = Image.fromarray(scene(33, 18, 3))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        saved(f"turned-{orientation}.png", picture, "PNG", exif=exif)
        saved(f"turned-{orientation}.webp", picture, "WEBP", lossless=True, exif=exif)
        saved(f"turned-{orientation}.jpg", picture, "JPEG", (4, 1.0), exif=exif, quality=95, subsampling=0)
        file = io.BytesIO()
        picture.save(file, "TIFF", tiffinfo={274: orientation})
        case(f"turned-{orientation}.tif", file.getvalue(), pillow(file.getvalue()))


def jpegs():
    for width, height in SIZES + [(17, 9), (16, 16), (100, 75)]:
        for mode, picture in pictures(width, height):
            if mode not in ("L", "RGB"):
                continue
            for subsampling in (0, 1, 2) if mode == "RGB" else (0,):
                for quality in (30, 75, 95):
                    for way, options in (("", {}), ("-progressive", {"progressive": True}), ("-optimised", {"optimize": True}), ("-restarts", {"restart_marker_blocks": 3})):
                        name = f"{width}x{height}-{mode}-{subsampling}-{quality}{way}.jpg"
                        # Decoders differ in how they make chroma larger, at the right edge by more than inside.
                        tolerance = (16, 0.5) if subsampling else (4, 0.5)
                        saved(name, picture, "JPEG", tolerance, quality=quality, subsampling=subsampling, **options)
    saved("cmyk.jpg", Image.fromarray(scene(64, 48, 4), "CMYK"), "JPEG", (8, 1.0), quality=90)


def others():
    for width, height in SIZES:
        for mode, picture in pictures(width, height):
            name = f"{width}x{height}-{mode}"
            if mode in ("RGB", "RGBA"):
                saved(f"{name}-lossless.webp", picture, "WEBP", lossless=True, exact=True)
                for quality, method in ((20, 0), (75, 4), (95, 6)):
                    saved(f"{name}-{quality}.webp", picture, "WEBP", (10, 1.5), quality=quality, method=method)
                saved(f"{name}.qoi", picture, "QOI")
            if mode in ("1", "L", "P", "RGB"):
                saved(f"{name}.gif", picture, "GIF", interlace=0)
                saved(f"{name}-interlaced.gif", picture, "GIF", interlace=1)
                saved(f"{name}.bmp", picture, "BMP")
            if mode == "RGBA":
                saved(f"{name}.bmp", picture, "BMP")
            if mode in ("1", "L", "RGB"):
                saved(f"{name}.pnm", picture, "PPM")
            if mode in ("L", "LA", "P", "RGB", "RGBA"):
                for compression in (None, "tga_rle"):
                    for orientation in (-1, 1):
                        way = f"{'rle' if compression else 'raw'}-{'up' if orientation < 0 else 'down'}"
                        saved(f"{name}-{way}.tga", picture, "TGA", compression=compression, orientation=orientation)
            if mode == "RGBA" and width > 1:
                square = picture.resize((32, 32))
                saved(f"{name}-png.ico", square, "ICO", sizes=[(32, 32)])
                saved(f"{name}-bmp.ico", square, "ICO", sizes=[(32, 32)], bitmap_format="bmp")
    frames = [Image.fromarray(scene(33, 18, 3)).quantize(9), Image.fromarray(255 - scene(33, 18, 3)).quantize(9)]
    saved("animated.gif", frames[0], "GIF", save_all=True, append_images=frames[1:])
    gray16 = Image.fromarray(scene(33, 18, 1)[..., 0].astype(np.uint16) * 251)
    saved("gray16.png", gray16, "PNG")
    saved("gray16.pnm", gray16, "PPM")


# TIFF, by hand.

def tiff(tags, chunks, big=False, order="<"):
    """`tags` by number; `chunks` are the strips or tiles."""
    tags = dict(tags)
    places, lengths = (324, 325) if 322 in tags else (273, 279)
    tags[places], tags[lengths] = [0] * len(chunks), [len(chunk) for chunk in chunks]
    body = bytearray(struct.pack(order + ("2sHHHQ" if big else "2sHI"), *((b"II" if order == "<" else b"MM", 43, 8, 0, 0) if big else (b"II" if order == "<" else b"MM", 42, 0))))
    starts = []
    for chunk in chunks:
        starts.append(len(body))
        body += chunk + b"\0" * (len(chunk) % 2)
    tags[places] = starts
    entries = []
    for tag, value in sorted(tags.items()):
        if isinstance(value, bytes):
            kind, count, data = 7, len(value), value
        elif isinstance(value, list) and value and isinstance(value[0], tuple):
            kind, count = 5, len(value)
            data = b"".join(struct.pack(order + "II", *each) for each in value)
        else:
            values = value if isinstance(value, list) else [value]
            kind, form = (4, "I") if tag in (256, 257, places, lengths) else (3, "H")
            count, data = len(values), struct.pack(order + form * len(values), *values)
        inline = 8 if big else 4
        if len(data) > inline:
            place = len(body)
            body += data + b"\0" * (len(data) % 2)
            data = struct.pack(order + ("Q" if big else "I"), place)
        entries.append(struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + data.ljust(inline, b"\0"))
    at = len(body)
    body += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries) + bytes(8 if big else 4)
    struct.pack_into(order + ("Q" if big else "I"), body, 8 if big else 4, at)
    return bytes(body)


def mirrored(data):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def packbits(data):
    out = b""
    for at in range(0, len(data), 100):
        part = data[at:at + 100]
        out += bytes([len(part) - 1]) + part
    return out


def lzw(data):
    """Codes of nine bits alone: the table is cleared before it grows."""
    bits = ""
    for at in range(0, len(data), 200):
        bits += f"{256:09b}" + "".join(f"{byte:09b}" for byte in data[at:at + 200])
    bits += f"{257:09b}"
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at:at + 8], 2) for at in range(0, len(bits), 8))


COMPRESSIONS = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}


def strips(samples, bits, order, rows):
    """Strips of so many rows."""
    found = []
    for top in range(0, samples.shape[0], rows):
        lines = packed(samples[top:top + rows], bits)
        if bits == 16 and order == "<":
            lines = [np.frombuffer(line, ">u2").astype("<u2").tobytes() for line in lines]
        found.append(b"".join(lines))
    return found


def tiffs():
    width, height = 33, 18
    kinds = [  # name, photometric, samples, what extra samples are, bits
        ("gray", 1, 1, [], (1, 2, 4, 8, 12, 16)), ("white", 0, 1, [], (1, 2, 4, 8, 16)),
        ("gray-extra", 1, 2, [0], (8, 16)), ("gray-alpha", 1, 2, [2], (8, 16)), ("gray-premultiplied", 1, 2, [1], (8, 16)),
        ("gray-extras", 1, 3, [0, 0], (8,)),
        ("rgb", 2, 3, [], (8, 16)), ("rgb-extra", 2, 4, [0], (8, 16)), ("rgb-alpha", 2, 4, [2], (8, 16)),
        ("rgb-premultiplied", 2, 4, [1], (8, 16)), ("rgb-alpha-extra", 2, 5, [2, 0], (8,)),
        ("rgb-premultiplied-extra", 2, 5, [1, 0], (8,)), ("rgb-extras", 2, 6, [0, 0, 0], (8,)),
        ("palette", 3, 1, [], (1, 2, 4, 8)), ("palette-extra", 3, 2, [0], (8,)), ("palette-alpha", 3, 2, [2], (8,)),
        ("cmyk", 5, 4, [], (8, 16)), ("cmyk-extra", 5, 5, [0], (8,)),
    ]
    for name, photometric, count, extra, depths in kinds:
        for bits in depths:
            values = scene(width, height, count).astype(np.uint64)
            values = values >> (8 - bits) if bits <= 8 else eight(values, 8) * ((1 << bits) - 1) // 255
            own = count - len(extra)
            if 1 in extra:  # Colours can't be above what they are multiplied by.
                values[..., :own] = values[..., :own] * values[..., own:own + 1] // ((1 << bits) - 1)
            tags = {256: width, 257: height, 258: [bits] * count, 262: photometric, 277: count}
            if extra:
                tags[338] = extra
            if photometric == 3:
                palette = scene(1 << bits, 1, 3)[0].astype(int) * 257
                tags[320] = palette.T.reshape(-1).tolist()
                colours = (palette >> 8)[values[..., 0].astype(int)]
            else:
                plain = values.copy()
                if 1 in extra:
                    alpha = np.maximum(values[..., own:own + 1], 1)
                    divided = np.minimum(values * ((1 << bits) - 1) // alpha, (1 << bits) - 1)
                    plain[..., :own] = np.where(values[..., own:own + 1] > 0, divided, values)[..., :own]
                small = eight(plain, bits).astype(int)
                if photometric == 5:
                    ink, light = small[..., :3], 255 - small[..., 3:4]
                    product = ink * light + 128
                    colours = light - (((product >> 8) + product) >> 8)
                else:
                    colours = np.repeat(small[..., :1], 3, -1) if own == 1 else small[..., :3]
                    colours = 255 - colours if photometric == 0 else colours
            if 1 in extra or 2 in extra:
                colours = on_white(np.concatenate([colours, eight(values, bits)[..., own:own + 1]], -1))
            for order in "<>":
                for compression, compress in COMPRESSIONS.items():
                    for fill in (1, 2):
                        for planar in (1, 2) if count > 1 else (1,):
                            more = {259: compression, 266: fill, 284: planar, 278: 7}
                            planes = np.moveaxis(values, -1, 0)[..., None] if planar == 2 else [values]
                            chunks = [compress(strip) for plane in planes for strip in strips(plane, bits, order, 7)]
                            if fill == 2:
                                chunks = [mirrored(chunk) for chunk in chunks]
                            label = f"{name}-{bits}-{'little' if order == '<' else 'big'}-{compression}-fill{fill}-planar{planar}.tif"
                            content = tiff(tags | more, chunks, compression == 8, order)
                            case(label, content, colours.astype(np.uint8))
    floats()
    ycbcr()
    for mode, picture in pictures(width, height):
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd", "webp", "jpeg", "group3", "group4", "tiff_ccitt"):
            fits = {"jpeg": ("L", "RGB"), "webp": ("RGB", "RGBA"), "group3": ("1",), "group4": ("1",), "tiff_ccitt": ("1",)}
            if mode not in fits.get(compression, (mode,)):
                continue
            tolerance = {"jpeg": (16, 0.5), "webp": (10, 1.5)}.get(compression, EXACT)
            try:
                saved(f"pillow-{mode}-{compression}.tif", picture, "TIFF", tolerance, compression=compression)
            except OSError:
                # Its libtiff was built without this one.
                continue
            if mode != "1" and compression in ("tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma"):
                saved(f"pillow-{mode}-{compression}-differences.tif", picture, "TIFF", compression=compression, tiffinfo={317: 2})
    for quality in (50, 95):
        for subsampling, pixels in enumerate(([1, 1], [2, 1], [2, 2])):
            # Pillow subsamples in JPEG files alone, so one is made the only strip.
            stream = io.BytesIO()
            Image.fromarray(scene(64, 48, 3)).save(stream, "JPEG", quality=quality, subsampling=subsampling)
            tags = {256: 64, 257: 48, 258: [8] * 3, 259: 7, 262: 6, 277: 3, 278: 48, 530: pixels}
            content = tiff(tags, [stream.getvalue()])
            case(f"ycbcr-jpeg-{quality}-{subsampling}.tif", content, pillow(content), (16, 0.5) if subsampling else (8, 1.0))
    for options in (0, 1, 4, 5):
        saved(f"group3-{options}.tif", Image.fromarray(scene(64, 48, 1)[..., 0]).convert("1"), "TIFF", compression="group3", tiffinfo={292: options})


def floats():
    values = scene(33, 18, 1)[..., 0] / 255
    for bits, form in ((16, "f2"), (32, "f4"), (64, "f8")):
        for order in "<>":
            for photometric in (0, 1):
                stored = values.astype(order + form)
                expected = np.floor(stored.astype(float) * 255 + 0.5)
                tags = {256: 33, 257: 18, 258: bits, 259: 1, 262: photometric, 277: 1, 339: 3}
                colours = expected if photometric else 255 - expected
                case(f"float-{bits}-{'little' if order == '<' else 'big'}-{photometric}.tif", tiff(tags, [stored.tobytes()], False, order), colours.astype(np.uint8), (1, 0.02))


def ycbcr():
    """Brightness and chroma, by section 21 of TIFF 6.0."""
    for across, down in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (4, 4)):
        for label, more in (("", {}), ("-video", {532: [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)]}), ("-709", {529: [(2126, 10000), (7152, 10000), (722, 10000)]})):
            width, height = 33, 18
            wide, high = -(-width // across) * across, -(-height // down) * down
            y = scene(wide, high, 1)[..., 0]
            chroma = scene(wide // across, high // down, 2)
            blocks = b""
            for top in range(0, high, down):
                for left in range(0, wide, across):
                    blocks += y[top:top + down, left:left + across].tobytes() + chroma[top // down, left // across].tobytes()
            tags = {256: width, 257: height, 258: [8] * 3, 259: 1, 262: 6, 277: 3, 530: [across, down], **more}
            red, green, blue = (0.2126, 0.7152, 0.0722) if 529 in more else (0.299, 0.587, 0.114)
            black, white, mid, end = (16, 235, 128, 240) if 532 in more else (0, 255, 128, 255)
            full = chroma.repeat(across, 1).repeat(down, 0).astype(float)
            light = (y.astype(float) - black) * 255 / (white - black)
            cb, cr = ((full[..., i] - mid) * 127 / (end - mid) for i in (0, 1))
            r, b = light + cr * (2 - 2 * red), light + cb * (2 - 2 * blue)
            g = (light - blue * b - red * r) / green
            rgb = np.clip(np.stack([r, g, b], -1).round(), 0, 255)[:height, :width]
            case(f"ycbcr-{across}x{down}{label}.tif", tiff(tags, [blocks]), rgb.astype(np.uint8), (1, 0.1))


pngs()
oriented()
jpegs()
others()
tiffs()
