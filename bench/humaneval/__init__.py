"""Human evaluation as in DELLA (Sec. 5.6, A.4) and TRACE (Sec. 5.6, A.2): blinded sheets out, filled sheets in."""
