"""Compare the decoder, in both forms, with itself for other reads and with the references."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from wsx.test.fuzz.differences import failed, is_deliberate
from wsx.test.fuzz.disagreement import Disagreement
from wsx.test.fuzz.references import REFERENCES, Verdict, run_reference
from wsx.test.fuzz.streams import MAX_BYTEWISE, Case, random_case
from wsx.test.support.forms import IMPORTED, PURE
from wsx.test.support.readers import Step, first_difference, shorten, step_of, steps
from wsx.test.support.streams import CLEAN, Item, Terms

FORMS = {"imported": IMPORTED, "pure": PURE}
# After the stream, so that a reference that waits for a payload reaches its verdict.
FILLER = tuple(bytes(size) for size in (1, 9, 90, 900, 9000, 90_000))


def check_random(rng: random.Random) -> None:
    """Check a random connection."""
    check(random_case(rng))


def check(case: Case) -> None:
    """Check one connection.

    Raises:
        Disagreement: Two decoders, or two ways to read, have different results.
    """
    verdict = check_forms(case)
    if len(case.data) > MAX_BYTEWISE:
        check_references(case, verdict)
        return
    bytewise = Case(case.terms, [bytes([byte]) for byte in case.data])
    exact = check_forms(bytewise)
    check_reads(case, verdict, exact)
    check_references(bytewise, exact)


def check_forms(case: Case) -> Verdict:
    """Check that both forms return the same batches, also with large payloads in the buffer."""
    verdicts = []
    for into_buffer in (False, True):
        results = [run_wsx(form.decoder, case, into_buffer) for form in FORMS.values()]
        if results[0][1] != results[1][1]:
            difference = first_difference(results[0][1], results[1][1])
            raise Disagreement(f"imported and pure (into_buffer={into_buffer}): {difference}", case)
        verdicts.append(results[0][0])
    require_same(case, "with and without get_buffer", *verdicts)
    for form in FORMS.values():
        require_same(case, "with and without append", verdicts[0], run_ahead(form.decoder, case))
    return verdicts[0]


def run_wsx(module: Any, case: Case, into_buffer: bool = False) -> tuple[Verdict, list[Step]]:
    """Decode a connection with wsx; return the verdict and all batches."""
    decoder = module.Decoder(case.terms.limit, case.terms.inflater())
    taken: list[Step] = []
    end, position, reached = CLEAN, 0, 0
    for read in case.reads:
        position += len(read)
        before = len(taken)
        taken += steps(decoder, [read], into_buffer)
        for step in taken[before:]:
            if end != CLEAN and (step.frames or step.end is not None):
                raise Disagreement("frames after the end", case)
            if step.end is not None:
                end, reached = shorten_end(step.end), position
    items = [frame[:2] for step in taken for frame in step.frames]
    return Verdict(items, end, reached or position), taken


def run_ahead(module: Any, case: Case) -> Verdict:
    """Decode a connection with wsx; add the next read while batches of the last one are left."""
    decoder = module.Decoder(case.terms.limit, case.terms.inflater())
    taken: list[Step] = []
    for read in case.reads:
        if taken and taken[-1].more:
            decoder.append(read)
            taken.append(step_of(decoder.resume()))
        else:
            taken.append(step_of(decoder.feed(read)))
    while taken and taken[-1].more:
        taken.append(step_of(decoder.resume()))
    ends = [shorten_end(step.end) for step in taken if step.end is not None]
    items = [frame[:2] for step in taken for frame in step.frames]
    return Verdict(items, ends[0] if ends else CLEAN, len(case.data))


def shorten_end(end: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the end of a step as the end of a verdict, with the reason of a failure."""
    return (end[0], end[1], end[3]) if end[0] == "failure" else end


