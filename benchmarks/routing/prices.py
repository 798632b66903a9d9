"""List prices for a set that knows costs and no tokens: then a token stands for so much of a bill.

A router that serves knows the prices of its models and learns the tokens; a set without prices would hide that a dear
model is dear until its first bill.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.routing.outcomes import DataMissing, Outcomes
from naiad.adapters.pricing import NANO, price_of

# Output prices of genai-prices; the one model that is open and has many hosts has its price in the set's models.csv.
LISTED = {
    "gemini-2.5-flash": ("google", "gemini-2.5-flash"),
    "gemini-2.5-pro": ("google", "gemini-2.5-pro"),
    "mistral-large-2512": ("mistral", "mistral-large-2512"),
}
STATED = {"llama-3.1-8b-instruct": 0.2}  # USD per million tokens


def output_price(model: str) -> float:
    """Return the price of an output token, USD; raises DataMissing for a model without one."""
    if model in STATED:
        return STATED[model] / 1e6
    facts = price_of(*LISTED[model]) if model in LISTED else None
    if facts is None:
        raise DataMissing(f"{model} has no list price; benchmarks/routing/prices.py names the models it knows")
    return facts.price.output / NANO / 1e6


def list_priced(outcomes: Outcomes) -> Outcomes:
    """Return the set with its bills in output tokens of each model's list price."""
    price = np.array([output_price(model) for model in outcomes.models])
    return replace(
        outcomes,
        tokens_in=np.zeros_like(outcomes.tokens_in),
        tokens_out=np.rint(outcomes.cost / price).astype(np.int64),
        price_in=np.zeros_like(price),
        price_out=price,
    )
