"""Free corpora from the net: transferred, checked and unpacked."""
