"""Reads the event files in a folder with TensorBoard's own reader and prints what they hold as JSON.

    python events.py DIR

Every list is in the order of the steps: `scalars` [step, value], `images` [step, width, height, width and height of the
decoded picture], `audio` [step, rate, frames, then rate, channels and frames of the decoded sound], `texts` [step, text],
`histograms` [step, [[left, right, count], ...]].
"""

import argparse
import io
import json
import wave

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def picture(event) -> list:
    return [event.step, event.width, event.height, *Image.open(io.BytesIO(event.encoded_image_string)).size]


def sound(event) -> list:
    with wave.open(io.BytesIO(event.encoded_audio_string)) as file:
        decoded = [file.getframerate(), file.getnchannels(), file.getnframes()]
    return [event.step, event.sample_rate, event.length_frames, *decoded]


def main() -> None:
    parser = argparse.ArgumentParser(description="event files as JSON")
    parser.add_argument("folder")
    kinds = ["scalars", "images", "audio", "tensors", "histograms", "compressedHistograms"]
    # 0 is no limit.
    events = EventAccumulator(parser.parse_args().folder, size_guidance={kind: 0 for kind in kinds})
    events.Reload()

    tags = events.Tags()
    found = {
        "scalars": {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]},
        "images": {tag: [picture(event) for event in events.Images(tag)] for tag in tags["images"]},
        "audio": {tag: [sound(event) for event in events.Audio(tag)] for tag in tags["audio"]},
        "texts": {},
        "histograms": {},
    }
    for tag in tags["tensors"]:
        values = [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        match events.SummaryMetadata(tag).plugin_data.plugin_name:
            case "text":
                found["texts"][tag] = [[step, value.item().decode()] for step, value in values]
            case "histograms":
                found["histograms"][tag] = [[step, value.tolist()] for step, value in values]
            case other:
                raise ValueError(f"{tag} is for the plug-in {other!r}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
