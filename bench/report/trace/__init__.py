"""Tables and figures of the TRACE paper."""
