"""The pages that show a person what was found."""
