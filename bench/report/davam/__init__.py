"""Reports that reproduce tables and figures of the DAVAM paper."""
