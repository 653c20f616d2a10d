"""How fast the parts of training are, and what memory they take."""
