"""How fast captions are written and learned from, beside one picture at a time as code for it is usually written.

    python benchmarks/captioner.py              captions written per second by a beam search: ours, batched, and a plain one
    python benchmarks/captioner.py --training   captions learned from per second, and the share of it that attention takes

The plain search goes through the pictures one by one, keeps its beginnings in Python lists, and computes what attention sees of the
picture anew at every step for every beam. It looks for the same sentence; how many of them are the same is printed. Pictures and
weights are random, of the published sizes for Flickr8k.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import tyro
from side_by_side import Apart, Measure, interleave, print_head, print_machine, print_row, ratio, spread, synchronise
from torch import Tensor, nn

from attention_core.zoo import pick_device
from attention_env.captions import END, PAD, START, UNKNOWN
from captioning.config import Search, published_config
from captioning.decoder import Captioner, Scene
from captioning.learner import losses
from captioning.writing import CHUNK, write

PLACES, NUMBERS, WORDS, REFERENCES = 49, 1280, 2543, 5
LONGEST = 20


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    rounds: int = 5
    """Interleaved rounds."""
    pictures: int = 50
    """Pictures that are written about in a round."""
    beams: int = 5
    """Beams of the search."""
    seconds: float = 10.0
    """Seconds of training in a round."""
    threads: int = 1
    """CPU threads of each."""
    training: bool = False
    """Measure learning instead."""


def make_captioner() -> Captioner:
    """Make one of the published sizes whose words and ends depend on the picture and on what was written."""
    torch.manual_seed(0)
    captioner = Captioner((PLACES, NUMBERS), WORDS, published_config("flickr8k", "soft"))
    with torch.no_grad():
        captioner.output.weight.mul_(20)
        captioner.output.bias[END] += 4
    return captioner.to(pick_device())


def make_pictures(count: int) -> Tensor:
    """Draw annotations, about as sparse as those of an encoder."""
    generator = torch.Generator().manual_seed(1)
    return (2 * torch.randn(count, PLACES, NUMBERS, generator=generator)).relu().to(pick_device())


# Writing --------------------------------------------------------------------------------------------------------------


def write_batched(captioner: Captioner, pictures: Tensor, beams: int) -> list[list[int]]:
    """Write about all pictures as the package does."""
    captions = []
    for chunk in pictures.split(CHUNK):
        found = write(captioner, chunk, LONGEST, Search(beams, 1.0))
        captions += [row[:length] for row, length in zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)]
    return captions


@torch.no_grad()
def write_plainly(captioner: Captioner, pictures: Tensor, beams: int) -> list[list[int]]:
    """Write about one picture after the other; see the head of this file."""
    return [_search(captioner, picture[None], beams) for picture in pictures]


def _search(captioner: Captioner, picture: Tensor, beams: int) -> list[int]:
    scene = captioner.see(picture)
    seen, state = scene.annotations, captioner.begin(scene)
    sequences: list[tuple[list[int], float]] = [([START], 0.0)]
    finished: list[tuple[list[int], float]] = []
    for length in range(1, LONGEST + 1):
        words = torch.tensor([tokens[-1] for tokens, _ in sequences], device=picture.device)
        beside = seen.repeat(len(sequences), 1, 1)
        scene = Scene(beside, captioner.attention.keys(beside))
        looked = captioner.look(scene, state)
        state, told = captioner.advance(words, looked.context, state)
        logs = captioner.score(told)
        logs[:, [PAD, START, UNKNOWN]] = -torch.inf
        logs = logs.log_softmax(-1)
        finished += [(tokens, (score + float(row[END])) / length) for (tokens, score), row in zip(sequences, logs, strict=True)]
        logs[:, END] = -torch.inf
        scores = logs + torch.tensor([[score] for _, score in sequences], device=picture.device)
        best, places = scores.flatten().topk(beams)
        rows = places // logs.shape[1]
        sequences = [
            ([*sequences[int(row)][0], int(place) % logs.shape[1]], float(score))
            for row, place, score in zip(rows, places, best, strict=True)
        ]
        state = type(state)(state.hidden[rows], state.cell[rows])
        if sequences[0][1] / LONGEST <= max(score for _, score in finished):
            break
    finished += [(tokens, score / length) for tokens, score in sequences] if length == LONGEST else []
    tokens, _ = max(finished, key=lambda sequence: sequence[1])
    return [*tokens[1:], END][:LONGEST]


WRITERS: dict[str, Callable[[Captioner, Tensor, int], list[list[int]]]] = {"batched": write_batched, "plain": write_plainly}


def make_writer(kind: str, count: int, beams: int) -> Measure:
    """Tell how many captions a writer writes in a second."""
    captioner, pictures = make_captioner().eval(), make_pictures(count)

    def rate() -> float:
        synchronise()
        began = time.perf_counter()
        WRITERS[kind](captioner, pictures, beams)
        synchronise()
        return count / (time.perf_counter() - began)

    return rate


def share_of_same(count: int, beams: int) -> float:
    """Tell for how many pictures both writers find the same caption."""
    captioner, pictures = make_captioner().eval(), make_pictures(count)
    batched, plain = (writer(captioner, pictures, beams) for writer in WRITERS.values())
    return sum(one == other for one, other in zip(batched, plain, strict=True)) / count


def measure_writing(asked: Arguments) -> None:
    """Print the table of captions written per second."""
    print_head(["beams", "batched, captions/s", "plain, captions/s", "batched / plain", "the same caption"])
    with ExitStack() as rivals:
        made = {
            kind: rivals.enter_context(Apart(make_writer, kind, asked.pictures, asked.beams, threads=asked.threads))
            for kind in WRITERS
        }
        rates = interleave(made, asked.rounds)
    same = share_of_same(4 * asked.pictures, asked.beams)
    print_row(
        [asked.beams, *(spread(rates[kind], ".1f") for kind in WRITERS), ratio(rates, "batched", "plain", ".1f"), f"{same:.1%}"]
    )


# Learning -------------------------------------------------------------------------------------------------------------


class Clock:
    """Adds up how long a module's calls take."""

    def __init__(self, module: nn.Module) -> None:
        self.seconds = self._began = 0.0
        module.register_forward_pre_hook(self._begin)
        module.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        synchronise()
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        synchronise()
        self.seconds += time.perf_counter() - self._began


