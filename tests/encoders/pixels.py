"""An encoder and a task for the tests: an image is some bytes, four per embedding; its colour is the answer."""

import torch

from gpttasks import DataError, Encoder, Example, Media, Options, Part, Task, hookimpl

PIXELS = 4


class PixelOptions(Options):
    """Only the defaults."""


class Pixels(Encoder):
    name = "pixels"
    reads = frozenset({"image"})
    Options = PixelOptions

    def bind(self, hidden_size):
        self._modules = torch.nn.ModuleDict({"projector": torch.nn.Linear(PIXELS, hidden_size)})

    def modules(self):
        return self._modules

    def length(self, media):
        if not media.data or len(media.data) % PIXELS:
            raise DataError(f"got {len(media.data)} bytes, expected rows of {PIXELS}")
        return len(media.data) // PIXELS

    def embed(self, media):
        device = self._modules["projector"].weight.device
        tables = [torch.tensor(list(one.data)).view(-1, PIXELS).float().to(device) / 255 for one in media]
        return [self._modules["projector"](table) for table in tables]


class Colours(Task):
    name = "colours"

    def example(self, row):
        image = Part(kind="media", media=Media(bytes.fromhex(row["pixels"]), "image/raw"))
        words, label = ("dark", "bright"), int(row["label"])
        return Example(
            prompt=[image, "Colour:"], choices=words, label=label, target=words[label], references=(words[label],)
        )


@hookimpl
def gpttasks_register(register):
    register.encoder(Pixels)
    register.task(Colours)
