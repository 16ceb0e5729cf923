"""What is compared with what: the paper's ablations and baselines at a size for a CPU.

A variant is a name and the keys that it changes in the base of its task. Sizes are chosen so that the FLOPs a byte are
near the base's; what is left of the difference is made up by the number of steps.
"""

LEVELS = "model.level.{}.{}"


def level(l: int, **keys: int) -> dict:
    """Keys of one level."""
    return {LEVELS.format(l, key): value for key, value in keys.items()}


IMAGE = {
    "base": {},
    "without local model": level(0, unit=12, n_embd=168, n_layer=4, n_head=4) | level(1, n_layer=0) | {"model.cross_patch": 0},
    "without global model": level(0, n_layer=0) | level(1, n_layer=3),
    "without cross-patch attention": {"model.cross_patch": 0},
    "with convolutions": {"model.conv_encoder": "true"},
    "patches of 12": {"data.patch": 2} | level(0, unit=12, n_embd=96),
    "patches of 192": {"data.patch": 8} | level(0, unit=192, n_embd=384, n_layer=2),
    "small global, large local": level(0, n_embd=96) | level(1, n_layer=3),
    "large global, small local": level(0, n_embd=288) | level(1, n_layer=1),
    "raster scan": {"data.scan": "raster"},
}

TEXT = {
    "base": {},
    "without local model": level(0, unit=4, n_embd=96) | level(1, n_layer=0),
    "without global model": level(0, n_layer=0) | level(1, n_layer=4) | {"model.cross_patch": 8},
    "with cross-patch attention": {"model.cross_patch": 8},
    "with rotary positions": {"model.position": '"rotary"'},
    "with convolutions": {"model.conv_encoder": "true"},
    "patches of 4": level(0, unit=4, n_embd=96, n_layer=3),
    "patches of 16": level(0, unit=16, n_embd=192, n_head=3),
    "small global, large local": level(0, n_embd=96) | level(1, n_layer=3),
    "large global, small local": level(0, n_embd=192, n_layer=3, n_head=3) | level(1, n_layer=1),
    "Transformer, context 256": {"model.context": 256, "flat": {"n_embd": 64, "n_layer": 3, "n_head": 2}},
    "Transformer, window 256": {"flat": {"n_embd": 64, "n_layer": 3, "n_head": 2, "window": 256}},
    "Transformer, window 256, rotary": {"flat": {"n_embd": 64, "n_layer": 3, "n_head": 2, "window": 256}, "model.position": '"rotary"'},
    "PerceiverAR, 512 latents": {"model.latents": 512, "flat": {"n_embd": 64, "n_layer": 2, "n_head": 2}},
}

TASKS = {"image": IMAGE, "text": TEXT}

# What the paper (tables 2, 10, 13, 16) found: the first has fewer bits per byte than the second.
DIRECTIONS = [
    ("image", "base", "without local model", "the local model is needed"),
    ("image", "base", "without global model", "the global model is needed"),
    ("image", "base", "without cross-patch attention", "cross-patch attention helps on pictures"),
    ("image", "large global, small local", "small global, large local", "a larger share for the global model is better"),
    ("image", "base", "raster scan", "patches of pixels are better than rows"),
    ("text", "base", "without local model", "the local model is needed"),
    ("text", "base", "without global model", "the global model is needed"),
    ("text", "large global, small local", "small global, large local", "a larger share for the global model is better"),
    ("text", "base", "Transformer, context 256", "MEGABYTE is better than a Transformer of short context"),
    ("text", "Transformer, context 256", "PerceiverAR, 512 latents", "PerceiverAR is worse than a Transformer"),
]

# What the paper (tables 10 and 12) or SpaceByte (table 1) found to make next to no difference: at most this share of the
# second's bits per byte. Theirs are up to 1.3 %.
NEAR = 0.02
SAME = [
    ("image", "with convolutions", "base", "convolutions change little"),
    ("image", "patches of 12", "base", "the size of patches changes little"),
    ("image", "patches of 192", "base", "the size of patches changes little"),
    ("text", "with cross-patch attention", "base", "cross-patch attention changes little on text"),
    ("text", "with convolutions", "base", "convolutions change little"),
    ("text", "patches of 4", "base", "the size of patches changes little"),
    ("text", "patches of 16", "base", "the size of patches changes little"),
    ("text", "Transformer, window 256, rotary", "base", "a Transformer with a sliding window is close to MEGABYTE"),
]

# What the paper (table 11) found of one model's inference: the first way has fewer bits per byte than the second.
INFERENCE = [
    ("sliding", "plain"),
    ("strided", "plain"),
    ("sliding+strided", "sliding"),
    ("sliding+strided", "strided"),
]
