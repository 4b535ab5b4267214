"""Networks <-> weights files: safetensors in float16, with a card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from napari_denoise.io.atomic import replacing
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.catalogue import (
    CARD_KEY,
    FAITHFUL,
    REALISTIC,
    SECOND_PASS,
    WeightsError,
    WeightsInfo,
    check_portable,
)

_COMMON_SIZE = 256
"""A card may ask for widths and numbers of blocks up to this, whatever its file holds."""


def save_weights(
    path: Path,
    card: WeightsCard,
    faithful: Mapping[str, Tensor],
    realistic: Mapping[str, Tensor] | None = None,
    second_pass: Mapping[str, Tensor] | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write a weights file under a temporary name, then rename it.

    Parameters
    ----------
    path
        Ends in ``.safetensors``.
    card
        Stored in the header.
    faithful, realistic
        State dicts of the two ends of the realism slider; the second is optional.
    second_pass
        State dict of the network for averages of neighbours, where the card describes one.
    overwrite
        Replace an existing file.

    Raises
    ------
    ValueError
        The card could not be read back.
    FileExists
        The file exists and was not to be replaced.
    NotWritten
        The disk is full or the folder cannot be written; an older file stays whole.
    """
    check_portable(path.stem)
    header = card.to_json()
    WeightsCard.from_json(header)  # a file that nobody can open must not replace one
    tensors = _prefixed(FAITHFUL, faithful) | _prefixed(REALISTIC, realistic or {})
    tensors |= _prefixed(SECOND_PASS, second_pass or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing([path], overwrite=overwrite) as (temporary,):
        temporary.write_bytes(save(tensors, metadata={CARD_KEY: header}))


def load_network(info: WeightsInfo, realism: float = 0.0) -> Network:
    """Build the network of a file, float32 on the CPU, in evaluation mode.

    Parameters
    ----------
    info
        From the catalogue.
    realism
        Interpolates the weights from the faithful (0) to the realistic end (1).

    Raises
    ------
    WeightsError
        Tensors are missing, have the wrong shape, or are not finite; or `realism` is asked
        of a file without a realistic end.
    """
    tensors = _tensors(info)
    state = _end(tensors, FAITHFUL)
    if realism:
        state = _blend(info, state, _end(tensors, REALISTIC), realism)
    return _filled(info, info.card.config, state)


def load_second_pass(info: WeightsInfo) -> Network | None:
    """Build the network for averages of neighbours, as `load_network`; None without one.

    Raises
    ------
    WeightsError
        As for `load_network`.
    """
    if info.card.second_pass is None:
        return None
    return _filled(info, info.card.second_pass, _end(_tensors(info), SECOND_PASS))


def _tensors(info: WeightsInfo) -> dict[str, Tensor]:
    try:
        return dict(load_file(info.path))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{info.path}: cannot be read ({error}); copy it again") from error


def _filled(info: WeightsInfo, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Network:
    """Build a network of the card's architecture, after a look at what is to fill it."""
    _check_shapes(info, config, state)
    _check_values(info, state)
    network = build(info.card.architecture, config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        prefix + key: value.detach().to("cpu", torch.float16).contiguous()
        for key, value in state.items()
    }


def _end(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value.float()
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def _blend(
    info: WeightsInfo, start: dict[str, Tensor], end: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    if start.keys() != end.keys():
        raise WeightsError(
            f"realism {share}: the weights {info.name!r} have no realistic end; use realism 0 "
            "or weights that were fine-tuned with a GAN"
        )
    return {key: torch.lerp(value, end[key], share) for key, value in start.items()}


def _check_shapes(
    info: WeightsInfo, config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> None:
    """Compare names and shapes with those of the card's network, of which nothing is allocated.

    A card of a few bytes may ask for a network of any size; only one that the file fills is built.
    """
    sizes = [size for value in state.values() for size in value.shape]
    most = max(_COMMON_SIZE, len(state), *sizes)
    if (asked := max(_numbers([dict(config), info.card.channels]))) > most:
        raise WeightsError(
            f"{info.path}: its card asks for a network with a size of {asked}, of which it holds "
            f"{max(sizes, default=0)} at most. The file is damaged or its card is not its own."
        )
    try:
        with torch.device("meta"):
            network = build(info.card.architecture, config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{info.path}: {error}") from error
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    got = {key: tuple(value.shape) for key, value in state.items()}
    if wanted != got:
        wrong = sorted(k for k in wanted.keys() | got.keys() if wanted.get(k) != got.get(k))
        key = wrong[0]
        raise WeightsError(
            f"{info.path}: {len(wrong)} tensors do not fit architecture "
            f"{info.card.architecture!r}; {key!r} is {got.get(key, 'missing')}, expected "
            f"{wanted.get(key, 'no such tensor')}. The file is damaged or its card is not its own."
        )


def _numbers(value: Any) -> Iterator[int]:
    """Every whole number in a configuration."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))


def _check_values(info: WeightsInfo, state: Mapping[str, Tensor]) -> None:
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise WeightsError(f"{info.path}: tensor {key!r} holds NaN or infinity; train again")
