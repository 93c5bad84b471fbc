"""From records to what a person reads: tables, figures, comparisons with frozen results."""
