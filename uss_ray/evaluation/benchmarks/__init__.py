"""What is evaluated on: one small file a benchmark, with its card, its layout and how its list is drawn."""
