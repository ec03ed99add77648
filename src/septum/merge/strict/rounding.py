"""Rounds sums to the types of their histograms, once, and puts them into the bytes of the objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from septum.errors import NotAdditiveError
from septum.merge.strict.group import Group
from septum.merge.strict.layout import PARAMETER
from septum.merge.strict.shape import LIMITS, Shape, Slots

Array = npt.NDArray[np.float64]
_TYPES = {"d": ">f8", "f": ">f4", "i": ">i4", "h": ">i2", "b": ">i1", "q": ">i8"}


def rounded(group: Group, name: str, *, clip: bool, finite: bool) -> tuple[Array, bytes]:
    """The sums, and the bytes of all objects with the sums in them.

    Args:
        group: What was added.
        name: The result, for messages.
        clip: Whether a sum that its type cannot hold becomes the nearest number that it can.
        finite: Whether every sum must be finite.

    Raises:
        NotAdditiveError: A sum is larger than its type can hold.
    """
    shape = group.shape
    double = group.total.round()
    single = group.total.round_single() if any(s.numbers.letter == "f" for s in shape.slots) else None
    if finite and not np.isfinite(double).all():
        _refuse_infinite(shape, int(np.argmin(np.isfinite(double))), name)
    _wipe(group, double)
    payload = bytearray(shape.payload)
    for slots in shape.slots:
        here, letter = slice(slots.start, slots.stop), slots.numbers.letter
        if letter == "d":
            values: npt.NDArray[np.generic] = double[here]
        elif letter == "f" and single is not None:
            values = single[here]
            _single(shape, slots, double, single[here], name, clip=clip)
        else:
            values = _whole(shape, slots, double, name, clip=clip)
        start = shape.entries[slots.entry].start + slots.numbers.start
        payload[start : start + (slots.numbers.end - slots.numbers.start)] = values.astype(_TYPES[letter]).tobytes()
    return double, bytes(payload)


def _wipe(group: Group, sums: Array) -> None:
    """Put zeros for statistics that are not those of all fills."""
    shape = group.shape
    without = {key for key, parts in zip(shape.histogram_names, group.without_statistics, strict=True) if parts}
    # Of some parts only; if no part has them, the sum of weights is zero anyway. With zeros, ROOT takes those of bins.
    without = {key for key in without if sums[shape.by_role[(*key, "fTsumw")].start] != 0}
    if not without and not group.moved:
        return
    for (path, histogram, role), slots in shape.by_role.items():
        if not role.startswith("fTsumw"):
            continue
        # The position of a label means nothing once it has moved. ROOT writes zeros, too, when it places labels itself.
        moved = {*group.moved.get(path, "").lower()} & {*role.removeprefix("fTsumw")}
        if moved or (path, histogram) in without:
            sums[slots.start] = 0.0


def _single(shape: Shape, slots: Slots, sums: Array, single: npt.NDArray[np.float32], name: str, *, clip: bool) -> None:
    """Put numbers of float32 into the place of the exact sums, if they may be rounded so far."""
    here = slice(slots.start, slots.stop)
    exact = sums[here]
    overflown = np.isinf(single) & np.isfinite(exact)
    if slots.numbers.role == "cells":
        lost = (exact != single) & (exact == np.floor(exact)) & np.isfinite(exact)
        errors = shape.by_role.get((shape.entries[slots.entry].path, slots.numbers.histogram, "errors"))
        if errors is not None:
            # Fills that were counted have their own number as the square of their error; weighted ones are rounded.
            lost &= exact == sums[errors.start : errors.stop]
        if not clip and (lost | overflown).any():
            _refuse(shape, slots, f"{exact[int(np.argmax(lost | overflown))]:.17g}", name)
    if clip:
        single[overflown] = np.copysign(np.finfo(np.float32).max, single[overflown])
    sums[here] = single


def _whole(shape: Shape, slots: Slots, sums: Array, name: str, *, clip: bool) -> npt.NDArray[np.int64]:
    """The sums of whole numbers, none of them beyond what its type can hold."""
    low, high = LIMITS[slots.numbers.letter]
    upper, *lower = [sums[start:stop] for start, stop in shape.stretches(slots)]
    if not lower:
        numbers = upper.astype(np.int64)
        full = (numbers < low) | (numbers > high)
        clipped = np.clip(numbers, low, high)
    else:
        wide = [(int(one) << 32) + int(two) for one, two in zip(upper, lower[0], strict=True)]
        full = np.array([not low <= number <= high for number in wide], dtype=np.bool_)
        numbers = np.array(wide, dtype=object)
        clipped = np.array([min(max(number, low), high) for number in wide], dtype=np.int64)
    if not clip and full.any():
        _refuse(shape, slots, str(numbers[int(np.argmax(full))]), name)
    upper[:] = clipped >> 32 if lower else clipped
    for half in lower:
        half[:] = clipped & 0xFFFFFFFF
    return clipped


def _refuse_infinite(shape: Shape, cell: int, name: str) -> None:
    slots = shape.at(cell)
    path = shape.entries[slots.entry].path
    raise NotAdditiveError(
        f"merge: {name}: {path!r}: the sum of its {slots.numbers.role} is larger than any number",
        evidence=f"number {cell - slots.start} of {slots.numbers.count}: beyond 1.8e308",
        fix="find the weight that is so large; or, in septum.yaml: policies: {non-finite: keep}",
    )


def _refuse(shape: Shape, slots: Slots, value: str, name: str) -> None:
    entry = shape.entries[slots.entry]
    instead = (
        "write it as a TParameter<double>" if PARAMETER.fullmatch(entry.kind) else "book it as a TH1D (TH2D, TH3D)"
    )
    raise NotAdditiveError(
        f"merge: {name}: {entry.path!r} is a {entry.kind}, which cannot hold the sum {value}",
        evidence="ROOT would stop at the nearest number that it can hold, without a word",
        fix=f"{instead}; or, in septum.yaml: policies: {{saturation: round}}",
    )