def measure_training(asked: Arguments) -> None:
    """Print how many captions are learned from in a second, in both precisions, and how much of it attention is."""
    print_head(["precision", "captions/s", "share of the forward pass that f_att takes"])
    config = published_config("flickr8k", "soft")
    pictures = make_pictures(config.batch_size)
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(6, LONGEST, (config.batch_size, REFERENCES, 1), generator=generator)
    captions = torch.randint(END + 2, WORDS, (config.batch_size, REFERENCES, LONGEST + 1), generator=generator)
    captions[..., 0] = START
    places = torch.arange(LONGEST + 1)
    captions = torch.where(places < lengths, captions, torch.where(places == lengths, END, PAD)).to(pick_device())
    torch.set_num_threads(asked.threads)
    for precision in (torch.float32, torch.bfloat16):
        captioner = make_captioner()
        attention = Clock(captioner.attention)
        optimizer = torch.optim.AdamW(captioner.parameters(), fused=True)
        rates, shares = [], []
        for round_ in range(asked.rounds + 1):
            began, done, forward, attention.seconds = time.perf_counter(), 0, 0.0, 0.0
            while time.perf_counter() - began < asked.seconds:
                before = time.perf_counter()
                with torch.autocast(pictures.device.type, precision, enabled=precision != torch.float32):
                    read = captioner(pictures, captions)
                synchronise()
                forward += time.perf_counter() - before
                sum(losses(read, config).values(), torch.zeros(())).backward()
                optimizer.step()
                optimizer.zero_grad()
                done += config.batch_size * REFERENCES
            if round_:  # the first one warms up
                rates.append(done / (time.perf_counter() - began))
                shares.append(100 * attention.seconds / forward)
        print_row([str(precision).removeprefix("torch."), spread(rates), spread(shares, ".0f", "%")])


def main(asked: Arguments) -> None:
    """Measure what was asked for."""
    print_machine(pick_device().type, asked.threads, asked.rounds)
    if asked.training:
        measure_training(asked)
    else:
        measure_writing(asked)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
