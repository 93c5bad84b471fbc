"""The audit of published claims: printed numbers against what must hold, and claims against this suite's own models."""