def check_reads(case: Case, verdict: Verdict, exact: Verdict) -> None:
    """Check that the result, and the read in which it is reached, do not depend on the reads."""
    if is_bad_long_text(case.terms, verdict) and is_bad_long_text(case.terms, exact):
        return
    require_same(case, "the reads and single bytes", verdict, exact)
    if exact.end == CLEAN or exact.end[:2] != verdict.end[:2]:
        return
    position = 0
    for read in case.reads:
        position += len(read)
        if position >= exact.position:
            break
    if position != verdict.position:
        text = f"the end is reached after {verdict.position} bytes, not {position}"
        raise Disagreement(text, case)


def is_bad_long_text(terms: Terms, verdict: Verdict) -> bool:
    """Return whether a compressed text is not UTF-8; it may be longer than 64 KiB.

    Then it is checked at its end. When it exceeds 64 KiB depends on how much is inflated at a time.
    """
    return bool(terms.window_bits) and failed(verdict, 1007, "not UTF-8")


def require_same(case: Case, what: str, one: Verdict, other: Verdict) -> None:
    """Raise a Disagreement unless two verdicts of wsx are the same."""
    if one.items != other.items:
        raise Disagreement(f"{what}: {first_difference(one.items, other.items)}", case)
    if one.end != other.end and not has_two_errors(case.terms, one, other):
        raise Disagreement(f"{what}: ends {one.end} and {other.end}", case)


def has_two_errors(terms: Terms, one: Verdict, other: Verdict) -> bool:
    """Return whether a compressed message may be too long, corrupt, and not UTF-8 at once.

    The first error that is found decides. That depends on how much is inflated at a time.
    """
    codes = {*one.end[1:2], *other.end[1:2]}
    return bool(terms.window_bits) and codes <= {1007, 1009}


def check_references(case: Case, wsx: Verdict) -> None:
    """Check that the references have the same verdict, and not earlier."""
    for name, other in reference_verdicts(case, wsx):
        problem = compare(name, wsx, other, case.terms)
        if problem:
            raise Disagreement(f"{name}: {problem}", case)


def reference_verdicts(case: Case, wsx: Verdict) -> Iterator[tuple[str, Verdict]]:
    """Yield the name and the verdict of each reference."""
    filler: tuple[bytes, ...] = FILLER if wsx.end[0] == "failure" else ()
    has_final_block = False  # The first reference reports it for all.
    for name in REFERENCES:
        other = run_reference(name, case.terms, case.reads, iter(filler))
        has_final_block = has_final_block or other.has_final_block
        yield name, other._replace(has_final_block=has_final_block)


def compare(name: str, wsx: Verdict, other: Verdict, terms: Terms) -> str | None:
    """Return what differs in two verdicts, or None if nothing does or it is deliberate."""
    is_same = wsx.items == other.items and is_same_end(wsx, other, terms)
    if is_same and wsx.position <= other.position:
        return None
    common = len(list(equal_items(wsx.items, other.items)))
    # After a final block, the references deliver messages that are not what was sent.
    is_prefix = common == min(len(wsx.items), len(other.items)) or other.has_final_block
    if is_prefix and is_deliberate(name, wsx, other, terms):
        return None
    if wsx.items != other.items:
        return f"{first_difference(wsx.items, other.items)}; ends {wsx.end} and {other.end}"
    ends = f"{wsx.end} after {wsx.position} bytes, not {other.end} after {other.position}"
    return f"wsx ends {shorten(ends)}"


def is_same_end(wsx: Verdict, other: Verdict, terms: Terms) -> bool:
    """Return whether two ends are the same, apart from the reason of a failure."""
    if wsx.end[0] != "failure":
        return wsx.end == other.end
    return wsx.end[:2] == other.end[:2] or has_two_errors(terms, wsx, other)


def equal_items(one: list[Item], other: list[Item]) -> Iterator[Item]:
    """Yield the items that are the same at the beginning of two lists."""
    for item, item_of_other in zip(one, other, strict=False):
        if item != item_of_other:
            return
        yield item
