"""The index of an output: its rows, how they are read, found and summed up."""
