"""Sound classes and how they nest: the ontology as a graph, the trained classes, and finding a class by its name."""
