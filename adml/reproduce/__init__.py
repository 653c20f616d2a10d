"""One command for a table of the paper: plan its rows, train, evaluate, record, render."""
