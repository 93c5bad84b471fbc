"""When two values may stand in one column: their signatures agree in every part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

LEGEND = {  # parts of a signature in words, in this order
    "protocol": "exact sums over latent groups, paper:* is a paper's own arithmetic",
    "groups": "latent groups are summed or averaged",
    "K": "importance samples an example",
    "of": "importance samples in all blocks of K",
    "tokens": "what PPL divides by",
    "per": "what PPL divides by",
    "mixture": "examples in the aggregated posterior",
    "delta": "variance threshold of an active unit",
    "draws": "posterior samples that posterior means are averaged over",
    "noise": "variance over those draws, divided by their number",
    "means": "posterior means counted from those of the prior given the condition",
    "n": "n-gram order",
    "N": "examples or generated texts",
    "refs": "reference texts",
    "tok": "tokenisation",
    "stem": "stemming",
    "smooth": "BLEU smoothing",
    "sacrebleu": "sacreBLEU's own signature",
    "alpha": "weight of the BLEU with references, 1 - alpha that of the BLEU with sources",
    "against": "what BLEU is taken against, where not the references",
    "form": "which of the metric's forms",
    "model": "model and its hash",
    "layer": "hidden layer of the model",
    "pool": "how token vectors become one of the text",
    "len": "tokens after which a text is cut",
    "batch": "texts a batch: it moves float32 features by rounding",
    "bos": "token that a text begins with",
    "eos": "token that a text ends with",
    "space": "put before each text",
    "idf": "tokens weighted by inverse document frequency",
    "rescale": "baseline file of the rescaling",
    "buckets": "clusters",
    "scale": "scaling factor of the divergences",
    "seed": "of the clusters",
    "mauve-text": "version of the package",
    "v": "version of the metric",
}


def parts(signature: str) -> dict[str, str]:
    """``"bleu|n:4|v:1"`` -> {"": "bleu", "n": "4", "v": "1"}."""
    name, *rest = signature.split("|")
    return {"": name, **dict(part.partition(":")[::2] for part in rest)}


def difference(ours: str, theirs: str) -> str:
    """Why two values cannot be compared, in words; "" where they can.

    >>> difference("bleu|n:4|refs:all500|v:1", "bleu|n:4|refs:all200|v:1")
    'refs is all500, not all200'
    """
    left, right = parts(ours), parts(theirs)
    if left[""] != right[""]:
        return f"the metric is {left['']}, not {right['']}"
    found = []
    for key in dict.fromkeys([*left, *right]):
        mine, other = left.get(key, "absent"), right.get(key, "absent")
        if mine != other:
            found.append(f"{key} is {mine}, not {other}")
    return ", ".join(found)


def prevailing(signatures: Sequence[str]) -> str:
    """The signature of a column: that of most of its values, of equals the first."""
    counts = Counter(signatures)
    return max(signatures, key=counts.__getitem__)


def merged(signatures: Sequence[str]) -> str:
    """One short form for the signatures of several datasets: parts that differ show every value, in order.

    >>> merged(["bleu|n:4|N:500|v:1", "bleu|n:4|N:200|v:1"])
    'bleu|n:4|N:500,200|v:1'
    """
    rows = [parts(s) for s in signatures]
    keys = dict.fromkeys(key for row in rows for key in row)
    joined = {key: ",".join(dict.fromkeys(row.get(key, "-") for row in rows)) for key in keys}
    return "|".join([joined.pop(""), *(f"{key}:{value}" for key, value in joined.items())])


def legend(signatures: Sequence[str]) -> dict[str, str]:
    """The parts that occur in ``signatures``, in words."""
    used = {key for signature in signatures for key in parts(signature)}
    return {key: text for key, text in LEGEND.items() if key in used}
