"""What is done to evaluate: embedding, suites, records, plots, reports."""
