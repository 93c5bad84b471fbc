"""The tables and figures of DELLA (Hu et al. 2022)."""
